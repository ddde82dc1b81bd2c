"""What each type of event says, as far as the ledger stands on it; money in minor units of `currency`.

Every other field is left to the raw bytes, which the ledger keeps: views can grow without touching an entry.
"""

from datetime import date, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
Position = Annotated[int, Meta(ge=0, le=2**31 - 1)]  # in a sequence; the log's column has 31 bits


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


class LeaseCancelled(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.cancelled`: closed before any money was collected."""

    currency: str
    reason: str
    balance: int  # before
    payment_sequence: Position  # of the payment service's events that this takes into account


class LeaseChargedOff(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.charged_off`: given up."""

    currency: str
    reason: str
    amount: int  # the balance before
    payment_sequence: Position  # of the payment service's events that this takes into account


class LeaseReopened(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.reopened`"""

    currency: str
    balance: int  # to be paid again
    cause: str  # "refund" or "chargeback"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What every event of an attempt to move money says."""

    attempt_id: str
    kind: str  # "instalment", "payoff", "refund", "chargeback"
    number: int | None  # of the instalment; None for an early payoff, or the refund of one
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
    payment_status: str  # "paid", "cancelled", or what an open instalment is: "scheduled", "due", "late"


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


class ChangedInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """An instalment after money was taken back from it."""

    number: int
    status: str
    amount: int  # what it asks for: after an early payoff that may be less than the schedule says
    amount_paid: int


class MoneyTakenBack(Attempt, frozen=True, kw_only=True):
    """`payment.refunded`, `payment.charged_back`"""

    reason: str
    instalments: tuple[ChangedInstalment, ...]  # only those it changed
    interest_owed_again: int  # what an early payoff had saved, once all of it is taken back

    @property
    def owed_again(self) -> int:
        """What the balance grows by; nothing on a closed lease, where no instalment is open again."""
        if all(each.status in ("paid", "cancelled") for each in self.instalments):
            return 0
        return self.amount + self.interest_owed_again


class PayoffDeclined(Attempt, frozen=True, kw_only=True):
    """`payoff.declined`"""

    decline: Decline


class PayoffQuoted(msgspec.Struct, frozen=True, kw_only=True):
    """`payoff.quoted`: a promise; it moves nothing."""

    currency: str
    as_of: date
    amount: int
    interest_saved: int  # where it is paid: balance before - amount
    expires_at: Annotated[datetime, Meta(tz=True)]  # exclusive


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
    | LeaseCancelled
    | LeaseChargedOff
    | LeaseReopened
    | AttemptStarted
    | PaymentSucceeded
    | PaymentDeclined
    | PaymentFailed
    | PaymentUnknown
    | PaymentResolved
    | MoneyTakenBack
    | PayoffSucceeded
    | PayoffDeclined
    | PayoffQuoted
    | RetryScheduled
    | LateFeeAssessed
    | LeaseDelinquent
    | LeaseCured
)
