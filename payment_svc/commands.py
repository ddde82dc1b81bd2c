"""What the payment service can be told to do, and the requests that become it."""

from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from payment_svc.quote import DAYS_AHEAD_MAX

AMOUNT_MAX = 10**15  # minor units; above any instalment of a lease

# `$` alone would let a final newline pass
PaymentMethod = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)", description="a token, never a card number")
]


QuoteId = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$(?!\n)",
        description="UUID of a binding quote of this lease; 422 where it is none",
    ),
]


class NewAttempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/payments/{payment_id}/attempt`."""

    payment_method: PaymentMethod
    amount: Annotated[int, Meta(ge=1, le=AMOUNT_MAX)] | None = None  # minor units; absent: all that is due


class NewPayoff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/leases/{lease_id}/payoff`."""

    payment_method: PaymentMethod
    quote_id: QuoteId | None = None  # absent: what it costs today (UTC)


class NewQuote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/leases/{lease_id}/payoff-quotes`."""

    as_of: Annotated[
        date,
        Meta(description=f"today (UTC) or one of the next {DAYS_AHEAD_MAX} days; the quote ends with it"),
    ]


class AttemptPayment(msgspec.Struct, frozen=True, kw_only=True):
    """Collect one instalment, or a part of it."""

    attempt_id: str  # UUIDv7, made by the front
    payment_id: str
    payment_method: str
    amount: int | None  # minor units; None: all that is due


class PayOffLease(msgspec.Struct, frozen=True, kw_only=True):
    """Collect all that is left of a lease, as of the day it is carried out, or as a quote has promised."""

    attempt_id: str  # UUIDv7, made by the front
    lease_id: str
    payment_method: str
    quote_id: str | None = None  # None: as of the day it is carried out


class QuotePayoff(msgspec.Struct, frozen=True, kw_only=True):
    """Promise what it costs to pay a lease off on a day."""

    quote_id: str  # UUIDv7, made by the front
    lease_id: str
    as_of: date
