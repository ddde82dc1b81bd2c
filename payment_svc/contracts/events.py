"""What the payment service tells, and what it understands of the lease service's events."""

from datetime import date
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from common.kernel.day_count import DayCount
from common.kernel.money import MinorUnits
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

    reason: Annotated[AutopayReason, Meta(description="what has stopped it")]
    since: Annotated[str, Meta(description="RFC 3339")]
    attempt_id: Annotated[
        str | None, Meta(description="the attempt, refund or chargeback that stopped it; null: not known")
    ]


class AttemptEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The fields all attempts' events have."""

    attempt_id: Annotated[str, Meta(description="the attempt, UUIDv7; also the gateway's idempotency key")]
    payment_id: Annotated[str | None, Meta(description="null: a payoff, or the refund of one")]
    number: Annotated[int | None, Meta(description="of the instalment; null: a payoff, or the refund of one")]
    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    kind: Annotated[Kind, Meta(description="what was to be collected, or taken back")]
    amount: MinorUnits
    currency: Annotated[str, Meta(description="ISO 4217")]
    payment_method: Annotated[str, Meta(description="the token that was charged; never a card number")]


class AttemptStarted(AttemptEvent, frozen=True, kw_only=True):
    """`payment.attempt_started`: the gateway is about to be called."""

    run_id: Annotated[
        str | None, Meta(description="the collection run that decided on it; null: asked for, or a refund")
    ] = None
    as_of: Annotated[date | None, Meta(description="of that run")] = None
    reason: Annotated[
        str | None, Meta(description='of a run: "due", or "retry"; of a refund: why; null: it was asked for')
    ] = None
    quote_id: Annotated[
        str | None, Meta(description="of a payoff: the quote that it pays; null: it cites none")
    ] = None
    formula: Annotated[str | None, Meta(description="of a payoff: the version of its formula")] = None
    refunded_attempt_id: Annotated[
        str | None, Meta(description="of a refund: the attempt that had collected the money")
    ] = None
    refund_due_of: Annotated[
        str | None, Meta(description="of a refund: the payoff whose `refund_due` it gives back")
    ] = None


class PaymentSucceeded(AttemptEvent, frozen=True, kw_only=True):
    """`payment.succeeded`: money was collected for an instalment."""

    gateway_reference: Annotated[str, Meta(description="the gateway's id of the charge")]
    allocation: Annotated[Allocation, Meta(description="what the money was for")]
    amount_paid: Annotated[int, Meta(description="minor units paid on the instalment so far")]
    amount_due: Annotated[int, Meta(description="minor units left on it")]
    payment_status: Annotated[PaymentStatus, Meta(description="of the instalment now")]


class PayoffDeclined(AttemptEvent, frozen=True, kw_only=True):
    """`payoff.declined`: the issuer said no to an early payoff."""

    decline: Annotated[Decline, Meta(description="why, and what to do about it")]
    gateway_reference: Annotated[
        str | None, Meta(description="the gateway's id of the charge or refund that it declined")
    ] = None


class PaymentDeclined(AttemptEvent, frozen=True, kw_only=True):
    """`payment.declined`: the issuer said no; to a refund, the gateway."""

    decline: Annotated[Decline, Meta(description="why, and what to do about it")]
    gateway_reference: Annotated[
        str | None, Meta(description="the gateway's id of the charge or refund that it declined")
    ] = None
    autopay_over: Annotated[
        AutopayOver | None, Meta(description="why no run tries this instalment again; null: not over by this")
    ] = None


class PaymentFailed(AttemptEvent, frozen=True, kw_only=True):
    """`payment.failed`: the gateway was certainly not reached, nothing moved."""

    reason: Annotated[str, Meta(description="for a person who reads logs")]
    autopay_over: Annotated[
        AutopayOver | None, Meta(description="why no run tries this instalment again; null: not over by this")
    ] = None
    outage: Annotated[
        bool, Meta(description="it speaks against the gateway's health; false: against this attempt only")
    ] = True


class PaymentUnknown(AttemptEvent, frozen=True, kw_only=True):
    """`payment.unknown`: no answer; the money may or may not have moved. It will be asked about."""

    reason: Annotated[str, Meta(description="for a person who reads logs")]


class PaymentResolved(AttemptEvent, frozen=True, kw_only=True):
    """`payment.resolved`: what the gateway said of an unknown attempt; the event of its end follows."""

    outcome: Annotated[
        Literal["succeeded", "declined", "not_found"],
        Meta(description="not_found: no record of it after a day"),
    ]


class Waived(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a payoff has waived; nothing: `{}`."""

    late_fees: Annotated[
        int, Meta(description="minor units; assessed after the payoff was quoted or begun")
    ] = 0


class SettledInstalment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a payoff made of an instalment that was open."""

    number: Annotated[int, Meta(description="of the instalment: 1, 2, 3 …")]
    payment_id: Annotated[str, Meta(description="the instalment's payment, UUIDv7")]
    status: Annotated[Literal["paid", "cancelled"], Meta(description="what became of it")]
    amount_paid: MinorUnits
    late_fees_waived: Annotated[
        int, Meta(description="minor units of late fees that it asks for no longer; absent: none")
    ] = 0


class PayoffSucceeded(AttemptEvent, frozen=True, kw_only=True):
    """`payoff.succeeded`: everything that was left was collected at once."""

    gateway_reference: Annotated[str | None, Meta(description="null: the amount is 0, nothing was charged")]
    as_of: Annotated[date, Meta(description="the day the payoff was reckoned for")]
    breakdown: Annotated[Breakdown, Meta(description="how the amount comes about")]
    allocation: Annotated[Allocation, Meta(description="what the amount was for; interest is net of credits")]
    interest_saved: Annotated[
        int, Meta(description="minor units no longer owed, or paid ahead and not earned")
    ]
    refund_due: Annotated[
        int,
        Meta(
            description="minor units of interest paid ahead that go back; above 0 only where the amount is 0"
        ),
    ] = 0
    waived: Annotated[Waived, Meta(description="what was owed beside and is no longer")] = Waived()
    formula: Annotated[str, Meta(description="version of the formula")]
    quote_id: Annotated[
        str | None, Meta(description="the quote that had promised the amount; null: worked out on the day")
    ]
    instalments: Annotated[
        list[SettledInstalment], Meta(description="those that were open, in order of number")
    ]


class PayoffQuoted(msgspec.Struct, frozen=True, kw_only=True):
    """`payoff.quoted`: what it costs to pay the lease off on a day was promised. No money moved."""

    quote_id: Annotated[str, Meta(description="the quote, UUIDv7")]
    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    currency: Annotated[str, Meta(description="ISO 4217")]
    as_of: Annotated[date, Meta(description="the day the payoff was reckoned for")]
    amount: MinorUnits
    breakdown: Annotated[Breakdown, Meta(description="how the amount comes about")]
    interest_saved: Annotated[
        int,
        Meta(description="minor units that would no longer be owed, or were paid ahead and are not earned"),
    ]
    refund_due: Annotated[
        int, Meta(description="minor units that would go back; above 0 only where the amount is 0")
    ] = 0
    formula: Annotated[str, Meta(description="version of the formula")]
    expires_at: Annotated[str, Meta(description="RFC 3339, exclusive: the midnight (UTC) that ends the day")]


class ChangedInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """An instalment after money was taken back from it."""

    number: Annotated[int, Meta(description="of the instalment: 1, 2, 3 …")]
    payment_id: Annotated[str, Meta(description="the instalment's payment, UUIDv7")]
    status: Annotated[PaymentStatus, Meta(description="what became of it")]
    amount: Annotated[int, Meta(description="minor units it asks for")]
    amount_paid: Annotated[int, Meta(description="minor units paid on it")]
    amount_due: Annotated[int, Meta(description="minor units left on it")]
    autopay_stopped: Annotated[
        AutopayStop | msgspec.UnsetType | None,
        Meta(
            description="why no run collects it; null: nothing stops that. Older events do not say: they "
            "stop all open ones"
        ),
    ] = msgspec.UNSET


class MoneyTakenBack(AttemptEvent, frozen=True, kw_only=True):
    """What an attempt had collected was given or taken back."""

    refunded_attempt_id: Annotated[str, Meta(description="the attempt that had collected it")]
    gateway_reference: Annotated[str | None, Meta(description="of the refund; of a chargeback, the charge's")]
    notice_id: Annotated[str | None, Meta(description="of a chargeback: the gateway's notice of it")] = None
    reason: Annotated[str, Meta(description="the client's words, or the gateway's")]
    allocation: Annotated[
        Allocation,
        Meta(description="what was undone; interest is negative where a payoff's credits are undone"),
    ]
    instalments: Annotated[list[ChangedInstalment], Meta(description="those it changed")]
    interest_owed_again: Annotated[
        int,
        Meta(description="minor units a payoff had saved, once all of it is taken back or undone; else 0"),
    ]
    late_fees_owed_again: Annotated[
        int, Meta(description="minor units of late fees a payoff had waived, likewise")
    ] = 0
    refund_due_of: Annotated[
        str | None, Meta(description="the payoff whose `refund_due` this gives back; null: any other money")
    ] = None
    refund_lapsed: Annotated[
        int, Meta(description="minor units that an undone payoff had not given back yet, and now does not")
    ] = 0


class PaymentRefunded(MoneyTakenBack, frozen=True, kw_only=True):
    """`payment.refunded`: what an attempt had collected was given back, wholly or in part."""


class PaymentChargedBack(MoneyTakenBack, frozen=True, kw_only=True):
    """`payment.charged_back`: the issuer has taken back what an attempt had collected, wholly or in part."""


class RetryScheduled(msgspec.Struct, frozen=True, kw_only=True):
    """`payment.retry_scheduled`: a soft decline of an autopay attempt; a collection run will try again."""

    attempt_id: Annotated[str, Meta(description="the attempt that was declined")]
    payment_id: Annotated[str, Meta(description="the instalment's payment, UUIDv7")]
    number: Annotated[int, Meta(description="of the instalment")]
    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    currency: Annotated[str, Meta(description="ISO 4217")]
    retry_at: Annotated[
        date, Meta(description="the first collection run as of this day or later tries again")
    ]
    attempts: Annotated[
        int, Meta(description="autopay attempts on this instalment that were declined so far")
    ]
    reason: Annotated[str, Meta(description="for a person who reads logs")]


class AutopayInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """An open instalment whose series of attempts begins anew: nothing stops it, the next run may try it."""

    number: Annotated[int, Meta(description="of the instalment: 1, 2, 3 …")]
    payment_id: Annotated[str, Meta(description="the instalment's payment, UUIDv7")]


class AutopayChanged(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.autopay_changed`: whether autopay collects from now on, by which method, and what stops that."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    currency: Annotated[str, Meta(description="ISO 4217")]
    autopay: Annotated[bool, Meta(description="stays true where its method is stopped")]
    payment_method: Annotated[str | None, Meta(description="what it charges; null: none was ever named")]
    autopay_stopped: Annotated[
        AutopayStop | None, Meta(description="why it charges nothing of the lease; null: not stopped")
    ]
    reason: Annotated[
        Literal["requested", "hard_decline"],
        Meta(description="asked for, or the issuer declined the method for good"),
    ]
    instalments: Annotated[
        list[AutopayInstalment], Meta(description="in order of number; announced retries of these are void")
    ]


class LateFeeAssessed(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.late_fee_assessed`: an instalment is late beyond the grace; its late fee is owed from now on."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    currency: Annotated[str, Meta(description="ISO 4217")]
    payment_id: Annotated[str, Meta(description="the instalment's payment, UUIDv7")]
    number: Annotated[int, Meta(description="of the instalment")]
    amount: Annotated[int, Meta(description="minor units; the fee")]
    due_date: Annotated[date, Meta(description="the day it falls due")]
    as_of: Annotated[date, Meta(description="of the collection run")]
    amount_due: Annotated[int, Meta(description="minor units left on the instalment, the fee included")]
    payment_status: Annotated[
        PaymentStatus, Meta(description="of the instalment, an attempt in flight aside")
    ]
    reason: Annotated[str, Meta(description="for a person who reads logs")]


class LeaseDelinquent(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.delinquent`: at least one instalment is late for longer than the grace."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    currency: Annotated[str, Meta(description="ISO 4217")]
    as_of: Annotated[date, Meta(description="of the collection run")]
    numbers: Annotated[list[int], Meta(description="of the instalments that are late beyond the grace")]
    days_late: Annotated[int, Meta(description="of the oldest of them")]
    amount_late: Annotated[int, Meta(description="minor units left on all of them")]
    reason: Annotated[str, Meta(description="for a person who reads logs")]


class LeaseCured(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.cured`: a delinquent lease has no instalment left that is late beyond the grace."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    currency: Annotated[str, Meta(description="ISO 4217")]
    as_of: Annotated[
        date, Meta(description="the lease's day: the highest day of a collection run that has worked on it")
    ]
    reason: Annotated[str, Meta(description="for a person who reads logs")]


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

# By these no money moves and no lease changes: a reader who does not know them misses nothing it needs.
MAY_BE_SKIPPED = frozenset(
    {
        "payment.attempt_started",
        "payment.declined",
        "payment.failed",
        "payment.resolved",
        "payment.retry_scheduled",
        "payment.unknown",
        "payoff.declined",
        "payoff.quoted",
    }
)


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

    grace_days: Annotated[int, Meta(description="days after the due date")]
    amount: MinorUnits


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
