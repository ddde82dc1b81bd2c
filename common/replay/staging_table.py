"""Events from the stream or a file into a table, from which they are taken lease by lease."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from common.kernel.ids import canonical_uuid
from common.messaging.envelope import Count, Event, Text, decode_event, split_events
from common.postgres.pool import Connection
from common.replay import event_file, stream_reader
from common.replay.bounds import Bounds, Unreadable
from common.replay.progress import progress, say

STREAM = "stream"  # any other source is a file of events, one a line

Instant = Annotated[datetime, Meta(tz=True)]


class RecordableEvent(Event, frozen=True, kw_only=True):
    """An event within what the tables can keep, like all that the ledger records."""

    id: Text
    source: Text
    type: Text
    sequence: Count


_decode = msgspec.json.Decoder(RecordableEvent).decode
# What reading raises for bytes that are no such event; RecursionError for those nested too deep.
_WRONG = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)


class Read(msgspec.Struct, kw_only=True):
    """What was read."""

    events: int = 0  # repeats included
    repeats: int = 0
    malformed: int = 0  # what is no event of ours; left out, as it is from the ledger


async def stage(connection: Connection, amqp_url: str, source: str, bounds: Bounds) -> Read:
    """Read all events of the source into the table `staged`, each once. Raises Unreadable."""
    await connection.execute(
        "CREATE UNLOGGED TABLE staged (lease_id uuid, source text, sequence integer, raw bytea NOT NULL,"
        " PRIMARY KEY (lease_id, source, sequence))"
    )
    read = Read()
    async for raws in _from_stream(amqp_url, bounds, read) if source == STREAM else _from_lines(source):
        await _insert(connection, raws, bounds, read)
    if read.malformed:
        say(f"left out: {read.malformed} that are no events of ours")
    return read


async def staged(connection: Connection) -> AsyncIterator[tuple[str, list[Event]]]:
    """All events lease by lease, each lease's by source and number; in a transaction."""
    query = "SELECT lease_id::text, raw FROM staged ORDER BY staged.lease_id, source, sequence"
    lease_id, events = "", list[Event]()
    async for row in connection.cursor(query, prefetch=1_000):
        if row["lease_id"] != lease_id and events:
            yield lease_id, events
            events = []
        lease_id = row["lease_id"]
        events.append(decode_event(row["raw"]))
    if events:
        yield lease_id, events


async def _from_stream(amqp_url: str, bounds: Bounds, read: Read) -> AsyncIterator[list[bytes]]:
    async with stream_reader.opened(amqp_url) as source:
        extent = await source.extent()
        if extent is None:
            raise Unreadable("the stream is empty")
        if extent.first > 0:
            raise Unreadable(
                f"the stream begins at offset {extent.first}: what was told before is no longer in it."
                " Give the ledger's events as --source (python -m ledger_svc replay events --source ledger)"
            )
        last = min(extent.last, bounds.last)
        with progress("reading the stream", last + 1, "messages") as advance:
            async for messages in source.read(None, last):
                raws: list[bytes] = []
                for message in messages:
                    try:
                        raws += split_events(message.body, message.header.properties.content_type or "")
                    except _WRONG:
                        read.malformed += 1
                yield raws
                advance(len(messages))


async def _from_lines(source: str) -> AsyncIterator[list[bytes]]:
    with progress("reading events", None, "events") as advance:
        for raws in event_file.read(source):
            yield raws
            advance(len(raws))


async def _insert(connection: Connection, raws: list[bytes], bounds: Bounds, read: Read) -> None:
    events: list[tuple[Event, bytes]] = []
    for raw in raws:
        try:
            event = _checked(raw)
            if bounds.hold(msgspec.convert(event.time, Instant).astimezone(UTC)):
                events.append((event, raw))
        except _WRONG:
            read.malformed += 1
    status = await connection.execute(
        "INSERT INTO staged SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::bytea[])"
        " ON CONFLICT DO NOTHING",
        [event.subject for event, _ in events],
        [event.source for event, _ in events],
        [event.sequence for event, _ in events],
        [raw for _, raw in events],
    )
    read.events += len(events)
    read.repeats += len(events) - int(status.split()[-1])


def _checked(raw: bytes) -> Event:
    """An event of ours. Raises what `_WRONG` has."""
    str(raw, "utf-8")  # the decoder does not look into what it leaves raw
    event = _decode(raw)
    if canonical_uuid(event.id) != event.id or canonical_uuid(event.subject) != event.subject:
        raise ValueError("id and subject must be UUIDs")
    return event
