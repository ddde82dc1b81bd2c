"""Collections: what one run does with a lease, and what a declined autopay attempt leads to. Pure.

Days are counted in calendar days of a run's `as_of`, never by a clock, so a run that is killed and run again,
or comes late, or is followed by one for an earlier day decides the same once.

Attempts come first, of a lease one at a time, the oldest instalment first: the next begins when the one
before has ended, so that a card that is dead is charged once. Late fee and delinquency of an instalment wait
until nothing is in flight on it and its turn is over. The end of an attempt has the lease looked at again, as
of the same day (`settled`), and then they follow.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import msgspec

from common.kernel.clock import rfc3339
from payment_svc.contracts.events import AutopayOver, AutopayReason, AutopayStop
from payment_svc.domain.attempt import Account, Attempt, Payment
from payment_svc.domain.declines import Decline

# A soft decline of autopay is tried again so many days after the run that tried first …
RETRY_AFTER_DAYS = (1, 3, 5)
# … and then no more: a bound on the attempts of autopay that the issuer declines, for each instalment, and on
# those that cannot be made as they are (the gateway will not take them), one a day. A new method begins anew.
MAX_ATTEMPTS = 1 + len(RETRY_AFTER_DAYS)

ONE_DAY = timedelta(days=1)

# What a hard decline of the method that autopay charges stops. By older events that was one instalment, or
# nothing where nothing went on.
HardDeclineStops = Literal["method", "instalment", "nothing"]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a run does with one open instalment that has reached its due date."""

    payment: Payment
    status: Literal["due", "late"]
    late_fee: bool  # assess it now
    attempt: bool  # start an autopay attempt now
    waits: bool  # autopay would try it now, when another of the lease has ended

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
    instalments = []
    free = not any(payment.in_flight for payment in reached)
    for payment in reached:
        wanted = _autopay_on(account, payment, as_of)
        instalments.append(_decision(account, payment, as_of, wanted=wanted, attempt=wanted and free))
        free = free and not wanted
    late = [
        each.payment
        for each in instalments
        if not each.attempt and not each.waits and _consequences_due(account, each.payment, as_of)
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


def _decision(account: Account, payment: Payment, as_of: date, *, wanted: bool, attempt: bool) -> Decision:
    return Decision(
        payment=payment,
        status="late" if payment.due_date < as_of else "due",
        late_fee=not wanted
        and _late_fee_open(account, payment)
        and _consequences_due(account, payment, as_of),
        attempt=attempt,
        waits=wanted and not attempt,
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
    or not. A new method cures nothing: what it has not tried yet is late as by its due date.
    """
    day = account.collected_as_of
    if day is None:
        return False
    late = any(payment.open and keeps_delinquent(account, payment, day) for payment in payments)
    return account.delinquent and not late


def keeps_delinquent(account: Account, payment: Payment, day: date) -> bool:
    """Whether a delinquent lease stays so while this instalment is open: late beyond the grace, tried or
    not."""
    since = max(payment.due_date, payment.first_tried_on or payment.due_date)
    return day >= _after_grace(account, since)


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
    """An attempt on one of these has ended, or is unknown: when a run is to look at the lease next.

    `payments`: of the lease, in order; where autopay is on, with all that are open and have reached their due
    date, for they may have waited for this end. At once, as of the lease's day, where something has; else
    when the next day comes that matters.
    """
    day = account.collected_as_of
    if day is None:
        return  # the first run is still to come, and has its day
    opened = [payment for payment in payments if payment.open]
    found = decide(account, [each for each in opened if each.due_date <= day], None, day)
    at_once = found.delinquent or any(each.attempt or each.late_fee for each in found.instalments)
    looks = [day] if at_once else [next_look(account, payment, day) for payment in opened]
    for look_on in looks:
        if look_on is not None:
            account.look_by(look_on)


def _consequences_due(account: Account, payment: Payment, as_of: date) -> bool:
    """Late beyond the grace, and nothing is in flight that may still pay it."""
    held = payment.in_flight is not None or account.payoff_in_flight is not None
    return not held and beyond_grace(account, payment, as_of)


def _after_grace(account: Account, since: date) -> date:
    return since + timedelta(days=account.grace_days) + ONE_DAY


class Autopay(msgspec.Struct, frozen=True, kw_only=True):
    """What the end of an attempt on an instalment means for autopay of that instalment."""

    retry_on: date | None = None  # the day it tries again
    over: AutopayOver | None = None  # why it is stopped; None: nothing is by this


def stop_method(account: Account, attempt: Attempt, decline: Decline, now: datetime) -> AutopayStop | None:
    """The issuer said no to a charge: a hard decline stops the method that autopay charges.

    Whoever asked for the attempt, and whatever it was to collect. None: nothing is stopped by this.
    """
    if decline.class_ != "hard" or attempt.payment_method != account.payment_method:
        return None
    if not account.autopay or account.autopay_stopped is not None:
        return None
    account.autopay_stopped = _stop("hard_decline", attempt, now)
    return account.autopay_stopped


def tried_for_all(payments: Iterable[Payment], as_of: date) -> list[Payment]:
    """A run's attempt found that the method is dead: it stands for what waited for its turn.

    Their grace counts from that day, as if each had been tried. Gives those that this has changed.
    """
    waited = [each for each in payments if each.open and each.due_date <= as_of and not each.first_tried_on]
    for payment in waited:
        payment.first_tried_on = as_of
    return waited


def stop_dead_method(account: Account, reached: Iterable[Payment]) -> AutopayStop | None:
    """Stop a method that had its hard decline when that stopped one instalment, and not the method.

    `reached`: open instalments of the lease. None: there is nothing to stop.
    """
    if not account.autopay or account.autopay_stopped is not None:
        return None
    for payment in reached:
        if payment.autopay_stopped is not None and payment.autopay_stopped.reason == "hard_decline":
            account.autopay_stopped = payment.autopay_stopped
            return account.autopay_stopped
    return None


def declined(
    account: Account,
    payment: Payment,
    attempt: Attempt,
    decline: Decline,
    now: datetime,
    *,
    hard_stops: HardDeclineStops,
) -> Autopay:
    """The issuer said no to an attempt on an instalment; the last of `MAX_ATTEMPTS` stops autopay of that."""
    over: AutopayOver | None = None
    hard = decline.class_ == "hard" and attempt.payment_method == account.payment_method
    if hard and hard_stops == "instalment":
        over = _stop_instalment(account, payment, "hard_decline", attempt, now)
    tried_on = _series_day(account, attempt)
    if tried_on is None:
        return Autopay(over=over)
    payment.autopay_declines += 1
    if payment.autopay_declines >= MAX_ATTEMPTS:
        over = over or _stop_instalment(account, payment, "last_decline", attempt, now)
    if hard or not _autopay_wanted(account, payment) or not payment.open:
        return Autopay(over=over)
    payment.autopay_since = payment.autopay_since or tried_on
    after = timedelta(days=RETRY_AFTER_DAYS[payment.autopay_declines - 1])
    return Autopay(retry_on=_retry_on(payment, max(payment.autopay_since + after, tried_on + ONE_DAY)))


def not_reached(
    account: Account, payment: Payment, attempt: Attempt, now: datetime, *, outage: bool
) -> AutopayOver | None:
    """An attempt has failed: the next day's run tries again, unless that is of no use.

    `outage`: it speaks against the gateway's health only, and the payment method was not tried; otherwise
    against this attempt, and after `MAX_ATTEMPTS` of those autopay of the instalment is stopped.
    """
    if outage and attempt.as_of is not None and payment.first_tried_on == attempt.as_of:
        payment.first_tried_on = None
    if _series_day(account, attempt) is not None and not outage:
        payment.autopay_failures += 1
        if payment.autopay_failures >= MAX_ATTEMPTS:
            return _stop_instalment(account, payment, "cannot_be_made", attempt, now)
    not_done(account, payment, attempt)
    return None


def not_done(account: Account, payment: Payment, attempt: Attempt) -> None:
    """An attempt that no issuer has declined left something to be paid: the next day's run tries again.

    The gateway was certainly not reached; or a late fee was assessed while the attempt was in flight, as
    runs once did.
    """
    tried_on = _series_day(account, attempt)
    if tried_on is not None and payment.open and _autopay_wanted(account, payment):
        payment.autopay_since = payment.autopay_since or tried_on
        _retry_on(payment, tried_on + ONE_DAY)


def reversal_stops(account: Account, payment: Payment, today: date, in_full: bool) -> bool:
    """Whether autopay stops for an open instalment because money that was for it has been taken back.

    It does where that money had paid it in full (`in_full`) and it is due: on the lease's day, or today where
    that is later. One that was never paid in full, or falls due later, is collected as agreed.
    """
    day = max(today, account.collected_as_of or today)
    return account.autopay and in_full and payment.due_date <= day


def given_back(payment: Payment, attempt: Attempt, now: datetime) -> None:
    """Money that had paid an instalment in full was taken back: it is not taken again by itself."""
    payment.autopay_stopped = payment.autopay_stopped or _stop("money_taken_back", attempt, now)
    payment.next_retry_at = None


def stopped_or_tried(payment: Payment, *, tried: bool) -> bool:
    """Whether autopay of it was stopped; with `tried` also, whether a run has tried it in this series."""
    return payment.autopay_stopped is not None or (tried and payment.autopay_since is not None)


def begin_anew(payment: Payment) -> None:
    """Autopay of an open instalment begins a new series of attempts, whatever stopped the last one."""
    payment.autopay_since = None
    payment.autopay_declines = payment.autopay_failures = 0
    payment.autopay_stopped = None
    payment.next_retry_at = None


def tried(payment: Payment, as_of: date) -> None:
    """A run has started an autopay attempt."""
    payment.first_tried_on = payment.first_tried_on or as_of
    payment.autopay_since = payment.autopay_since or as_of
    payment.next_retry_at = None


def _stop(reason: AutopayReason, attempt: Attempt, now: datetime) -> AutopayStop:
    return AutopayStop(reason=reason, since=rfc3339(now), attempt_id=attempt.attempt_id)


def _stop_instalment(
    account: Account, payment: Payment, why: AutopayOver, attempt: Attempt, now: datetime
) -> AutopayOver | None:
    """No run is to try again; gives `why`, where one would have."""
    if not _autopay_wanted(account, payment) or not payment.open:
        return None
    payment.autopay_stopped = _stop(why, attempt, now)
    payment.next_retry_at = None
    return why


def _series_day(account: Account, attempt: Attempt) -> date | None:
    """The day of a run's attempt by the method that is charged now; None: it is in no series that goes on."""
    return attempt.as_of if attempt.payment_method == account.payment_method else None


def _retry_on(payment: Payment, day: date) -> date:
    payment.next_retry_at = datetime.combine(day, time(), UTC)
    return day


def _late_fee_open(account: Account, payment: Payment) -> bool:
    """Whether a late fee may still be assessed: once in an instalment's life."""
    return account.late_fee > 0 and not (payment.owed.late_fees or payment.late_fees_waived)


def _autopay_wanted(account: Account, payment: Payment) -> bool:
    stopped = account.autopay_stopped or payment.autopay_stopped
    return account.autopay and account.payment_method is not None and stopped is None


def _autopay_on(account: Account, payment: Payment, as_of: date) -> bool:
    if not _autopay_wanted(account, payment) or payment.in_flight or account.payoff_in_flight:
        return False
    if payment.autopay_since is None:
        return True
    return payment.next_retry_at is not None and payment.next_retry_at.date() <= as_of
