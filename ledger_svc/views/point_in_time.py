"""A lease's state at any point, from nothing but its events."""

from collections.abc import Iterable
from datetime import datetime
from functools import reduce
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ledger_svc.contracts import envelope
from ledger_svc.contracts.entry import Entry
from ledger_svc.contracts.envelope import Event
from ledger_svc.event_types import registry
from ledger_svc.event_types.basics.fields import MinorUnits
from ledger_svc.event_types.basics.lease import (
    CANCELLED,
    EMPTY,
    OPEN,
    PAID,
    PROCESSING,
    UNTOUCHED,
    LeaseState,
)
from ledger_svc.views.lease_state import apply_data, by_the_day

__all__ = [
    "EMPTY",
    "Basis",
    "LeaseState",
    "PaymentState",
    "Snapshot",
    "apply",
    "apply_data",
    "fold",
    "select",
    "snapshot",
]

Basis = Literal["occurred", "recorded"]


class PaymentState(msgspec.Struct, frozen=True, kw_only=True):
    """One instalment in a snapshot."""

    number: Annotated[int, Meta(description="of the instalment: 1, 2, 3 …")]
    payment_id: Annotated[str, Meta(description="the instalment's payment, UUIDv7")]
    status: Annotated[str, Meta(description='"scheduled", "due", "late", "processing", "paid", "cancelled"')]
    amount: MinorUnits
    amount_paid: MinorUnits
    amount_due: Annotated[
        int,
        Meta(description="minor units still to be paid; 0 once it is cancelled, whatever is under way on it"),
    ]


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of a source's events that are not there, with a later one that is."""

    source: str
    first: int
    last: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`state` of the contract's state-at-point.

    Its lines add up: `amount_paid` is that of all payments and `settled_early`, `balance` is the `amount_due`
    of all payments.
    """

    status: Annotated[str, Meta(description='"active", "delinquent", "paid_off", "cancelled", "charged_off"')]
    balance: MinorUnits
    amount_paid: MinorUnits
    settled_early: Annotated[
        int, Meta(description="of `amount_paid`, what payoffs paid for payments that they cancelled")
    ]
    payments: Annotated[list[PaymentState], Meta(description="by number")]


def apply(state: LeaseState, event: Event) -> LeaseState:
    """The state after one more event.

    UnknownEventType where this code does not know the type: skipping it would show a state that never was.
    MalformedEvent where its data is wrong.
    """
    return apply_data(state, registry.data_of(event))


def fold(entries: Iterable[Entry]) -> LeaseState:
    """The state after all these entries of one lease, applied in the order given (see `select`)."""
    return reduce(apply, (envelope.decode(entry.raw) for entry in entries), EMPTY)


def snapshot(state: LeaseState) -> Snapshot | None:
    """The state as the contract shows it; None while `lease.created` is not among the events."""
    if state.status is None:
        return None
    payments = []
    for row in state.schedule:
        progress = state.progress.get(row.number, UNTOUCHED)
        status = progress.status
        if state.closed and status not in (PAID, PROCESSING):
            status = CANCELLED  # the payment service publishes no event for this
        amount = progress.asked(row.amount)
        due = 0 if state.closed or progress.open_status == CANCELLED else amount - progress.amount_paid
        if status in OPEN:
            status = by_the_day(state, row.due_date, status)
        payments.append(
            PaymentState(
                number=row.number,
                payment_id=row.payment_id,
                status=status,
                amount=amount,
                amount_paid=progress.amount_paid,
                amount_due=due,
            )
        )
    # The lease service's word stands, but for a lease that it takes for an ordinary one.
    status = "delinquent" if state.delinquent and state.status == "active" else state.status
    return Snapshot(
        status=status,
        balance=state.balance,
        amount_paid=state.collected,
        settled_early=state.collected - sum(each.amount_paid for each in payments),
        payments=payments,
    )


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
