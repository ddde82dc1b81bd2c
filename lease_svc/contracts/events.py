"""What the lease service tells, and what it understands of the payment service's events."""

from datetime import date
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from common.kernel.day_count import DayCount
from common.kernel.money import MinorUnits
from lease_svc.contracts.commands import Fee, LateFee
from lease_svc.domain.schedule import Frequency

SOURCE = "/lease-svc"

Status = Literal["active", "delinquent", "paid_off", "cancelled", "charged_off"]


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


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """Money by what it is for; minor units."""

    late_fees: MinorUnits
    fees: MinorUnits
    interest: MinorUnits
    principal: MinorUnits


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


class AutopayStop(msgspec.Struct, frozen=True, kw_only=True):
    """Why autopay charges nothing of a lease, until it is taken up again with a payment method."""

    reason: Annotated[str, Meta(description='"hard_decline": the issuer has declined the method for good')]
    since: Annotated[str, Meta(description="RFC 3339")]
    attempt_id: Annotated[str | None, Meta(description="the attempt that was declined; null: not known")]


class Autopay(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed here of `lease.autopay_changed`: autopay as it is from then on."""

    autopay: bool
    payment_method: str | None
    autopay_stopped: AutopayStop | None


class PaymentSucceeded(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed here of `payment.succeeded`."""

    attempt_id: str
    number: int  # of the instalment
    amount: int  # minor units collected
    allocation: Allocation  # what the money was for


class Waived(msgspec.Struct, frozen=True, kw_only=True):
    """What a payoff has waived."""

    late_fees: MinorUnits = 0


class SettledInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """What a payoff made of an instalment."""

    number: int
    status: Literal["paid", "cancelled"]
    amount_paid: int  # minor units
    late_fees_waived: int = 0  # minor units that it asks for no longer


class PayoffSucceeded(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed here of `payoff.succeeded`."""

    attempt_id: str
    amount: int  # minor units collected
    allocation: Allocation  # what the money was for; interest, net of credits, may be negative
    interest_saved: int  # minor units no longer owed, or paid ahead and not earned
    refund_due: int = 0  # minor units of these that were paid ahead and go back to the customer
    waived: Waived = Waived()  # what was owed beside and is no longer
    instalments: list[SettledInstalment]  # those that were open


class ChangedInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """An instalment after money was taken back from it."""

    number: int
    status: str
    amount: int  # minor units it asks for
    amount_paid: int  # minor units
    amount_due: int  # minor units left on it


class MoneyTakenBack(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed here of `payment.refunded` and `payment.charged_back`."""

    attempt_id: str  # of the refund or chargeback
    amount: int  # minor units
    allocation: Allocation  # what was undone
    instalments: list[ChangedInstalment]  # those it changed
    late_fees_owed_again: int = 0  # minor units that a payoff had waived


class LateFeeAssessed(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed here of `lease.late_fee_assessed`."""

    number: int  # of the instalment
    amount: int  # minor units; what the instalment costs more
