"""What each type of event says, as far as the ledger stands on it; money in minor units of `currency`.

Every other field is left to the raw bytes, which the ledger keeps: views can grow without touching an entry.
"""

from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]


class ScheduledInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a lease's schedule."""

    number: Count
    payment_id: str
    amount: int


class LeaseCreated(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.created`"""

    currency: str  # ISO 4217
    principal: int
    annual_rate: str  # decimal, yearly nominal: "0.1299"
    term: int  # instalments
    frequency: str  # "weekly", "biweekly", "semimonthly", "monthly"
    first_due_date: date
    total_payable: int  # principal, interest and fees
    schedule: tuple[ScheduledInstalment, ...]  # by number


class LeasePaidOff(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.paid_off`"""

    currency: str
    amount_paid: int  # all money collected on the lease
    cause: str  # "payment" or "payoff"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What every event of an attempt to take money says."""

    attempt_id: str
    number: int | None  # of the instalment; None for an early payoff
    amount: int
    currency: str
    payment_method: str


class AttemptStarted(Attempt, frozen=True, kw_only=True):
    """`payment.attempt_started`"""


class PaymentSucceeded(Attempt, frozen=True, kw_only=True):
    """`payment.succeeded`"""

    number: int
    amount_paid: int  # of the instalment, after this payment
    amount_due: int  # of the instalment, after this payment
    payment_status: str  # "paid", or what an open instalment is: "scheduled", "due", "late"


class Decline(msgspec.Struct, frozen=True, kw_only=True):
    """Why the issuer said no."""

    code: str
    advice: str  # "do_not_retry", "retry_later", "update_instrument"
    retry_at: str | None = None  # RFC 3339 instant or day


class PaymentDeclined(Attempt, frozen=True, kw_only=True):
    """`payment.declined`"""

    decline: Decline


class PaymentFailed(Attempt, frozen=True, kw_only=True):
    """`payment.failed`: certainly never reached the gateway."""

    reason: str


class PaymentUnknown(Attempt, frozen=True, kw_only=True):
    """`payment.unknown`: the gateway may or may not have taken it."""

    reason: str


class PaymentResolved(Attempt, frozen=True, kw_only=True):
    """`payment.resolved`: what the gateway said about an unknown attempt; another event moves the money."""

    outcome: str  # "succeeded", "declined", "not_found"


class ClosedInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """What an early payoff made of an instalment that was open."""

    number: int
    status: str  # "paid" or "cancelled"
    amount_paid: int


class PayoffSucceeded(Attempt, frozen=True, kw_only=True):
    """`payoff.succeeded`"""

    as_of: date
    interest_saved: int  # balance before - amount
    instalments: tuple[ClosedInstalment, ...]  # only those that were open


class PayoffDeclined(Attempt, frozen=True, kw_only=True):
    """`payoff.declined`"""

    decline: Decline


class RetryScheduled(msgspec.Struct, frozen=True, kw_only=True):
    """`payment.retry_scheduled`"""

    number: Count
    retry_at: date
    attempts: int  # declined so far


class LateFeeAssessed(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.late_fee_assessed`: told by the payment service."""

    number: Count
    amount: int  # the fee
    currency: str
    due_date: date
    payment_status: str  # what the instalment is, an attempt in flight aside


class LeaseDelinquent(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.delinquent`: told by the payment service."""

    numbers: tuple[Count, ...]  # instalments late beyond the grace
    days_late: int  # of the oldest
    amount_late: int
    currency: str


class LeaseCured(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.cured`: told by the payment service."""

    as_of: date
    reason: str


Data = (
    LeaseCreated
    | LeasePaidOff
    | AttemptStarted
    | PaymentSucceeded
    | PaymentDeclined
    | PaymentFailed
    | PaymentUnknown
    | PaymentResolved
    | PayoffSucceeded
    | PayoffDeclined
    | RetryScheduled
    | LateFeeAssessed
    | LeaseDelinquent
    | LeaseCured
)
