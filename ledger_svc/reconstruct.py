"""A lease's state at any point, from nothing but its events.

The events of the two sources reach the ledger interleaved in no fixed way. So the state keeps apart what
each source says, every source in its own order, and only `snapshot` brings both together: any interleaving
that keeps the order of each source gives the same state.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import reduce
from typing import Literal, assert_never

import msgspec
from msgspec.structs import replace

from ledger_svc import events, facts
from ledger_svc.entry import Entry
from ledger_svc.events import Event
from ledger_svc.facts import Data, ScheduledInstalment

Basis = Literal["occurred", "recorded"]

SCHEDULED = "scheduled"
LATE = "late"
PROCESSING = "processing"
PAID = "paid"
CANCELLED = "cancelled"
CHARGED_OFF = "charged_off"


class Progress(msgspec.Struct, frozen=True):
    """What became of one instalment, by the payment service's events."""

    status: str = SCHEDULED
    open_status: str = SCHEDULED  # what it falls back to when an attempt moves nothing
    amount_paid: int = 0  # minor units
    amount: int | None = None  # minor units it asks for, where that is not what the schedule says
    late_fee: int = 0  # minor units of late fees, ever; `amount` holds them too


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
    waived: int = 0  # interest no longer owed after an early payoff

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
_UNTOUCHED = Progress()


class PaymentState(msgspec.Struct, frozen=True, kw_only=True):
    """One instalment in a snapshot."""

    number: int
    payment_id: str
    status: str  # "scheduled", "due", "late", "processing", "paid", "cancelled"
    amount: int  # minor units
    amount_paid: int  # minor units


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of a source's events that are not there, with a later one that is."""

    source: str
    first: int
    last: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`state` of the contract's state-at-point."""

    status: str  # "active", "delinquent", "paid_off", "cancelled", "charged_off"
    balance: int  # minor units
    amount_paid: int  # minor units
    payments: list[PaymentState]  # by number


def apply(state: LeaseState, event: Event) -> LeaseState:
    """The state after one more event.

    UnknownEventType where this code does not know the type: skipping it would show a state that never was.
    MalformedEvent where its data is wrong.
    """
    return apply_data(state, events.data_of(event))


def apply_data(state: LeaseState, data: Data) -> LeaseState:
    """The same, where the event's data has been read already."""
    match data:
        case facts.LeaseCreated():
            agreed = data.total_payable
            return replace(state, status="active", schedule=data.schedule, agreed=agreed)
        case facts.LeasePaidOff():
            return replace(state, status="paid_off")
        case facts.LeaseCancelled():
            return replace(state, status=CANCELLED)
        case facts.LeaseChargedOff():
            return replace(state, status=CHARGED_OFF)
        case facts.AttemptStarted() | facts.PaymentUnknown():
            return _attempted(state, data.number, in_flight=True)
        case facts.PaymentDeclined() | facts.PaymentFailed():
            return _attempted(state, data.number, in_flight=False)
        case facts.PaymentSucceeded():
            return _paid(state, data)
        case facts.PayoffSucceeded():
            return _paid_off(state, data)
        case facts.LeaseReopened():
            return replace(state, status="active")
        case facts.MoneyTakenBack():
            return _taken_back(state, data)
        case facts.LateFeeAssessed():
            return _late_fee(state, data)
        case facts.LeaseDelinquent():
            return _delinquent(state, data)
        case facts.LeaseCured():
            return replace(state, delinquent=False)
        case facts.PaymentResolved() | facts.PayoffDeclined() | facts.RetryScheduled():
            return state  # the event that follows moves the money; a declined payoff moves none
        case facts.PayoffQuoted():
            return state  # a promise; nobody has to take it up
        case _:
            assert_never(data)


def _progress(state: LeaseState, number: int) -> Progress:
    return state.progress.get(number, _UNTOUCHED)


def _attempted(state: LeaseState, number: int | None, *, in_flight: bool) -> LeaseState:
    if number is None:  # an early payoff holds up no single instalment
        return state
    before = _progress(state, number)
    after = replace(before, status=PROCESSING if in_flight else before.open_status)
    return replace(state, progress=state.progress | {number: after})


def _paid(state: LeaseState, data: facts.PaymentSucceeded) -> LeaseState:
    before = _progress(state, data.number)
    status = data.payment_status
    after = replace(before, status=status, open_status=status, amount_paid=data.amount_paid)
    collected = state.collected + data.amount
    return replace(state, progress=state.progress | {data.number: after}, collected=collected)


def _late_fee(state: LeaseState, data: facts.LateFeeAssessed) -> LeaseState:
    before = _progress(state, data.number)
    after = replace(
        _open(before, data.payment_status),
        amount=None if before.amount is None else before.amount + data.amount,
        late_fee=before.late_fee + data.amount,
    )
    return replace(state, progress=state.progress | {data.number: after})


def _delinquent(state: LeaseState, data: facts.LeaseDelinquent) -> LeaseState:
    late = {number: _open(_progress(state, number), LATE) for number in data.numbers}
    return replace(state, delinquent=True, progress=state.progress | late)


def _open(before: Progress, status: str) -> Progress:
    """The instalment is open and this is what it is, an attempt in flight aside."""
    return replace(before, status=PROCESSING if before.status == PROCESSING else status, open_status=status)


def _paid_off(state: LeaseState, data: facts.PayoffSucceeded) -> LeaseState:
    closed = {
        each.number: replace(
            _progress(state, each.number),
            status=each.status,
            open_status=each.status,
            amount_paid=each.amount_paid,
        )
        for each in data.instalments
    }
    return replace(
        state,
        progress=state.progress | closed,
        collected=state.collected + data.amount,
        waived=state.waived + data.interest_saved,
    )


def _taken_back(state: LeaseState, data: facts.MoneyTakenBack) -> LeaseState:
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


def fold(entries: Iterable[Entry]) -> LeaseState:
    """The state after all these entries of one lease, applied in the order given (see `select`)."""
    return reduce(apply, (events.decode(entry.raw) for entry in entries), EMPTY)


def snapshot(state: LeaseState) -> Snapshot | None:
    """The state as the contract shows it; None while `lease.created` is not among the events."""
    if state.status is None:
        return None
    payments = []
    for row in state.schedule:
        progress = _progress(state, row.number)
        status = progress.status
        if state.closed and status not in (PAID, PROCESSING):
            status = CANCELLED  # the payment service tells of no instalment that it cancels for this
        payments.append(
            PaymentState(
                number=row.number,
                payment_id=row.payment_id,
                status=status,
                amount=row.amount + progress.late_fee if progress.amount is None else progress.amount,
                amount_paid=progress.amount_paid,
            )
        )
    # The lease service's word stands, but for a lease that it takes for an ordinary one.
    status = "delinquent" if state.delinquent and state.status == "active" else state.status
    return Snapshot(status=status, balance=state.balance, amount_paid=state.collected, payments=payments)


def select(
    entries: Iterable[Entry],
    *,
    as_of: datetime | None = None,
    basis: Basis = "occurred",
    seq: int | None = None,
) -> list[Entry]:
    """The entries of one lease that count at a point, `in_order`: the order in which to fold them.

    The point is `seq` (the ledger's numbering) or `as_of`, held against the time of the event (`occurred`) or
    of its recording (`recorded`); neither: everything. ValueError for both at once.

    By seq and by recording: what the ledger had then, which no later event changes. What was missing then is
    missing in what is folded (see `missing`). By occurrence: what had happened, as far as is known today; an
    event counts from its own time on, or from that of one that its source said earlier where that is later,
    so that a clock that was set back leaves no hole.
    """
    if as_of is not None and seq is not None:
        raise ValueError("as_of or seq, not both")
    if seq is not None:
        return in_order(entry for entry in entries if entry.seq <= seq)
    if as_of is None:
        return in_order(entries)
    if basis == "recorded":
        return in_order(entry for entry in entries if entry.recorded_at <= as_of)
    chosen = []
    reached: dict[str, datetime] = {}
    for entry in sorted(entries, key=lambda each: each.sequence):
        at = max(entry.occurred_at, reached.get(entry.source, entry.occurred_at))
        reached[entry.source] = at
        if at <= as_of:
            chosen.append(entry)
    return in_order(chosen)


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Entries of one lease by seq, but each before all that its source said later.

    So one that was recorded late stands where it belongs: right before its successor.
    """
    placed = []
    following: dict[str, int] = {}
    for entry in sorted(entries, key=lambda each: -each.sequence):
        at = following[entry.source] = min(entry.seq, following.get(entry.source, entry.seq))
        placed.append((at, entry.sequence, entry))
    # equal places are of one source
    return [entry for _, _, entry in sorted(placed, key=lambda each: each[:2])]


def missing(entries: Iterable[Entry]) -> list[Missing]:
    """The numbers that are not among these entries of one lease, with later ones of their source that are."""
    found = []
    last: dict[str, int] = {}
    for entry in sorted(entries, key=lambda each: (each.source, each.sequence)):
        expected = last.get(entry.source, 0) + 1
        if entry.sequence > expected:
            found.append(Missing(source=entry.source, first=expected, last=entry.sequence - 1))
        last[entry.source] = entry.sequence
    return found
