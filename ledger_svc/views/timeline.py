"""What happened to a lease, in words for people."""

from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from common.kernel.clock import rfc3339
from ledger_svc.contracts import envelope
from ledger_svc.contracts.entry import Entry
from ledger_svc.event_types import registry
from ledger_svc.event_types.basics.lease import EMPTY, LeaseState
from ledger_svc.event_types.basics.words import Words
from ledger_svc.views.lease_state import apply_data
from ledger_svc.views.point_in_time import in_order
from ledger_svc.views.timeline_text import money


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the timeline."""

    at: Annotated[str, Meta(description="RFC 3339, UTC, microseconds: when it occurred")]
    seq: Annotated[int, Meta(description="of the ledger's entry")]
    type: Annotated[str, Meta(description="the event's")]
    title: Annotated[str, Meta(description="a few words")]
    summary: Annotated[str, Meta(description="a sentence without its full stop")]
    amount: Annotated[int, Meta(description="minor units: what the event is about; not to be added up")]
    collected: Annotated[
        int,
        Meta(description="minor units that came in, negative: went back; all lines together: what is paid"),
    ]
    balance_change: Annotated[
        int, Meta(description="minor units; all lines up to this one together: `balance_after`")
    ]
    balance_after: Annotated[
        int | None, Meta(description="minor units; None while the ledger has not seen lease.created")
    ]


def timeline(entries: Iterable[Entry]) -> Iterator[Item]:
    """One item for each entry of a lease, oldest first (see `point_in_time.in_order`); all entries are given.

    `balance_after` comes from folding all entries up to that one, so a page is cut from the items, never from
    the entries. UnknownEventType and MalformedEvent as in `point_in_time.apply`.
    """
    state = EMPTY
    for entry in in_order(entries):
        data = registry.data_of(envelope.decode(entry.raw))
        before, state = state, apply_data(state, data)
        words = Words(term=len(state.schedule), money=money)
        title, summary, amount = registry.of_data(data).text(data, words)
        yield Item(
            at=rfc3339(entry.occurred_at),
            seq=entry.seq,
            type=entry.type,
            title=title,
            summary=summary,
            amount=amount,
            collected=state.collected - before.collected,
            balance_change=_balance(state) - _balance(before),
            balance_after=None if state.status is None else state.balance,
        )


def _balance(state: LeaseState) -> int:
    """0 while nobody knows: what was paid before is in the change that lease.created brings."""
    return 0 if state.status is None else state.balance
