"""The commands of the lease service."""

from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from common.kernel.day_count import DayCount
from lease_svc.contracts.values import TERM_MAX, Amount, CustomerId, Fee, Frequency, LateFee


class LeaseTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be agreed; a worker that does not know all of it refuses the command."""

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
        str | None, Meta(description="the token that was charged; never a card number")
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
    terms: LeaseTerms


class CancelLease(msgspec.Struct, frozen=True, kw_only=True):
    """Close a lease on which nothing was collected, as if it had never been."""

    lease_id: str
    reason: str  # the client's words


class ChargeOffLease(msgspec.Struct, frozen=True, kw_only=True):
    """Close a lease that will not be paid; what is left of it is a loss."""

    lease_id: str
    reason: str  # the client's words
