"""What a batch adds to the log: entries, the nodes that they complete, and a new end.

The writer appends what the stream brings; a rebuild appends what it brought before, by the same function.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from common.postgres.pool import Connection
from ledger_svc.accounting import totals
from ledger_svc.contracts.entry import Entry
from ledger_svc.contracts.envelope import Event
from ledger_svc.log import entry as entries
from ledger_svc.log import recorded_closings
from ledger_svc.log.repository import Head
from ledger_svc.transparency import merkle_tree
from ledger_svc.transparency.merkle_tree import Frontier, Node


class Fresh(Protocol):
    """An event that the log does not have yet."""

    offset: int  # of the message that brought it
    event: Event
    raw: bytes


class Batch(NamedTuple):
    """What is to be appended."""

    entries: list[Entry]
    nodes: list[Node]
    head: Head  # the end of the log once it is
    frontier: Frontier


async def prepare(
    connection: Connection, end: Head, frontier: Frontier, fresh: Sequence[Fresh], recorded_at: datetime
) -> Batch:
    """The batch of these events, at least one, on a log that ends with `end` and `frontier`."""
    seq, sums = end.last_seq, end.totals
    appended = []
    recorded = await recorded_closings.recorded(connection, [each.event for each in fresh])
    for each in fresh:
        seq += 1
        appended.append(entries.seal(each.event, each.raw, seq=seq, recorded_at=recorded_at))
        sums = totals.add(sums, each.event, recorded.of(each.event))
        recorded.note(each.event)
    frontier, nodes = merkle_tree.extend(frontier, [entry.leaf_hash for entry in appended])
    head = Head(
        last_seq=seq,
        stream_offset=fresh[-1].offset,
        event_id=appended[-1].event_id,
        root_hash=merkle_tree.root(frontier),
        totals=sums,
        recorded_at=recorded_at,
    )
    return Batch(appended, nodes, head, frontier)
