"""The one writer of the log: reads the stream, appends entries and cursor in one transaction.

Redelivery appends nothing twice, and a crash loses nothing: the cursor moves with what was made of a batch.
"""

import asyncio
from typing import Protocol

import aiormq
import asyncpg
import structlog
from msgspec.structs import replace
from prometheus_client import Counter, Gauge

from common.kernel.clock import utcnow
from common.messaging import topology
from common.messaging.connection import maintain
from common.observability import telemetry, trace_stamps
from common.postgres import leader_election
from common.postgres.pool import TRANSIENT, Connection, Pool, session
from common.runtime.pacing import Pacer
from common.runtime.tasks import end
from ledger_svc.log import (
    anomalies,
    append_batch,
    event_checks,
    message_decoder,
    opening_balances,
    repository,
    seal_check,
    stream_position,
)
from ledger_svc.log.anomalies import Alarms, Anomaly
from ledger_svc.log.event_checks import Checked, LastNumbers
from ledger_svc.log.repository import Damaged, Head
from ledger_svc.log.stream_position import Cursor
from ledger_svc.log.stream_subscription import Stream
from ledger_svc.transparency import checkpoint, merkle_tree
from ledger_svc.transparency.merkle_tree import Frontier
from ledger_svc.transparency.signed_note import SigningKey

log = structlog.get_logger()

PACE_S = 0.1
LEADS = "ledger-writer"  # the duty that one writer has
PAUSE_S = 0.5
PARTITION_SIZE = 10_000_000  # entries

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
        self._cursor = Cursor()
        self._frontier = merkle_tree.EMPTY
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
        await leader_election.stand_by(connection, LEADS)
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
        self._head = await opening_balances.opened(connection, await repository.head(connection))
        self._cursor = await stream_position.stored(connection)
        self._frontier = await seal_check.verified(connection, self._head, self._key.verifier)
        self._next_partition = await connection.fetchval(repository.queries.make_room, PARTITION_SIZE)
        self._last.clear()
        self._alarms.forget()
        await self._alarms.refresh(connection)
        if reason := await stream.resume(self._cursor):
            # Not the stream that was read: from its beginning, repeats are recognised. From now on it is this
            # one that is read, also where nothing comes before the next connection: it is told of once.
            anew = Cursor(generation=self._cursor.generation + 1, read_at=utcnow())
            await self._go_on(connection, anew, [stream_position.mismatch(self._cursor, reason)])
            await stream.begin()
        while True:
            messages = await stream.batch(self._pacer)
            await self._append(connection, *message_decoder.read(messages))
            await stream.ack(messages[-1])

    async def _append(
        self, connection: Connection, read: list[message_decoder.Read], wrong: list[Anomaly]
    ) -> None:
        await self._tell(connection, wrong)  # before the cursor passes it
        if not read:
            return
        now = utcnow()
        checked = event_checks.check(read, await event_checks.recorded(connection, read, self._last), now)
        try:
            await self._write(connection, checked, read[-1])
        except asyncpg.UniqueViolationError:  # the id of an event that was recorded before
            self._last.clear()
            known = await event_checks.recorded(connection, read, self._last, ids=True)
            checked = event_checks.check(read, known, now)
            await self._write(connection, checked, read[-1])
        telemetry.DUPLICATES.labels(topology.LEDGER_STREAM).inc(checked.repeats)
        # What is dated ahead, or is not dated at all, says nothing of how far the writer is behind.
        dated = [each.event.id for each in read if event_checks.plausible(each.event.id, now)]
        if self._healer and dated:
            self._healer.read(max(dated))

    async def _write(self, connection: Connection, checked: Checked, last: message_decoder.Read) -> None:
        """Append what is fresh of messages, of which `last` is the last event."""
        fresh = checked.fresh
        if not fresh:
            reached = replace(
                self._cursor, stream_offset=last.offset, event_id=last.event.id, read_at=utcnow()
            )
            await self._go_on(connection, reached, checked.anomalies)
            return
        batch = await append_batch.prepare(connection, self._head, self._frontier, fresh, utcnow())
        last_seq = batch.head.last_seq
        head = replace(
            batch.head,
            generation=self._cursor.generation,
            checkpoint=checkpoint.signed(self._key, last_seq, batch.head.root_hash),
        )
        async with connection.transaction():
            await repository.append(connection, batch.entries, batch.nodes, head, str(self._key.verifier))
            if checked.late:
                await anomalies.heal_gaps(connection, list(checked.late))
            await self._alarms.raise_all(connection, checked.anomalies, self._cursor.generation)
        for each in fresh if trace_stamps.on() else ():
            trace_stamps.stamp(each.event.traceparent, "ledger.visible")
        if checked.anomalies and self._healer:
            self._healer.wake()
        self._advance(head, batch.frontier)
        self._last.update(checked.last)
        APPENDED.inc(len(batch.entries))
        if last_seq + 1 >= self._next_partition:
            self._next_partition = await connection.fetchval(repository.queries.make_room, PARTITION_SIZE)

    async def _tell(self, connection: Connection, found: list[Anomaly]) -> None:
        """Raise what is not about anything appended."""
        await self._alarms.raise_all(connection, found, self._cursor.generation)
        if found and self._healer:
            self._healer.wake()

    async def _go_on(self, connection: Connection, reached: Cursor, found: list[Anomaly]) -> None:
        """Keep the cursor where nothing is appended, with what was found on the way there."""
        async with connection.transaction():
            await self._alarms.raise_all(connection, found, self._cursor.generation)
            await stream_position.keep(connection, reached)
        self._cursor = reached
        if found and self._healer:
            self._healer.wake()

    def _advance(self, head: Head, frontier: Frontier) -> None:
        self._head, self._frontier = head, frontier
        self._cursor = stream_position.of(head)
        LAST_SEQ.set(head.last_seq)
