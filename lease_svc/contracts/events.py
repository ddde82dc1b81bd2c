"""What the lease service tells, and what it understands of the payment service's events."""

from datetime import date
from typing import Literal

import msgspec

from common.kernel.day_count import DayCount
from lease_svc.contracts.commands import Fee, LateFee
from lease_svc.domain.schedule import Frequency

SOURCE = "/lease-svc"

Status = Literal["active", "delinquent", "paid_off", "cancelled", "charged_off"]


class Instalment(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the schedule as agreed; a late fee changes the balance, never the schedule."""

    number: int  # 1, 2, 3 …
    payment_id: str
    due_date: date
    amount: int  # minor units; principal + interest + fees
    principal: int  # minor units
    interest: int  # minor units
    fees: int  # minor units
    principal_balance: int  # minor units of principal left once this is paid


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What was agreed when the lease was created; never changes."""

    customer_id: str
    currency: str  # ISO 4217
    principal: int  # minor units
    annual_rate: str  # yearly nominal, decimal
    term: int  # number of instalments
    frequency: Frequency
    day_count: DayCount
    start_date: date  # interest runs from here
    first_due_date: date
    maturity_date: date  # the last due date
    instalment: int  # minor units; the level principal + interest
    total_interest: int  # minor units
    total_fees: int  # minor units
    total_payable: int  # minor units; principal + interest + fees
    fees: list[Fee]
    payment_method: str | None  # for autopay
    autopay: bool
    late_fee: LateFee | None
    metadata: dict[str, str]


class LeaseCreated(Contract, frozen=True, kw_only=True):
    """`lease.created`: the whole contract and its schedule."""

    lease_id: str
    schedule: list[Instalment]


class LeasePaidOff(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.paid_off`: nothing is left to be paid."""

    lease_id: str
    currency: str  # ISO 4217
    amount_paid: int  # minor units; all money collected on the lease
    attempt_id: str  # the attempt that brought the balance to zero
    cause: Literal["payment", "payoff"]


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """Money by what it is for; minor units."""

    late_fees: int
    fees: int
    interest: int
    principal: int


class LeaseCancelled(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.cancelled`: closed before any money was collected; nothing is owed any longer."""

    lease_id: str
    currency: str  # ISO 4217
    reason: str  # the client's words
    balance: int  # minor units that were still to be paid
    left: Allocation  # what the balance was made of
    payment_sequence: int  # the payment service's events of the lease that this takes into account


class LeaseChargedOff(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.charged_off`: given up; what was still owed is a loss, and is asked for no longer."""

    lease_id: str
    currency: str  # ISO 4217
    reason: str  # the client's words
    amount: int  # minor units that were still to be paid: the loss
    left: Allocation  # what the amount is made of
    payment_sequence: int  # the payment service's events of the lease that this takes into account


class LeaseReopened(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.reopened`: something is owed again on a lease that was paid off."""

    lease_id: str
    currency: str  # ISO 4217
    balance: int  # minor units to be paid again
    attempt_id: str  # the refund or chargeback that took money back
    cause: Literal["refund", "chargeback"]


CATALOGUE: dict[str, type[msgspec.Struct]] = {
    "lease.created": LeaseCreated,
    "lease.paid_off": LeasePaidOff,
    "lease.cancelled": LeaseCancelled,
    "lease.charged_off": LeaseChargedOff,
    "lease.reopened": LeaseReopened,
}


class AutopayStop(msgspec.Struct, frozen=True, kw_only=True):
    """Why autopay charges nothing of a lease, until it is taken up again with a payment method."""

    reason: str  # "hard_decline": the issuer has declined the method for good
    since: str  # RFC 3339
    attempt_id: str | None  # the attempt that was declined; null: not known


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

    late_fees: int = 0  # minor units


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
