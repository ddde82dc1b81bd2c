"""Appends batches of events to the log: entries, tree, checkpoint, totals and cursor in one transaction."""

from typing import Protocol

import asyncpg
from msgspec.structs import replace
from prometheus_client import Counter, Gauge

from common.kernel.clock import utcnow
from common.messaging import topology
from common.observability import metrics, trace_stamps
from common.postgres.pool import Connection
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
from ledger_svc.log.repository import Head
from ledger_svc.log.stream_position import Cursor
from ledger_svc.transparency import checkpoint, merkle_tree
from ledger_svc.transparency.merkle_tree import Frontier
from ledger_svc.transparency.signed_note import SigningKey

PARTITION_SIZE = 10_000_000  # entries

APPENDED = Counter("ledger_appended_entries", "Entries appended to the log")
LAST_SEQ = Gauge("ledger_last_seq", "Number of the last entry")


class Healer(Protocol):
    """What asks for that which is missing, while this process leads."""

    alarms: Alarms

    async def run(self) -> None: ...
    def wake(self) -> None: ...
    def read(self, newest: str) -> None: ...


class Appender:
    """The end of the log, as the one process knows it that appends."""

    def __init__(self, key: SigningKey, healer: Healer | None = None) -> None:
        """`key` signs the checkpoints."""
        self._key = key
        self._healer = healer
        self._alarms = healer.alarms if healer else Alarms()
        self._head = Head()
        self._cursor = Cursor()
        self._frontier = merkle_tree.EMPTY
        self._last = LastNumbers()
        self._next_partition = 0  # its first number: when the log has come there, more have to be made

    @property
    def cursor(self) -> Cursor:
        """How far the stream has been read."""
        return self._cursor

    async def open(self, connection: Connection) -> None:
        """Take up the log where it ends. Raises Damaged where it is not the one that was sealed."""
        self._head = await opening_balances.opened(connection, await repository.head(connection))
        self._cursor = await stream_position.stored(connection)
        self._frontier = await seal_check.verified(connection, self._head, self._key.verifier)
        self._next_partition = await connection.fetchval(repository.queries.make_room, PARTITION_SIZE)
        self._last.clear()
        self._alarms.forget()
        await self._alarms.refresh(connection)

    async def append(
        self, connection: Connection, read: list[message_decoder.Read], wrong: list[Anomaly]
    ) -> None:
        """Append what of a batch is new; `wrong`: what else was found in its messages."""
        await self._raise(connection, wrong)  # before the cursor passes it
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
        metrics.DUPLICATES.labels(topology.LEDGER_STREAM).inc(checked.repeats)
        # What is dated ahead, or is not dated at all, says nothing of how far the writer is behind.
        dated = [each.event.id for each in read if event_checks.plausible(each.event.id, now)]
        if self._healer and dated:
            self._healer.read(max(dated))

    async def go_on(self, connection: Connection, reached: Cursor, found: list[Anomaly]) -> None:
        """Keep the cursor where nothing is appended, with what was found on the way there."""
        async with connection.transaction():
            await self._alarms.raise_all(connection, found, self._cursor.generation)
            await stream_position.keep(connection, reached)
        self._cursor = reached
        if found and self._healer:
            self._healer.wake()

    async def _write(self, connection: Connection, checked: Checked, last: message_decoder.Read) -> None:
        """Append what is fresh of messages, of which `last` is the last event."""
        fresh = checked.fresh
        if not fresh:
            reached = replace(
                self._cursor, stream_offset=last.offset, event_id=last.event.id, read_at=utcnow()
            )
            await self.go_on(connection, reached, checked.anomalies)
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

    async def _raise(self, connection: Connection, found: list[Anomaly]) -> None:
        """Raise what is not about anything appended."""
        await self._alarms.raise_all(connection, found, self._cursor.generation)
        if found and self._healer:
            self._healer.wake()

    def _advance(self, head: Head, frontier: Frontier) -> None:
        self._head, self._frontier = head, frontier
        self._cursor = stream_position.of(head)
        LAST_SEQ.set(head.last_seq)
