"""What the lease service's events say; money in minor units of `currency`."""

from datetime import date

import msgspec

from ledger_svc.contracts.payloads.common import Allocation, Count, Position


class ScheduledInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a lease's schedule."""

    number: Count
    payment_id: str
    due_date: date
    amount: int


class LeaseCreated(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.created`"""

    currency: str  # ISO 4217
    principal: int
    annual_rate: str  # decimal, yearly nominal: "0.1299"
    term: int  # instalments
    frequency: str  # "weekly", "biweekly", "semimonthly", "monthly"
    first_due_date: date
    total_fees: int
    total_payable: int  # principal, interest and fees
    schedule: tuple[ScheduledInstalment, ...]  # by number


class LeasePaidOff(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.paid_off`"""

    currency: str
    amount_paid: int  # all money collected on the lease
    cause: str  # "payment" or "payoff"


class LeaseCancelled(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.cancelled`: closed before any money was collected."""

    currency: str
    reason: str
    balance: int  # before
    left: Allocation | None = None  # what the balance was made of; older events do not say
    payment_sequence: Position  # of the payment service's events that this takes into account


class LeaseChargedOff(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.charged_off`: given up."""

    currency: str
    reason: str
    amount: int  # the balance before
    left: Allocation | None = None  # what the balance was made of; older events do not say
    payment_sequence: Position  # of the payment service's events that this takes into account


class LeaseReopened(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.reopened`"""

    currency: str
    balance: int  # to be paid again
    cause: str  # "refund" or "chargeback"
