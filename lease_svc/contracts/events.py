"""The events that the lease service publishes."""

from datetime import date
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from common.kernel.day_count import DayCount
from common.kernel.money import MinorUnits
from lease_svc.contracts.values import Allocation, Fee, Frequency, LateFee

SOURCE = "/lease-svc"


class Instalment(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the schedule as agreed; a late fee changes the balance, never the schedule."""

    number: Annotated[int, Meta(description="1, 2, 3 …")]
    payment_id: Annotated[str, Meta(description="the instalment's payment, UUIDv7")]
    due_date: Annotated[date, Meta(description="the day it falls due")]
    amount: Annotated[int, Meta(description="minor units; principal + interest + fees")]
    principal: MinorUnits
    interest: MinorUnits
    fees: MinorUnits
    principal_balance: Annotated[int, Meta(description="minor units of principal left once this is paid")]


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What was agreed when the lease was created; never changes."""

    customer_id: Annotated[str, Meta(description="the lessor's own name for the customer")]
    currency: Annotated[str, Meta(description="ISO 4217")]
    principal: MinorUnits
    annual_rate: Annotated[str, Meta(description="yearly nominal, decimal")]
    term: Annotated[int, Meta(description="number of instalments")]
    frequency: Annotated[Frequency, Meta(description="how far the instalments are apart")]
    day_count: Annotated[DayCount, Meta(description="how the days of a period become a part of a year")]
    start_date: Annotated[date, Meta(description="interest runs from here")]
    first_due_date: Annotated[date, Meta(description="the first instalment's due date")]
    maturity_date: Annotated[date, Meta(description="the last due date")]
    instalment: Annotated[int, Meta(description="minor units; the level principal + interest")]
    total_interest: MinorUnits
    total_fees: MinorUnits
    total_payable: Annotated[int, Meta(description="minor units; principal + interest + fees")]
    fees: Annotated[list[Fee], Meta(description="what falls due with the first instalment, on top of it")]
    payment_method: Annotated[str | None, Meta(description="for autopay")]
    autopay: Annotated[
        bool, Meta(description="whether instalments are to be collected without being asked for")
    ]
    late_fee: Annotated[LateFee | None, Meta(description="what an instalment paid late costs; null: nothing")]
    metadata: Annotated[dict[str, str], Meta(description="the client's own words, kept as they came")]


class LeaseCreated(Contract, frozen=True, kw_only=True):
    """`lease.created`: the whole contract and its schedule."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    schedule: Annotated[list[Instalment], Meta(description="the instalments, in order of number")]


class LeasePaidOff(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.paid_off`: nothing is left to be paid."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    currency: Annotated[str, Meta(description="ISO 4217")]
    amount_paid: Annotated[int, Meta(description="minor units; all money collected on the lease")]
    attempt_id: Annotated[str, Meta(description="the attempt that brought the balance to zero")]
    cause: Annotated[Literal["payment", "payoff"], Meta(description="what brought the balance to zero")]


class LeaseCancelled(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.cancelled`: closed before any money was collected; nothing is owed any longer."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    currency: Annotated[str, Meta(description="ISO 4217")]
    reason: Annotated[str, Meta(description="the client's words")]
    balance: Annotated[int, Meta(description="minor units that were still to be paid")]
    left: Annotated[Allocation, Meta(description="what the balance was made of")]
    payment_sequence: Annotated[
        int, Meta(description="the payment service's events of the lease that this takes into account")
    ]


class LeaseChargedOff(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.charged_off`: given up; what was still owed is a loss, and is asked for no longer."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    currency: Annotated[str, Meta(description="ISO 4217")]
    reason: Annotated[str, Meta(description="the client's words")]
    amount: Annotated[int, Meta(description="minor units that were still to be paid: the loss")]
    left: Annotated[Allocation, Meta(description="what the amount is made of")]
    payment_sequence: Annotated[
        int, Meta(description="the payment service's events of the lease that this takes into account")
    ]


class LeaseReopened(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.reopened`: something is owed again on a lease that was paid off."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    currency: Annotated[str, Meta(description="ISO 4217")]
    balance: Annotated[int, Meta(description="minor units to be paid again")]
    attempt_id: Annotated[str, Meta(description="the refund or chargeback that took money back")]
    cause: Annotated[Literal["refund", "chargeback"], Meta(description="what brought the balance to zero")]


CATALOGUE: dict[str, type[msgspec.Struct]] = {
    "lease.created": LeaseCreated,
    "lease.paid_off": LeasePaidOff,
    "lease.cancelled": LeaseCancelled,
    "lease.charged_off": LeaseChargedOff,
    "lease.reopened": LeaseReopened,
}

# They follow from the payment service's own events: a reader who does not know them misses nothing.
MAY_BE_SKIPPED = frozenset({"lease.paid_off", "lease.reopened"})
