"""What the payment service tells, and what it understands of the lease service's events."""

from datetime import date
from typing import Literal

import msgspec

from common.kernel.day_count import DayCount
from payment_svc.domain.allocation import Allocation
from payment_svc.domain.declines import Decline
from payment_svc.domain.payoff import Breakdown

SOURCE = "/payment-svc"

Kind = Literal["instalment", "payoff", "refund", "chargeback"]
PaymentStatus = Literal["scheduled", "due", "late", "processing", "paid", "cancelled"]
# Why no collection run tries to collect an instalment any more: the last of the soft declines that are waited
# out, or as many tries that the gateway would not take. Older events tell a hard decline so; now it stops the
# lease's payment method (`lease.autopay_changed`).
AutopayOver = Literal["hard_decline", "last_decline", "cannot_be_made"]
# What stops autopay: of a lease's payment method a hard decline, of one instalment any of these. Money that
# went back is not taken again by itself. The last one is of rows that are older than the reasons.
AutopayReason = Literal[
    "hard_decline", "last_decline", "cannot_be_made", "money_taken_back", "before_upgrade"
]


class AutopayStop(msgspec.Struct, frozen=True, kw_only=True):
    """Why autopay collects nothing, until `POST /api/v1/leases/{lease_id}/autopay` takes it up again."""

    reason: AutopayReason  # what has stopped it
    since: str  # RFC 3339
    attempt_id: str | None  # the attempt, refund or chargeback that stopped it; null: not known


class AttemptEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The fields all attempts' events have."""

    attempt_id: str
    payment_id: str | None  # null: a payoff, or the refund of one
    number: int | None  # of the instalment; null: a payoff, or the refund of one
    lease_id: str
    kind: Kind
    amount: int  # minor units
    currency: str  # ISO 4217
    payment_method: str


class AttemptStarted(AttemptEvent, frozen=True, kw_only=True):
    """`payment.attempt_started`: the gateway is about to be called."""

    run_id: str | None = None  # the collection run that decided on it; null: asked for, or a refund
    as_of: date | None = None  # of that run
    reason: str | None = None  # of a run: "due", or "retry"; of a refund: why; null: it was asked for
    quote_id: str | None = None  # of a payoff: the quote that it pays; null: it cites none
    formula: str | None = None  # of a payoff: the version of its formula
    refunded_attempt_id: str | None = None  # of a refund: the attempt that had collected the money
    refund_due_of: str | None = None  # of a refund: the payoff whose `refund_due` it gives back


class PaymentSucceeded(AttemptEvent, frozen=True, kw_only=True):
    """`payment.succeeded`: money was collected for an instalment."""

    gateway_reference: str
    allocation: Allocation  # what the money was for
    amount_paid: int  # minor units paid on the instalment so far
    amount_due: int  # minor units left on it
    payment_status: PaymentStatus  # of the instalment now


class PayoffDeclined(AttemptEvent, frozen=True, kw_only=True):
    """`payoff.declined`: the issuer said no to an early payoff."""

    decline: Decline
    gateway_reference: str | None = None  # the gateway's id of the charge or refund that it declined


class PaymentDeclined(AttemptEvent, frozen=True, kw_only=True):
    """`payment.declined`: the issuer said no; to a refund, the gateway."""

    decline: Decline
    gateway_reference: str | None = None  # the gateway's id of the charge or refund that it declined
    autopay_over: AutopayOver | None = None  # why no run tries this instalment again; null: not over by this


class PaymentFailed(AttemptEvent, frozen=True, kw_only=True):
    """`payment.failed`: the gateway was certainly not reached, nothing moved."""

    reason: str
    autopay_over: AutopayOver | None = None  # why no run tries this instalment again; null: not over by this
    outage: bool = True  # it speaks against the gateway's health; false: against this attempt only


class PaymentUnknown(AttemptEvent, frozen=True, kw_only=True):
    """`payment.unknown`: no answer; the money may or may not have moved. It will be asked about."""

    reason: str


class PaymentResolved(AttemptEvent, frozen=True, kw_only=True):
    """`payment.resolved`: what the gateway said of an unknown attempt; the event of its end follows."""

    outcome: Literal["succeeded", "declined", "not_found"]  # not_found: no record of it after a day


class Waived(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a payoff has waived; nothing: `{}`."""

    late_fees: int = 0  # minor units; assessed after the payoff was quoted or begun


class SettledInstalment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a payoff made of an instalment that was open."""

    number: int
    payment_id: str
    status: Literal["paid", "cancelled"]
    amount_paid: int  # minor units
    late_fees_waived: int = 0  # minor units of late fees that it asks for no longer; absent: none


class PayoffSucceeded(AttemptEvent, frozen=True, kw_only=True):
    """`payoff.succeeded`: everything that was left was collected at once."""

    gateway_reference: str | None  # null: the amount is 0, nothing was charged
    as_of: date
    breakdown: Breakdown
    allocation: Allocation  # what the amount was for; interest is net of credits
    interest_saved: int  # minor units no longer owed, or paid ahead and not earned
    refund_due: int = 0  # minor units of interest paid ahead that go back; above 0 only where the amount is 0
    waived: Waived = Waived()  # what was owed beside and is no longer
    formula: str  # version of the formula
    quote_id: str | None  # the quote that had promised the amount; null: worked out on the day
    instalments: list[SettledInstalment]


class PayoffQuoted(msgspec.Struct, frozen=True, kw_only=True):
    """`payoff.quoted`: what it costs to pay the lease off on a day was promised. No money moved."""

    quote_id: str  # the quote, UUIDv7
    lease_id: str
    currency: str  # ISO 4217
    as_of: date
    amount: int  # minor units
    breakdown: Breakdown
    interest_saved: int  # minor units that would no longer be owed, or were paid ahead and are not earned
    refund_due: int = 0  # minor units that would go back; above 0 only where the amount is 0
    formula: str  # version of the formula
    expires_at: str  # RFC 3339, exclusive: the midnight (UTC) that ends the day


class ChangedInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """An instalment after money was taken back from it."""

    number: int
    payment_id: str
    status: PaymentStatus
    amount: int  # minor units it asks for
    amount_paid: int  # minor units paid on it
    amount_due: int  # minor units left on it
    # why no run collects it; null: nothing stops that. Older events do not say: they stop all open ones
    autopay_stopped: AutopayStop | msgspec.UnsetType | None = msgspec.UNSET


class MoneyTakenBack(AttemptEvent, frozen=True, kw_only=True):
    """What an attempt had collected was given or taken back."""

    refunded_attempt_id: str  # the attempt that had collected it
    gateway_reference: str | None  # of the refund; of a chargeback, the charge's
    notice_id: str | None = None  # of a chargeback: the gateway's notice of it
    reason: str  # the client's words, or the gateway's
    allocation: Allocation  # what was undone; interest is negative where a payoff's credits are undone
    instalments: list[ChangedInstalment]  # those it changed
    interest_owed_again: int  # minor units a payoff had saved, once all of it is taken back or undone; else 0
    late_fees_owed_again: int = 0  # minor units of late fees a payoff had waived, likewise
    refund_due_of: str | None = None  # the payoff whose `refund_due` this gives back; null: any other money
    refund_lapsed: int = 0  # minor units that an undone payoff had not given back yet, and now does not


class PaymentRefunded(MoneyTakenBack, frozen=True, kw_only=True):
    """`payment.refunded`: what an attempt had collected was given back, wholly or in part."""


class PaymentChargedBack(MoneyTakenBack, frozen=True, kw_only=True):
    """`payment.charged_back`: the issuer has taken back what an attempt had collected, wholly or in part."""


class RetryScheduled(msgspec.Struct, frozen=True, kw_only=True):
    """`payment.retry_scheduled`: a soft decline of an autopay attempt; a collection run will try again."""

    attempt_id: str  # the attempt that was declined
    payment_id: str
    number: int  # of the instalment
    lease_id: str
    currency: str  # ISO 4217
    retry_at: date  # the first collection run as of this day or later tries again
    attempts: int  # autopay attempts on this instalment that were declined so far
    reason: str


class AutopayInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """An open instalment whose series of attempts begins anew: nothing stops it, the next run may try it."""

    number: int
    payment_id: str


class AutopayChanged(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.autopay_changed`: whether autopay collects from now on, by which method, and what stops that."""

    lease_id: str
    currency: str  # ISO 4217
    autopay: bool  # stays true where its method is stopped
    payment_method: str | None  # what it charges; null: none was ever named
    autopay_stopped: AutopayStop | None  # why it charges nothing of the lease; null: not stopped
    reason: Literal["requested", "hard_decline"]  # asked for, or the issuer declined the method for good
    instalments: list[AutopayInstalment]  # in order of number; announced retries of these are void


class LateFeeAssessed(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.late_fee_assessed`: an instalment is late beyond the grace; its late fee is owed from now on."""

    lease_id: str
    currency: str  # ISO 4217
    payment_id: str
    number: int  # of the instalment
    amount: int  # minor units; the fee
    due_date: date
    as_of: date  # of the collection run
    amount_due: int  # minor units left on the instalment, the fee included
    payment_status: PaymentStatus  # of the instalment, an attempt in flight aside
    reason: str


class LeaseDelinquent(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.delinquent`: at least one instalment is late for longer than the grace."""

    lease_id: str
    currency: str  # ISO 4217
    as_of: date  # of the collection run
    numbers: list[int]  # of the instalments that are late beyond the grace
    days_late: int  # of the oldest of them
    amount_late: int  # minor units left on all of them
    reason: str


class LeaseCured(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.cured`: a delinquent lease has no instalment left that is late beyond the grace."""

    lease_id: str
    currency: str  # ISO 4217
    as_of: date  # the lease's day: the highest day of a collection run that has worked on it
    reason: str


CATALOGUE: dict[str, type[msgspec.Struct]] = {
    "payment.attempt_started": AttemptStarted,
    "payment.succeeded": PaymentSucceeded,
    "payment.declined": PaymentDeclined,
    "payment.failed": PaymentFailed,
    "payment.unknown": PaymentUnknown,
    "payment.resolved": PaymentResolved,
    "payment.refunded": PaymentRefunded,
    "payment.charged_back": PaymentChargedBack,
    "payoff.succeeded": PayoffSucceeded,
    "payoff.declined": PayoffDeclined,
    "payoff.quoted": PayoffQuoted,
    "payment.retry_scheduled": RetryScheduled,
    "lease.late_fee_assessed": LateFeeAssessed,
    "lease.delinquent": LeaseDelinquent,
    "lease.cured": LeaseCured,
    "lease.autopay_changed": AutopayChanged,
}


class ScheduledInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed here of a schedule's row."""

    number: int
    payment_id: str
    due_date: date
    principal: int  # minor units
    interest: int  # minor units
    fees: int  # minor units
    principal_balance: int  # minor units


class LateFee(msgspec.Struct, frozen=True, kw_only=True):
    """What an instalment costs that is paid late."""

    grace_days: int  # days after the due date
    amount: int  # minor units


class LeaseCreated(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed here of `lease.created`."""

    lease_id: str
    currency: str
    principal: int  # minor units
    annual_rate: str
    day_count: DayCount
    start_date: date
    payment_method: str | None  # for autopay
    autopay: bool
    late_fee: LateFee | None
    schedule: list[ScheduledInstalment]
