"""`replay events`: events as they were published, one a line, to be read or folded again."""

from collections.abc import AsyncIterator, Sequence
from typing import BinaryIO

import msgspec

from common.postgres.pool import Connection
from common.replay import stream_reader
from common.replay.bounds import Bounds, Unreadable
from common.replay.progress import progress, say
from ledger_svc.contracts import envelope
from ledger_svc.contracts.envelope import Event
from ledger_svc.log.message_decoder import read
from ledger_svc.replay import recorded_log
from ledger_svc.replay.bounds import seqs

# Between the values of JSON a line break is a space like any other; inside them there is none.
_AS_SPACES = bytes.maketrans(b"\n\r", b"  ")


class Listed(msgspec.Struct, kw_only=True):
    """What was printed."""

    events: int = 0
    with_line_breaks: int = 0  # whose line breaks are printed as spaces


async def list_events(
    reading: AsyncIterator[Sequence[tuple[Event, bytes]]],
    bounds: Bounds,
    out: BinaryIO,
    *,
    type_: str | None,
    lease_id: str | None,
) -> Listed:
    """Print those that are wanted, byte for byte, a line each."""
    listed = Listed()
    async for some in reading:
        lines: list[bytes] = []
        for event, raw in some:
            wanted = type_ in (None, event.type) and lease_id in (None, event.subject)
            if wanted and bounds.hold(event.time):
                lines.append(raw.translate(_AS_SPACES))
                listed.with_line_breaks += lines[-1] != raw
        listed.events += len(lines)
        if lines:
            out.write(b"\n".join(lines) + b"\n")
    out.flush()
    return listed


async def from_stream(amqp_url: str, bounds: Bounds) -> AsyncIterator[Sequence[tuple[Event, bytes]]]:
    """The stream's events, some at a time. Raises Unreadable."""
    async with stream_reader.opened(amqp_url) as source:
        extent = await source.extent()
        if extent is None:
            return
        if bounds.first > extent.last:
            raise Unreadable(f"the stream ends with offset {extent.last}")
        if bounds.first < extent.first:
            say(f"the stream begins with offset {extent.first}; --source ledger has what came before")
        last = min(extent.last, bounds.last)
        unreadable = 0
        with progress("reading the stream", None, "messages") as advance:
            async for messages in source.read(bounds.start, last):
                found, wrong = read(messages)
                unreadable += len(wrong)
                yield [(each.event, each.raw) for each in found]
                advance(len(messages))
        if unreadable:
            say(f"left out: {unreadable} that no event can be read from; the ledger lists them as anomalies")


async def from_ledger(
    connection: Connection, bounds: Bounds, lease_id: str | None
) -> AsyncIterator[Sequence[tuple[Event, bytes]]]:
    """The ledger's events, or those of a lease, some at a time. Raises Unreadable."""
    # What occurred by an instant may have been recorded after it.
    end = bounds.end if isinstance(bounds.end, int) else None
    after, upto = await seqs(connection, Bounds(start=bounds.start, end=end))
    with progress("reading the ledger", None if lease_id else upto - after, "entries") as advance:
        if lease_id is None:
            reading = recorded_log.entries(connection, after, upto)
        else:
            reading = recorded_log.entries_of(connection, lease_id, after, upto)
        async for entries in reading:
            yield [(envelope.decode(entry.raw), entry.raw) for entry in entries]
            advance(len(entries))
