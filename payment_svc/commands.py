"""What the payment service can be told to do, and the requests that become it."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from common.calendar import LAST_DAY
from common.http.problems import FieldError

FIRST_AS_OF = date(1970, 1, 1)  # a run's id is made of its day, and a UUIDv7 knows none before
AMOUNT_MAX = 10**15  # minor units; above any instalment of a lease

# `$` alone would let a final newline pass
PaymentMethod = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)", description="a token, never a card number")
]


class NewAttempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/payments/{payment_id}/attempt`."""

    payment_method: PaymentMethod
    amount: Annotated[int, Meta(ge=1, le=AMOUNT_MAX)] | None = None  # minor units; absent: all that is due


class NewPayoff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/leases/{lease_id}/payoff`."""

    payment_method: PaymentMethod


class NewRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/collections/run`."""

    as_of: date  # the day that collections are run for


def run_rules(right: Mapping[str, Any]) -> list[FieldError]:
    """What the types of NewRun cannot say."""
    if "as_of" in right and not FIRST_AS_OF <= right["as_of"] <= LAST_DAY:
        return [FieldError("/as_of", f"must lie between {FIRST_AS_OF} and {LAST_DAY}")]
    return []


class AttemptPayment(msgspec.Struct, frozen=True, kw_only=True):
    """Collect one instalment, or a part of it."""

    attempt_id: str  # UUIDv7, made by the front
    payment_id: str
    payment_method: str
    amount: int | None  # minor units; None: all that is due


class PayOffLease(msgspec.Struct, frozen=True, kw_only=True):
    """Collect all that is left of a lease, as of the day it is carried out."""

    attempt_id: str  # UUIDv7, made by the front
    lease_id: str
    payment_method: str


class RunCollections(msgspec.Struct, frozen=True, kw_only=True):
    """Work through all that is due as of a day; once for each day, however often it is asked for."""

    as_of: date
