"""Payments, attempts on them and payoffs: their states, and what may follow what. Pure."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from common.kernel.day_count import DayCount
from common.kernel.money import MinorUnits
from payment_svc.contracts.events import AutopayStop, Kind, PaymentStatus
from payment_svc.domain import payoff as payoffs
from payment_svc.domain.allocation import Allocation, allocate
from payment_svc.domain.declines import Decline
from payment_svc.domain.payoff import Payoff

Closed = Literal["cancelled", "charged_off"]
AttemptStatus = Literal["started", "succeeded", "declined", "failed", "unknown"]

# When the gateway is asked about an attempt that it left without an answer; the last one repeats.
ASK_AFTER = (timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=5), timedelta(hours=1))

# How long a charge that may have been sent may be sent again under its key. Gateways forget keys, Stripe not
# before 24 hours; then the same request would charge a second time.
REPEAT_WITHIN = timedelta(hours=20)

# An attempt of which the gateway has no record so long after it was last sent was never made: longer than any
# request is on its way, and than gateways keep a key under which it could still be carried out.
NO_RECORD_AFTER = timedelta(hours=24)

# An attempt of a collection run that is `started` for so long was begun by a process that died, or is very
# slow: it is taken up again under the same key, which does a slow one no harm. A worker makes it three of its
# gateway timeouts.
CLAIM = timedelta(seconds=30)


class Refused(Exception):
    """The command cannot be carried out as things stand: HTTP status, words, the wrong field if any."""

    def __init__(self, status: int, detail: str, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.pointer = pointer


class Account(msgspec.Struct, kw_only=True):
    """A lease as the payment service knows it; see the migration for each column's meaning."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    currency: str
    principal: MinorUnits
    annual_rate: str
    day_count: Annotated[DayCount, Meta(description="how the days of a period become a part of a year")]
    start_date: date
    payment_method: Annotated[str | None, Meta(description="what autopay charges")] = None
    autopay: Annotated[
        bool, Meta(description="whether instalments are to be collected without being asked for")
    ] = False
    autopay_stopped: Annotated[
        AutopayStop | None, Meta(description="the method: no run charges anything of the lease")
    ] = None
    grace_days: Annotated[int, Meta(description="days after a due date without consequences")] = 0
    late_fee: Annotated[int, Meta(description="minor units; 0: none is ever assessed")] = 0
    delinquent: bool = False
    next_look_on: Annotated[
        date | None, Meta(description="the next day on which a collection run has something to do here")
    ] = None
    collected_as_of: Annotated[
        date | None, Meta(description="the lease's day: the highest as_of of a run that has worked on it")
    ] = None
    payoff_in_flight: Annotated[str | None, Meta(description="the payoff, or the refund of one")] = None
    payoff_standing: Annotated[
        str | None, Meta(description="the payoff that settled the lease and is not taken back whole")
    ] = None
    closed: Annotated[Closed | None, Meta(description="how the lease was closed before it was paid")] = None
    money_moves: Annotated[
        int, Meta(description="how often money was collected, given or taken back on the lease")
    ] = 0
    event_sequence: int = 0
    lease_sequence: int = 1

    def look_by(self, day: date) -> None:
        """A collection run of that day has something to do here, if none does before."""
        self.next_look_on = day if self.next_look_on is None else min(self.next_look_on, day)


class Payment(msgspec.Struct, kw_only=True):
    """An instalment to be collected."""

    payment_id: str
    lease_id: str
    number: int
    due_date: date
    owed: Allocation
    paid: Allocation
    principal_balance: int  # minor units of the lease after it, by the schedule
    status: Literal["scheduled", "due", "late", "paid", "cancelled"]
    in_flight: str | None  # the attempt that is not settled yet
    attempts: int
    next_retry_at: datetime | None
    last_attempt_id: str | None
    autopay_since: date | None = None  # as_of of the run that began the present series of attempts
    autopay_declines: int = 0  # of the series
    autopay_failures: int = 0  # of the series: attempts that could not be made as they were
    autopay_stopped: AutopayStop | None = None  # no collection run is to try (again)
    first_tried_on: date | None = None  # as_of of the run whose attempt was the first to reach the gateway
    cancelled_by_payoff: bool = False  # by the standing one, whose share is not in `paid`
    late_fees_waived: int = 0  # minor units; by a payoff, so they are in `owed` no longer
    moved: int = 0  # minor units on it that others' attempts collected; below 0: of its own, on others

    @property
    def open(self) -> bool:
        """Whether it is still to be paid."""
        return self.status not in ("paid", "cancelled")

    @property
    def amount_due(self) -> int:
        """Minor units still to be paid on it; none once it is cancelled."""
        return 0 if self.status == "cancelled" else self.owed.total - self.paid.total

    @property
    def shown_status(self) -> PaymentStatus:
        """The status as clients see it."""
        return "processing" if self.in_flight else self.status


class Attempt(msgspec.Struct, kw_only=True):
    """One try to move money; `attempt_id` is the gateway's idempotency key."""

    attempt_id: str
    command_id: str
    lease_id: str
    payment_id: str | None
    number: int | None
    kind: Kind
    amount: int  # minor units
    currency: str
    payment_method: str
    status: AttemptStatus
    decline: Decline | None = None
    gateway_reference: str | None = None
    payoff: Payoff | None = None
    traceparent: str | None = None  # W3C trace context of the request
    created_at: datetime
    settled_at: datetime | None = None
    checks: int = 0  # how often the gateway was asked about it, or it was made once more
    next_check_at: datetime | None = None  # when to ask about it, or (started) to make it once more
    taken_up_at: datetime | None = None  # when it was last made once more
    failures: int = 0  # how often it was made once more, or its answer recorded, in vain
    run_id: str | None = None  # of the collection run; None: by hand, a command waits for the outcome
    as_of: date | None = None  # of the collection run
    refunds: str | None = None  # of a refund or chargeback: the attempt whose money it takes back
    reason: str | None = None  # of a refund or chargeback; of a collection run "due" or "retry"
    notice_id: str | None = None  # of a chargeback: the gateway's
    refunded: int = 0  # minor units of it that have been taken back
    after_closing: bool = False  # a payoff that found the lease closed: it has settled no instalment
    refund_due_of: str | None = None  # the payoff whose `refund_due` a refund gives back
    cured: bool = False  # its money has ended the lease's delinquency

    @property
    def in_flight(self) -> bool:
        """Whether its outcome is still to come."""
        return self.status in ("started", "unknown")

    @property
    def left(self) -> int:
        """Minor units that it has collected and that have not been taken back."""
        return self.amount - self.refunded if self.status == "succeeded" else 0

    @property
    def refund_due(self) -> int:
        """Minor units that a payoff gives back to the customer, given back or not."""
        return 0 if self.payoff is None or self.after_closing else self.payoff.refund_due

    @property
    def late_fees_waived(self) -> int:
        """Minor units of late fees that a payoff has waived."""
        return 0 if self.payoff is None else self.payoff.late_fees_waived


def may_repeat(attempt: Attempt, now: datetime) -> bool:
    """Whether a charge that was perhaps sent before may be sent again: while its key is sure to be known."""
    return now - attempt.created_at <= REPEAT_WITHIN


def never_made(attempt: Attempt, asked_at: datetime) -> bool:
    """Whether that the gateway had no record of it then says that there never will be one."""
    return asked_at - (attempt.taken_up_at or attempt.created_at) >= NO_RECORD_AFTER


def start(
    account: Account,
    payment: Payment,
    attempt_id: str,
    command_id: str,
    method: str,
    amount: int | None,
    now: datetime,
) -> Attempt:
    """Begin to collect an instalment. Raises Refused: 409 for its state, 422 for the amount."""
    refuse_closed(account)
    if payment.in_flight or account.payoff_in_flight:
        what = "An attempt on this payment" if payment.in_flight else "A payoff of this lease or its refund"
        raise Refused(409, f"{what} is in flight; its outcome has to be known first.")
    if not payment.open:
        raise Refused(409, f"This payment is {payment.status}.")
    if amount is not None and amount > payment.amount_due:
        raise Refused(422, f"must be at most {payment.amount_due}, what is still due", "/amount")
    payment.in_flight = payment.last_attempt_id = attempt_id
    payment.attempts += 1
    return Attempt(
        attempt_id=attempt_id,
        command_id=command_id,
        lease_id=account.lease_id,
        payment_id=payment.payment_id,
        number=payment.number,
        kind="instalment",
        amount=payment.amount_due if amount is None else amount,
        currency=account.currency,
        payment_method=method,
        status="started",
        created_at=now,
    )


def start_payoff(
    account: Account,
    payments: list[Payment],
    attempt_id: str,
    command_id: str,
    method: str,
    today: date,
    now: datetime,
    *,
    formula: str = payoffs.FORMULA,
) -> Attempt:
    """Begin to collect all that is left; `formula` as in `payoff`.

    Raises Refused: 409 for the lease's state, 422 before it starts.
    """
    nothing_in_flight(account, payments)
    try:
        payoff = payoff_of(account, payments, today, formula=formula)
    except payoffs.PayoffError:
        raise Refused(
            422, f"The lease starts on {account.start_date}; it cannot be paid off before."
        ) from None
    return begin_payoff(account, payoff, attempt_id, command_id, method, now)


def nothing_in_flight(account: Account, payments: list[Payment]) -> None:
    """Raises Refused 409 where the lease is closed, or an attempt on any part of it has no outcome yet."""
    refuse_closed(account)
    if account.payoff_in_flight or any(payment.in_flight for payment in payments):
        raise Refused(409, "An attempt on this lease is in flight; its outcome has to be known first.")


def something_left(payments: list[Payment]) -> None:
    """Raises Refused 409 where no instalment is open."""
    if not any(payment.open for payment in payments):
        raise Refused(409, "Nothing is left to be paid on this lease.")


def payoff_of(
    account: Account, payments: list[Payment], as_of: date, *, formula: str = payoffs.FORMULA
) -> Payoff:
    """What it costs to pay the lease off on a day; `formula` as in `payoff`.

    Raises Refused 409 where nothing is left, PayoffError.
    """
    something_left(payments)
    instalments = [
        payoffs.Instalment(
            number=payment.number,
            due_date=payment.due_date,
            owed=payment.owed,
            paid=payment.paid,
            principal_balance=payment.principal_balance,
            open=payment.open,
        )
        for payment in payments
    ]
    if account.payoff_standing:
        return payoffs.rest(instalments, as_of)
    terms = payoffs.Terms(
        principal=account.principal,
        annual_rate=account.annual_rate,
        day_count=account.day_count,
        start_date=account.start_date,
    )
    return payoffs.payoff(terms, instalments, as_of, formula=formula)


def begin_payoff(
    account: Account, payoff: Payoff, attempt_id: str, command_id: str, method: str, now: datetime
) -> Attempt:
    """The attempt that pays this payoff; nothing else can begin on the lease until it is settled."""
    account.payoff_in_flight = attempt_id
    return Attempt(
        attempt_id=attempt_id,
        command_id=command_id,
        lease_id=account.lease_id,
        payment_id=None,
        number=None,
        kind="payoff",
        amount=payoff.amount,
        currency=account.currency,
        payment_method=method,
        status="started",
        payoff=payoff,
        created_at=now,
    )


def refuse_closed(account: Account) -> None:
    """Raises Refused 409 where the lease was closed before it was paid."""
    if account.closed:
        how = account.closed.replace("_", " ")
        raise Refused(409, f"This lease has been {how}; nothing more is collected on it.")


def collect(payment: Payment, amount: int) -> Allocation:
    """Money came in for an instalment: what it was for."""
    allocation = allocate(payment.owed, payment.paid, amount)
    payment.paid += allocation
    payment.in_flight = None
    if payment.amount_due == 0 and payment.status != "cancelled":
        payment.status = "paid"
        done(payment)
    return allocation


def settle_payoff(account: Account, payments: list[Payment], attempt: Attempt) -> None:
    """Money came in for all that was left: every open instalment is paid or cancelled.

    It is settled for the amount that was promised or worked out when the payoff began: a late fee that was
    assessed since is waived.
    """
    payoff = attempt.payoff
    assert payoff is not None
    account.payoff_in_flight = None
    if account.closed:  # while it was in flight: nothing was left any longer
        attempt.after_closing = True
        return
    if payoff.formula != payoffs.REST:
        account.payoff_standing = attempt.attempt_id
    settled = {instalment.number: instalment for instalment in payoff.instalments}
    for payment in payments:
        if payment.number in settled:
            _waive(payment, settled)
            payment.status = settled[payment.number].status
            payment.cancelled_by_payoff = payment.status == "cancelled"
            done(payment)
            if payment.status == "paid":
                payment.paid = payment.owed
    attempt.payoff = msgspec.structs.replace(payoff, instalments=tuple(settled.values()))


def _waive(payment: Payment, settled: dict[int, payoffs.Settled]) -> None:
    """Late fees that were assessed since the payoff was worked out are owed no longer."""
    its = settled[payment.number]
    waived = payment.owed.late_fees - its.owed.late_fees
    if waived:
        payment.owed = its.owed
        payment.late_fees_waived += waived
        settled[payment.number] = msgspec.structs.replace(its, late_fees_waived=waived)


def done(payment: Payment) -> None:
    """Nothing is left to collect, so nothing is stopped and no retry is to come."""
    payment.autopay_stopped = None
    payment.next_retry_at = None


def next_check(attempt: Attempt, now: datetime, ask_after: Sequence[timedelta] = ASK_AFTER) -> None:
    """The gateway has not said what became of it: when to ask (again)."""
    attempt.status = "unknown"
    attempt.next_check_at = now + ask_after[min(attempt.checks, len(ask_after) - 1)]


def put_off(
    attempt: Attempt, now: datetime, ask_after: Sequence[timedelta] = ASK_AFTER, *, called: bool = True
) -> datetime:
    """It was made once more and the gateway was not reached: it is `started` still, to be made again then.

    Whoever made it before may have got through, so it has not failed. `called` False: the gateway was not
    even tried. Refunds that no message asks for have a time of their own, see `returns`.
    """
    again_at = now + ask_after[min(attempt.failures, len(ask_after) - 1) if called else 0]
    attempt.failures = attempt.failures + 1 if called else max(attempt.failures, 1)
    if attempt.next_check_at is not None:
        attempt.next_check_at = again_at
    return again_at
