"""A lease's state at any point, from nothing but its events."""

from collections.abc import Iterable
from datetime import datetime
from functools import reduce
from typing import Any, Literal

import msgspec

from ledger_svc import events
from ledger_svc.entry import Entry
from ledger_svc.events import Event
from ledger_svc.lease_state import CANCELLED, EMPTY, PAID, PROCESSING, UNTOUCHED, LeaseState, apply_data

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

    number: int
    payment_id: str
    status: str  # "scheduled", "due", "late", "processing", "paid", "cancelled"
    amount: int  # minor units
    amount_paid: int  # minor units


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


def fold(entries: Iterable[Entry]) -> LeaseState:
    """The state after all these entries of one lease, applied in the order given (see `select`)."""
    return reduce(apply, (events.decode(entry.raw) for entry in entries), EMPTY)


def snapshot(state: LeaseState) -> Snapshot | None:
    """The state as the contract shows it; None while `lease.created` is not among the events."""
    if state.status is None:
        return None
    payments = []
    for row in state.schedule:
        progress = state.progress.get(row.number, UNTOUCHED)
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
    """The entries of one lease that count at a point, in the order in which to fold them.

    The point is `seq` (the ledger's numbering) or `as_of`, held against the time of the event (`occurred`) or
    of its recording (`recorded`); neither: everything. ValueError for both at once.

    Within a source, order is by `sequence`, whatever the clocks say: an event never counts before one that
    its source said earlier, but takes that one's point where it is later. So a clock that was set back, or an
    event re-emitted late, leaves no hole in what is folded. Between sources: (time, seq), or seq.
    """
    if as_of is not None and seq is not None:
        raise ValueError("as_of or seq, not both")
    limit: Any = as_of if seq is None else seq

    def point(entry: Entry) -> tuple[Any, int]:
        if seq is not None:
            return entry.seq, entry.seq
        return (entry.occurred_at if basis == "occurred" else entry.recorded_at), entry.seq

    reached: dict[str, tuple[Any, int]] = {}
    placed = []
    for entry in sorted(entries, key=lambda each: each.sequence):
        at = point(entry)
        at = reached[entry.source] = max(at, reached.get(entry.source, at))
        placed.append((at, entry))
    placed.sort(key=lambda each: each[0])  # stable: equal points are of one source, already by sequence
    return [entry for at, entry in placed if limit is None or at[0] <= limit]
