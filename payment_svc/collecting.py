"""Collections: what one run does with a lease, and what a declined autopay attempt leads to. Pure.

Days are counted in calendar days of a run's `as_of`, never by a clock, so a run that is killed and run again,
or comes late, or is followed by one for an earlier day decides the same once.

Attempts come first. Late fee and delinquency of an instalment wait until nothing is in flight on it; the end
of an attempt has the lease looked at once more, as of the same day (`settled`), and then they follow.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import msgspec

from payment_svc.attempt import Account, Attempt, Payment
from payment_svc.declines import Decline
from payment_svc.events import AutopayOver

# A soft decline of autopay is tried again so many days after the run that tried first …
RETRY_AFTER_DAYS = (1, 3, 5)
# … and then never: a bound on the attempts of autopay that the issuer declines, for each instalment, and on
# those that cannot be made as they are (the gateway will not take them), one a day.
MAX_ATTEMPTS = 1 + len(RETRY_AFTER_DAYS)

ONE_DAY = timedelta(days=1)


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a run does with one open instalment that has reached its due date."""

    payment: Payment
    status: Literal["due", "late"]
    late_fee: bool  # assess it now
    attempt: bool  # start an autopay attempt now

    @property
    def newly_due(self) -> bool:
        """Whether no run has found it due before."""
        return self.payment.status == "scheduled"


class Decisions(msgspec.Struct, frozen=True, kw_only=True):
    """What a run does with one lease."""

    instalments: list[Decision]
    delinquent: list[Payment]  # the lease becomes delinquent because of these; empty: it does not
    cured: bool  # it was delinquent, and nobody has noticed yet that all of that is paid
    next_look_on: date | None  # attempts that are started now aside: their ends see to it


def decide(account: Account, reached: Sequence[Payment], next_due: date | None, as_of: date) -> Decisions:
    """What a run as of a day does with a lease.

    `reached`: its open instalments due on or before the day, in order; `next_due`: the next due date after
    it among the open ones. Deciding again, once all of it is done, gives nothing to do.
    """
    instalments = [_decision(account, payment, as_of) for payment in reached]
    late = [
        each.payment
        for each in instalments
        if not each.attempt and _consequences_due(account, each.payment, as_of)
    ]
    looks = [next_look(account, each.payment, as_of) for each in instalments if not each.attempt]
    return Decisions(
        instalments=instalments,
        delinquent=[] if account.delinquent else late,
        # A payment cures in its own transaction; this is for what was paid before that was so.
        cured=account.delinquent
        and not any(as_of >= _after_grace(account, each.due_date) for each in reached),
        next_look_on=min((day for day in (*looks, next_due) if day is not None), default=None),
    )


def _decision(account: Account, payment: Payment, as_of: date) -> Decision:
    attempt = _autopay_on(account, payment, as_of)
    return Decision(
        payment=payment,
        status="late" if payment.due_date < as_of else "due",
        late_fee=not attempt
        and _late_fee_open(account, payment)
        and _consequences_due(account, payment, as_of),
        attempt=attempt,
    )


def status_on(payment: Payment, day: date | None) -> Literal["scheduled", "due", "late"]:
    """What an open instalment is by the lease's day: the highest `as_of` that has worked on it, if any."""
    if day is None or payment.due_date > day:
        return "scheduled"
    return "late" if payment.due_date < day else "due"


def grace_ends(account: Account, payment: Payment) -> date | None:
    """The first day on which an instalment is late for longer than the grace; None: it has not begun.

    The grace counts from the due date, or from the day on which autopay first tried where that is later;
    while autopay works and has not tried it does not begin.
    """
    if payment.first_tried_on is not None:
        return _after_grace(account, max(payment.due_date, payment.first_tried_on))
    return None if _autopay_wanted(account, payment) else _after_grace(account, payment.due_date)


def beyond_grace(account: Account, payment: Payment, as_of: date) -> bool:
    """Whether it is late for longer than the grace: `grace_days` days late are still forgiven."""
    ends = grace_ends(account, payment)
    return ends is not None and as_of >= ends


def cured(account: Account, payments: Sequence[Payment]) -> bool:
    """Whether a delinquent lease, of which money has just come in, is delinquent no longer.

    `payments`: all of the lease. By the lease's day: nothing is open that is late beyond the grace, in flight
    or not.
    """
    day = account.collected_as_of
    if day is None:
        return False
    late = any(payment.open and beyond_grace(account, payment, day) for payment in payments)
    return account.delinquent and not late


def next_look(account: Account, payment: Payment, as_of: date) -> date | None:
    """The first day after `as_of` on which a run has something to do with an open instalment; None: never.

    What waits for an attempt in flight is not a matter of days: see `settled`.
    """
    days = []
    if payment.due_date >= as_of:
        days.append(payment.due_date + ONE_DAY if payment.due_date == as_of else payment.due_date)
    ends = grace_ends(account, payment)
    if ends is not None and ends > as_of:
        days.append(ends)
    if _autopay_wanted(account, payment):
        retry_on = payment.next_retry_at.date() if payment.next_retry_at else payment.due_date
        days.append(max(retry_on, as_of + ONE_DAY))
    return min(days, default=None)


def settled(account: Account, payments: Sequence[Payment]) -> None:
    """An attempt on these has ended, or is unknown: when a run is to look at the lease next.

    At once, as of the lease's day, where something waited for this end; else when the next day comes that
    matters.
    """
    day = account.collected_as_of
    if day is None:
        return  # the first run is still to come, and has its day
    for payment in payments:
        if not payment.open:
            continue
        look_on = day if _something_to_do(account, payment, day) else next_look(account, payment, day)
        if look_on is not None:
            account.look_by(look_on)


def _something_to_do(account: Account, payment: Payment, day: date) -> bool:
    if payment.due_date > day:
        return False
    if _autopay_on(account, payment, day):
        return True
    open_ones = _late_fee_open(account, payment) or not account.delinquent
    return open_ones and _consequences_due(account, payment, day)


def _consequences_due(account: Account, payment: Payment, as_of: date) -> bool:
    """Late beyond the grace, and nothing is in flight that may still pay it."""
    held = payment.in_flight is not None or account.payoff_in_flight is not None
    return not held and beyond_grace(account, payment, as_of)


def _after_grace(account: Account, since: date) -> date:
    return since + timedelta(days=account.grace_days) + ONE_DAY


class Autopay(msgspec.Struct, frozen=True, kw_only=True):
    """What the end of an attempt on an instalment means for autopay."""

    retry_on: date | None = None  # the day it tries again
    over: AutopayOver | None = None  # why it never does; None: nothing has ended by this


def declined(account: Account, payment: Payment, attempt: Attempt, decline: Decline) -> Autopay:
    """The issuer said no to an attempt on an instalment.

    A hard decline of the payment method that autopay charges ends autopay for this instalment, whoever asked
    for the attempt; so does the last soft one of `MAX_ATTEMPTS`.
    """
    over: AutopayOver | None = None
    if decline.class_ == "hard" and attempt.payment_method == account.payment_method:
        over = _end(account, payment, "hard_decline")
    if attempt.as_of is None:
        return Autopay(over=over)
    payment.autopay_declines += 1
    if payment.autopay_declines >= MAX_ATTEMPTS:
        over = over or _end(account, payment, "last_decline")
    if payment.autopay_over or not payment.open:
        payment.autopay_over = True
        return Autopay(over=over)
    since = payment.autopay_since or attempt.as_of
    after = timedelta(days=RETRY_AFTER_DAYS[payment.autopay_declines - 1])
    return Autopay(retry_on=_retry_on(payment, max(since + after, attempt.as_of + ONE_DAY)))


def not_reached(account: Account, payment: Payment, attempt: Attempt, *, outage: bool) -> AutopayOver | None:
    """An attempt has failed: the next day's run tries again, unless that is of no use.

    `outage`: it speaks against the gateway's health only, and the payment method was not tried; otherwise
    against this attempt, and after `MAX_ATTEMPTS` of those autopay is over.
    """
    if outage and attempt.as_of is not None and payment.first_tried_on == attempt.as_of:
        payment.first_tried_on = None
    if attempt.as_of is not None and not outage:
        payment.autopay_failures += 1
        if payment.autopay_failures >= MAX_ATTEMPTS:
            return _end(account, payment, "cannot_be_made")
    not_done(payment, attempt)
    return None


def not_done(payment: Payment, attempt: Attempt) -> None:
    """An attempt that no issuer has declined left something to be paid: the next day's run tries again.

    The gateway was certainly not reached; or a late fee was assessed while the attempt was in flight, as
    runs once did.
    """
    if attempt.as_of is not None and payment.open and not payment.autopay_over:
        _retry_on(payment, attempt.as_of + ONE_DAY)


def given_back(payment: Payment) -> None:
    """Money was taken back from an instalment: it is open again, and nothing is taken again by itself."""
    payment.autopay_over = True
    payment.next_retry_at = None


def _end(account: Account, payment: Payment, why: AutopayOver) -> AutopayOver | None:
    """No run is to try again; `why`, where one would have."""
    would_have = _autopay_wanted(account, payment) and payment.open
    payment.autopay_over = True
    payment.next_retry_at = None
    return why if would_have else None


def tried(payment: Payment, as_of: date) -> None:
    """A run has started an autopay attempt."""
    payment.first_tried_on = payment.first_tried_on or as_of
    payment.autopay_since = payment.autopay_since or as_of
    payment.next_retry_at = None


def _retry_on(payment: Payment, day: date) -> date:
    payment.next_retry_at = datetime.combine(day, time(), UTC)
    return day


def _late_fee_open(account: Account, payment: Payment) -> bool:
    """Whether a late fee may still be assessed: once in an instalment's life."""
    return account.late_fee > 0 and payment.owed.late_fees == 0


def _autopay_wanted(account: Account, payment: Payment) -> bool:
    return account.autopay and account.payment_method is not None and not payment.autopay_over


def _autopay_on(account: Account, payment: Payment, as_of: date) -> bool:
    if not _autopay_wanted(account, payment) or payment.in_flight or account.payoff_in_flight:
        return False
    if payment.autopay_since is None:
        return True
    return payment.next_retry_at is not None and payment.next_retry_at.date() <= as_of
