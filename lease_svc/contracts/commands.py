"""What the lease service can be told to do, and the requests that become it."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from common.kernel.day_count import DayCount
from common.kernel.money import is_currency, rate_ratio
from common.web.field_types import PaymentMethod, Reason
from common.web.problems.details import FieldError
from lease_svc.domain.schedule import PRINCIPAL_MAX, TERM_MAX, Frequency, check_dates

# `$` alone would let a final newline pass
CustomerId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$(?!\n)", description="1–64 of A-Za-z0-9_.:-")
]
Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,40}$(?!\n)", description="1–40 of A-Za-z0-9_.-")]
Amount = Annotated[int, Meta(ge=1, le=PRINCIPAL_MAX, description="minor units of the currency")]


class Fee(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fee that falls due with the first instalment."""

    code: Annotated[Code, Meta(description="what it is for")]
    amount: Amount


class LateFee(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an instalment costs that is paid late."""

    grace_days: Annotated[int, Meta(ge=0, le=90), Meta(description="days after the due date")]
    amount: Amount


class NewLease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/leases`."""

    customer_id: CustomerId
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)", description="ISO 4217")]
    principal: Amount
    annual_rate: Annotated[
        str, Meta(pattern=r"^[0-9]{1,2}(\.[0-9]{1,8})?$(?!\n)", description='yearly nominal, "0" to "10"')
    ]
    term: Annotated[int, Meta(ge=1, le=TERM_MAX, description="number of instalments")]
    frequency: Annotated[Frequency, Meta(description="how far the instalments are apart")]
    start_date: Annotated[date, Meta(description="interest runs from here")]
    first_due_date: Annotated[date | None, Meta(description="one period after start_date where absent")] = (
        None
    )
    day_count: Annotated[DayCount, Meta(description="how the days of a period become a part of a year")] = (
        "30/360"
    )
    fees: Annotated[
        list[Fee],
        Meta(max_length=20),
        Meta(description="what falls due with the first instalment, on top of it"),
    ] = []
    payment_method: Annotated[
        PaymentMethod | None, Meta(description="the token that was charged; never a card number")
    ] = None
    autopay: Annotated[
        bool, Meta(description="whether instalments are to be collected without being asked for")
    ] = False
    late_fee: Annotated[
        LateFee | None, Meta(description="what an instalment paid late costs; null: nothing")
    ] = None
    metadata: Annotated[
        dict[Annotated[str, Meta(max_length=40)], Annotated[str, Meta(max_length=500)]],
        Meta(max_length=20),
        Meta(description="the client's own words, kept as they came"),
    ] = {}


class CreateLease(msgspec.Struct, frozen=True, kw_only=True):
    """Create a lease with its schedule."""

    lease_id: str  # UUIDv7, made by the front
    terms: NewLease


class Closing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/leases/{lease_id}/cancel` and `…/charge-off`."""

    reason: Reason


class CancelLease(msgspec.Struct, frozen=True, kw_only=True):
    """Close a lease on which nothing was collected, as if it had never been."""

    lease_id: str
    reason: str  # the client's words


class ChargeOffLease(msgspec.Struct, frozen=True, kw_only=True):
    """Close a lease that will not be paid; what is left of it is a loss."""

    lease_id: str
    reason: str  # the client's words


def rules(right: Mapping[str, Any]) -> list[FieldError]:
    """What the types of NewLease cannot say, as far as its fields that are right (`right`) allow to ask."""
    errors = []
    if "currency" in right and not is_currency(right["currency"]):
        errors.append(FieldError("/currency", "is not a currency of ISO 4217"))
    try:
        rate_ratio(right.get("annual_rate", "0"))
    except ValueError as error:
        errors.append(FieldError("/annual_rate", str(error)))
    if right.get("autopay") and right.get("payment_method", "") is None:
        errors.append(FieldError("/payment_method", "is required with autopay"))
    dates = [right[name] for name in ("frequency", "term", "start_date", "first_due_date") if name in right]
    if len(dates) == 4:
        errors += [FieldError(problem.pointer, problem.detail) for problem in check_dates(*dates)]
    return errors
