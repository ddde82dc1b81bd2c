"""A lease's state, and how each event changes it. Pure.

The events of the two sources reach the ledger interleaved in no fixed way. So the state keeps apart what
each source says, every source in its own order, and only `reconstruct.snapshot` brings both together: any
interleaving that keeps the order of each source gives the same state.
"""

from datetime import date
from typing import assert_never

import msgspec
from msgspec.structs import replace

from ledger_svc.contracts import payloads
from ledger_svc.contracts.payloads import Data, ScheduledInstalment

SCHEDULED = "scheduled"
DUE = "due"
LATE = "late"
PROCESSING = "processing"
PAID = "paid"
CANCELLED = "cancelled"
CHARGED_OFF = "charged_off"
OPEN = (SCHEDULED, DUE, LATE)  # of an instalment on which nothing is in flight


class Progress(msgspec.Struct, frozen=True):
    """What became of one instalment, by the payment service's events."""

    status: str = SCHEDULED
    open_status: str = SCHEDULED  # what it falls back to when an attempt moves nothing
    amount_paid: int = 0  # minor units
    amount: int | None = None  # minor units it asks for, where that is not what the schedule says
    late_fee: int = 0  # minor units of late fees, ever; `amount` holds them too
    waived: int = 0  # minor units of these that a payoff waived while `amount` was None

    def asked(self, agreed: int) -> int:
        """Minor units that it asks for; `agreed`: what the schedule says."""
        return agreed + self.late_fee - self.waived if self.amount is None else self.amount


class LeaseState(msgspec.Struct, frozen=True, kw_only=True):
    """All that a lease's events say so far; money in minor units."""

    # by the lease service
    status: str | None = None  # None before lease.created
    schedule: tuple[ScheduledInstalment, ...] = ()
    agreed: int = 0  # total payable
    # by the payment service
    delinquent: bool = False
    progress: dict[int, Progress] = {}  # by number; never changed in place
    collected: int = 0  # all money taken and not given back
    waived: int = 0  # interest and late fees no longer owed after an early payoff
    day: date | None = None  # the last day of a collection run on the lease that an event tells of

    @property
    def closed(self) -> bool:
        """Whether the lease was closed before it was paid."""
        return self.status in (CANCELLED, CHARGED_OFF)

    @property
    def billed(self) -> int:
        """All that was ever to be paid: what was agreed, and late fees."""
        return self.agreed + sum(each.late_fee for each in self.progress.values())

    @property
    def balance(self) -> int:
        """Still to be paid: Σ(amount - paid) over instalments not cancelled."""
        if self.closed:  # money that was in flight then pays nothing off
            return 0
        return self.billed - self.collected - self.waived


EMPTY = LeaseState()
UNTOUCHED = Progress()


def apply_data(state: LeaseState, data: Data) -> LeaseState:
    """The state after one more event, given its data."""
    match data:
        case (
            payloads.AttemptStarted(as_of=date() as day)
            | payloads.LateFeeAssessed(as_of=day)
            | payloads.LeaseDelinquent(as_of=day)
            | payloads.LeaseCured(as_of=day)
        ):
            state = replace(state, day=max(day, state.day or day))
    match data:
        case payloads.LeaseCreated():
            agreed = data.total_payable
            return replace(state, status="active", schedule=data.schedule, agreed=agreed)
        case payloads.LeasePaidOff():
            return replace(state, status="paid_off")
        case payloads.LeaseCancelled():
            return replace(state, status=CANCELLED)
        case payloads.LeaseChargedOff():
            return replace(state, status=CHARGED_OFF)
        case payloads.AttemptStarted() | payloads.PaymentUnknown():
            return _attempted(state, data.number, in_flight=True)
        case payloads.PaymentDeclined() | payloads.PaymentFailed():
            return _attempted(state, data.number, in_flight=False)
        case payloads.PaymentSucceeded():
            return _paid(state, data)
        case payloads.PayoffSucceeded():
            return _paid_off(state, data)
        case payloads.LeaseReopened():
            return replace(state, status="active")
        case payloads.MoneyTakenBack():
            return _taken_back(state, data)
        case payloads.LateFeeAssessed():
            return _late_fee(state, data)
        case payloads.LeaseDelinquent():
            return _delinquent(state, data)
        case payloads.LeaseCured():
            return replace(state, delinquent=False)
        case payloads.PaymentResolved() | payloads.PayoffDeclined() | payloads.RetryScheduled():
            return state  # the event that follows moves the money; a declined payoff moves none
        case payloads.PayoffQuoted() | payloads.AutopayChanged():
            return state  # a promise, and how money is to come in
        case _:
            assert_never(data)


def by_the_day(state: LeaseState, due_date: date, told: str) -> str:
    """What an open instalment is: what was told of it, or what the calendar of the last run says since.

    The payment service's statuses go by that day, and no event says of each instalment that it has come.
    """
    if state.day is None or due_date > state.day or told == LATE:
        return told
    return LATE if due_date < state.day else DUE


def _progress(state: LeaseState, number: int) -> Progress:
    return state.progress.get(number, UNTOUCHED)


def _attempted(state: LeaseState, number: int | None, *, in_flight: bool) -> LeaseState:
    if number is None:  # an early payoff holds up no single instalment
        return state
    before = _progress(state, number)
    after = replace(before, status=PROCESSING if in_flight else before.open_status)
    return replace(state, progress=state.progress | {number: after})


def _paid(state: LeaseState, data: payloads.PaymentSucceeded) -> LeaseState:
    before = _progress(state, data.number)
    status = data.payment_status
    after = replace(before, status=status, open_status=status, amount_paid=data.amount_paid)
    collected = state.collected + data.amount
    return replace(state, progress=state.progress | {data.number: after}, collected=collected)


def _late_fee(state: LeaseState, data: payloads.LateFeeAssessed) -> LeaseState:
    before = _progress(state, data.number)
    after = replace(
        _open(before, data.payment_status),
        amount=None if before.amount is None else before.amount + data.amount,
        late_fee=before.late_fee + data.amount,
    )
    return replace(state, progress=state.progress | {data.number: after})


def _delinquent(state: LeaseState, data: payloads.LeaseDelinquent) -> LeaseState:
    late = {number: _open(_progress(state, number), LATE) for number in data.numbers}
    return replace(state, delinquent=True, progress=state.progress | late)


def _open(before: Progress, status: str) -> Progress:
    """The instalment is open and this is what it is, an attempt in flight aside."""
    return replace(before, status=PROCESSING if before.status == PROCESSING else status, open_status=status)


def _paid_off(state: LeaseState, data: payloads.PayoffSucceeded) -> LeaseState:
    closed = {each.number: _settled(_progress(state, each.number), each) for each in data.instalments}
    return replace(
        state,
        progress=state.progress | closed,
        collected=state.collected + data.amount,
        waived=state.waived + data.settled - data.amount,
    )


def _settled(before: Progress, by_payoff: payloads.ClosedInstalment) -> Progress:
    waived = by_payoff.late_fees_waived
    return replace(
        before,
        status=by_payoff.status,
        open_status=by_payoff.status,
        amount_paid=by_payoff.amount_paid,
        amount=None if before.amount is None else before.amount - waived,
        waived=before.waived + waived if before.amount is None else before.waived,
    )


def _taken_back(state: LeaseState, data: payloads.MoneyTakenBack) -> LeaseState:
    landed = _attempted(state, data.number, in_flight=False)
    changed = {
        each.number: replace(
            _progress(landed, each.number),
            status=each.status,
            open_status=each.status,
            amount_paid=each.amount_paid,
            amount=each.amount,
        )
        for each in data.instalments
    }
    return replace(
        landed,
        progress=landed.progress | changed,
        collected=state.collected - data.amount,
        waived=state.waived + data.amount - data.owed_again,
    )
