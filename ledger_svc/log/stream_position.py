"""The cursor: up to where the stream was read, kept beside what was read from it."""

from datetime import datetime, timedelta

import msgspec

from common.kernel.clock import utcnow
from common.kernel.ids import earliest
from common.postgres.pool import Connection
from ledger_svc.log.anomalies import Anomaly
from ledger_svc.log.repository import Head, queries

# When the stream is found to be another, events are compared from this long before it was last read on.
SAFE_BEFORE = timedelta(minutes=10)


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the stream, and how it is known again."""

    generation: int = 1  # of the stream: one more where it was found to be another
    stream_offset: int = -1  # of the last message that was read; -1: none was yet
    event_id: str | None = None  # of an event in that message
    read_at: datetime | None = None  # None: nothing was ever read


def of(head: Head) -> Cursor:
    """That of a batch."""
    return Cursor(
        generation=head.generation,
        stream_offset=head.stream_offset,
        event_id=head.event_id,
        read_at=head.recorded_at,
    )


async def stored(connection: Connection) -> Cursor:
    """The last one: that of the last batch, or one that was kept after it."""
    row = await connection.fetchrow(queries.cursor)
    return Cursor() if row is None else Cursor(**dict(row.items()))


async def keep(connection: Connection, cursor: Cursor) -> None:
    """Keep one where no batch does; in the transaction of what else was learned on the way there."""
    await connection.execute(
        queries.keep_cursor, cursor.generation, cursor.stream_offset, cursor.event_id, cursor.read_at
    )


def mismatch(left: Cursor, reason: str) -> Anomaly:
    """That the stream does not hold at `left` what was read there."""
    assert left.read_at is not None  # something was read
    where = f"event {left.event_id} at offset {left.stream_offset} of generation {left.generation}"
    return Anomaly(
        kind="cursor_mismatch",
        place=f"{left.generation} {left.stream_offset}",
        detail=f"the stream is not the one read up to {where}: {reason}; it is read from its beginning",
        since=earliest(left.read_at - SAFE_BEFORE),
        until=earliest(utcnow()),
        event_id=left.event_id,
        stream_offset=left.stream_offset,
    )
