"""The one writer of the log: reads the stream, appends entries and cursor in one transaction.

Redelivery appends nothing twice, and a crash loses nothing: the cursor is that of the last batch appended.
"""

import asyncio
from datetime import timedelta
from typing import Protocol

import aiormq
import asyncpg
import structlog
from msgspec.structs import replace
from prometheus_client import Counter, Gauge

from common import hops, telemetry
from common.bus import topology
from common.bus.connection import maintain
from common.clock import rfc3339, utcnow
from common.db import TRANSIENT, Connection, Pool, session
from common.ids import earliest
from common.pacing import Pacer
from common.tasks import end
from ledger_svc import anomalies, appending, checking, checkpoint, merkle, opening, reading, sealing, store
from ledger_svc.anomalies import Alarms, Anomaly
from ledger_svc.checking import Checked, LastNumbers
from ledger_svc.merkle import Frontier
from ledger_svc.note import SigningKey
from ledger_svc.store import Damaged, Head
from ledger_svc.stream import Stream

log = structlog.get_logger()

PACE_S = 0.1
STANDBY_POLL_S = 1.0
PAUSE_S = 0.5
PARTITION_SIZE = 10_000_000  # entries
# When the stream is found to be another, events are compared from this long before the last entry on.
SAFE_BEFORE = timedelta(minutes=10)

APPENDED = Counter("ledger_appended_entries", "Entries appended to the log")
LAST_SEQ = Gauge("ledger_last_seq", "Number of the last entry")


class Healer(Protocol):
    """What asks for that which is missing, while this process leads."""

    alarms: Alarms

    async def run(self) -> None: ...
    def wake(self) -> None: ...
    def read(self, newest: str) -> None: ...


class LedgerWriter:
    """Appends what the stream brings, for as long as it leads."""

    def __init__(self, amqp_url: str, pool: Pool, key: SigningKey, healer: Healer | None = None) -> None:
        self._amqp_url = amqp_url
        self._pool = pool
        self._key = key  # signs the checkpoints
        self._healer = healer
        self._alarms = healer.alarms if healer else Alarms()
        self._head = Head()
        self._generation = self._head.generation
        self._frontier = merkle.EMPTY
        self._last = LastNumbers()
        self._next_partition = 0  # its first number: when the log has come there, more have to be made
        self._pacer = Pacer(PACE_S)

    async def run(self) -> None:
        """Lead and append, or stand by, until cancelled."""
        while True:
            try:
                async with session(self._pool) as connection:
                    await self._lead(connection)
            except Damaged as error:
                log.critical("ledger.damaged", error=str(error))
            except (*TRANSIENT, ValueError) as error:
                log.warning("ledger.writer_interrupted", error=repr(error))
            await asyncio.sleep(PAUSE_S)

    async def _lead(self, connection: Connection) -> None:
        while not await connection.fetchval(store.queries.lead):  # noqa: ASYNC110 a lock in the database
            await asyncio.sleep(STANDBY_POLL_S)
        failure: list[Exception] = []
        interrupted = False

        async def read(channel: aiormq.Channel) -> None:
            nonlocal interrupted
            if interrupted:
                # The broker was away, and what was under way on `connection` was cancelled. Amid a BEGIN that
                # leaves asyncpg nesting all that follows in a transaction that nobody commits: so a new one.
                return
            interrupted = True
            try:
                await self._follow(Stream(channel), connection)
            except (*TRANSIENT, ValueError) as error:
                failure.append(error)  # returning ends `maintain`: a new connection to Postgres is needed

        log.info("ledger.leads")
        healing = [asyncio.ensure_future(self._healer.run())] if self._healer else []
        try:
            await maintain(self._amqp_url, "ledger-writer", read)
        finally:
            await end(healing)
        if failure:
            raise failure[0]

    async def _follow(self, stream: Stream, connection: Connection) -> None:
        """Append from the stream; the cursor is read anew on each connection to the broker."""
        self._head = await opening.opened(connection, await store.head(connection))
        self._generation = self._head.generation
        self._frontier = await sealing.verified(connection, self._head, self._key.verifier)
        self._next_partition = await connection.fetchval(store.queries.make_room, PARTITION_SIZE)
        self._last.clear()
        self._alarms.forget()
        await self._alarms.refresh(connection)
        if reason := await stream.resume(self._head):
            # Not the stream that was read: from its beginning, repeats are recognised.
            await self._tell(connection, [_cursor_mismatch(self._head, reason)])
            self._generation += 1
            await stream.begin()
        while True:
            messages = await stream.batch(self._pacer)
            await self._append(connection, *reading.read(messages))
            await stream.ack(messages[-1])

    async def _append(self, connection: Connection, read: list[reading.Read], wrong: list[Anomaly]) -> None:
        checked = checking.check(read, await checking.recorded(connection, read, self._last))
        try:
            await self._write(connection, checked)
        except asyncpg.UniqueViolationError:  # the id of an event that was recorded before
            self._last.clear()
            known = await checking.recorded(connection, read, self._last, ids=True)
            checked = checking.check(read, known)
            await self._write(connection, checked)
        telemetry.DUPLICATES.labels(topology.LEDGER_STREAM).inc(checked.repeats)
        await self._tell(connection, wrong)
        if read and self._healer:
            self._healer.read(max(each.event.id for each in read))

    async def _write(self, connection: Connection, checked: Checked) -> None:
        fresh = checked.fresh
        if not fresh:
            await self._tell(connection, checked.anomalies)
            return
        batch = await appending.prepare(connection, self._head, self._frontier, fresh, utcnow())
        last_seq = batch.head.last_seq
        head = replace(
            batch.head,
            generation=self._generation,
            checkpoint=checkpoint.signed(self._key, last_seq, batch.head.root_hash),
        )
        async with connection.transaction():
            await store.append(connection, batch.entries, batch.nodes, head, str(self._key.verifier))
            if checked.late:
                await anomalies.heal_gaps(connection, list(checked.late))
            await self._alarms.raise_all(connection, checked.anomalies, self._generation)
        for each in fresh if hops.on() else ():
            hops.stamp(each.event.traceparent, "ledger.visible")
        if checked.anomalies and self._healer:
            self._healer.wake()
        self._advance(head, batch.frontier)
        self._last.update(checked.last)
        APPENDED.inc(len(batch.entries))
        if last_seq + 1 >= self._next_partition:
            self._next_partition = await connection.fetchval(store.queries.make_room, PARTITION_SIZE)

    async def _tell(self, connection: Connection, found: list[Anomaly]) -> None:
        """Raise what is not about anything appended."""
        await self._alarms.raise_all(connection, found, self._generation)
        if found and self._healer:
            self._healer.wake()

    def _advance(self, head: Head, frontier: Frontier) -> None:
        self._head, self._frontier = head, frontier
        LAST_SEQ.set(head.last_seq)


def _cursor_mismatch(head: Head, reason: str) -> Anomaly:
    assert head.recorded_at is not None  # there is a cursor
    now = utcnow()
    cursor = f"event {head.event_id} at offset {head.stream_offset} of generation {head.generation}"
    return Anomaly(
        kind="cursor_mismatch",
        place=f"{head.generation} {head.stream_offset} {rfc3339(now)}",  # it may happen there again
        detail=f"the stream is not the one read up to {cursor}: {reason}; it is read from its beginning",
        since=earliest(head.recorded_at - SAFE_BEFORE),
        until=earliest(now),
        event_id=head.event_id,
        stream_offset=head.stream_offset,
    )
