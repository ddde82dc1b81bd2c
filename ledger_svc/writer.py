"""The one writer of the log: reads the stream, appends entries and cursor in one transaction.

Redelivery appends nothing twice, and a crash loses nothing: the cursor is that of the last batch appended.
"""

import asyncio
from dataclasses import dataclass

import aiormq
import aiormq.abc
import asyncpg
import structlog
from prometheus_client import Counter, Gauge

from common import telemetry
from common.bus import topology
from common.bus.connection import maintain
from common.clock import utcnow
from common.db import TRANSIENT, Connection, Pool, session
from common.ids import canonical_uuid
from common.pacing import Pacer
from ledger_svc import checkpoint, closings, events, merkle, sealing, store, totals
from ledger_svc import entry as entries
from ledger_svc.events import Event, MalformedEvent
from ledger_svc.merkle import Frontier
from ledger_svc.note import SigningKey
from ledger_svc.store import Damaged, Head

log = structlog.get_logger()

BATCH_SIZE = 500
BATCH_BYTES = 8 * 1024 * 1024
PACE_S = 0.04
PREFETCH_COUNT = 200  # acks are the stream's credit
STANDBY_POLL_S = 1.0
PAUSE_S = 0.5
PARTITION_SIZE = 10_000_000  # entries

APPENDED = Counter("ledger_appended_entries", "Entries appended to the log")
MALFORMED = Counter("ledger_malformed_messages", "Messages in the stream that are no events")
LAST_SEQ = Gauge("ledger_last_seq", "Number of the last entry")


@dataclass(slots=True)
class _Read:
    """One event of the stream."""

    offset: int
    event: Event
    raw: bytes

    @property
    def position(self) -> tuple[str, str, int]:
        """The event's place: a lease, a source, a number."""
        return self.event.subject, self.event.source, self.event.sequence


class LedgerWriter:
    """Appends what the stream brings, for as long as it leads."""

    def __init__(self, amqp_url: str, pool: Pool, key: SigningKey) -> None:
        self._amqp_url = amqp_url
        self._pool = pool
        self._key = key  # signs the checkpoints
        self._head = Head()
        self._frontier = merkle.EMPTY
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
                await self._follow(channel, connection)
            except (*TRANSIENT, ValueError) as error:
                failure.append(error)  # returning ends `maintain`: a new connection to Postgres is needed

        log.info("ledger.leads")
        await maintain(self._amqp_url, "ledger-writer", read)
        if failure:
            raise failure[0]

    async def _follow(self, channel: aiormq.Channel, connection: Connection) -> None:
        """Append from the stream; the cursor is read anew on each connection to the broker."""
        self._head = await store.head(connection)
        self._frontier = await sealing.verified(connection, self._head, self._key.verifier)
        self._next_partition = await connection.fetchval(store.queries.make_room, PARTITION_SIZE)
        waiting: asyncio.Queue[aiormq.abc.DeliveredMessage] = asyncio.Queue()
        start = self._head.stream_offset
        while not await self._resume(channel, waiting, start):
            # The stream is not the one that was read: from its beginning, repeats are recognised.
            log.error("ledger.cursor_mismatch", offset=start, event_id=self._head.event_id)
            start = -1
        while True:
            messages = [await waiting.get()]
            await self._pacer.wait()
            size = len(messages[0].body)
            while len(messages) < BATCH_SIZE and size < BATCH_BYTES and not waiting.empty():
                messages.append(waiting.get_nowait())
                size += len(messages[-1].body)
            await self._append(connection, [read for message in messages for read in _read(message)])
            await channel.basic_ack(messages[-1].delivery_tag or 0, multiple=True, wait=False)

    async def _resume(
        self,
        channel: aiormq.Channel,
        waiting: asyncio.Queue[aiormq.abc.DeliveredMessage],
        start: int,
    ) -> bool:
        """Consume from `start`, inclusive. False where the event there is not the last one appended.

        An offset that does not exist is clamped silently by the broker, and after a loss of data the same
        offsets can stand for other messages: so the first delivery has to be the stored event.
        """

        async def deliver(message: aiormq.abc.DeliveredMessage) -> None:
            waiting.put_nowait(message)

        await channel.basic_qos(prefetch_count=PREFETCH_COUNT)
        consuming = await channel.basic_consume(
            topology.LEDGER_STREAM, deliver, arguments={"x-stream-offset": start if start >= 0 else "first"}
        )
        if start < 0:
            return True
        try:
            async with asyncio.timeout(STANDBY_POLL_S * 10):
                first = await waiting.get()
        except TimeoutError:
            found = False
        else:
            found = (
                any(read.event.id == self._head.event_id for read in _read(first)) and _offset(first) == start
            )
            await channel.basic_ack(first.delivery_tag or 0, multiple=True, wait=False)
        if not found:
            await channel.basic_cancel(str(consuming.consumer_tag))
            while not waiting.empty():
                waiting.get_nowait()
        return found

    async def _append(self, connection: Connection, read: list[_Read]) -> None:
        if not read:
            return
        known = await store.known(connection, list({each.position for each in read}))
        new = [each for each in read if each.position not in known]
        fresh = _once(new)
        telemetry.DUPLICATES.labels(topology.LEDGER_STREAM).inc(len(read) - len(fresh))
        try:
            await self._write(connection, fresh)
        except asyncpg.UniqueViolationError:
            await self._write(connection, _once(await _without_reused_ids(connection, new)))

    async def _write(self, connection: Connection, fresh: list[_Read]) -> None:
        if not fresh:
            return
        now = utcnow()
        seq, sums = self._head.last_seq, self._head.totals
        appended = []
        recorded = await closings.recorded(connection, [each.event for each in fresh])
        for each in fresh:
            seq += 1
            appended.append(entries.seal(each.event, each.raw, seq=seq, recorded_at=now))
            sums = totals.add(sums, each.event, recorded.of(each.event))
            recorded.note(each.event)
        frontier, nodes = merkle.extend(self._frontier, [entry.leaf_hash for entry in appended])
        root = merkle.root(frontier)
        head = Head(
            last_seq=seq,
            stream_offset=fresh[-1].offset,
            event_id=appended[-1].event_id,
            root_hash=root,
            totals=sums,
            recorded_at=now,
            checkpoint=checkpoint.signed(self._key, seq, root),
        )
        async with connection.transaction():
            await store.append(connection, appended, nodes, head, str(self._key.verifier))
        self._advance(head, frontier)
        APPENDED.inc(len(appended))
        if seq + 1 >= self._next_partition:
            self._next_partition = await connection.fetchval(store.queries.make_room, PARTITION_SIZE)

    def _advance(self, head: Head, frontier: Frontier) -> None:
        self._head, self._frontier = head, frontier
        LAST_SEQ.set(head.last_seq)


def _once(read: list[_Read]) -> list[_Read]:
    """The first for each place in the sequences, in order."""
    first: dict[tuple[str, str, int], _Read] = {}
    for each in read:
        first.setdefault(each.position, each)
    return list(first.values())


async def _without_reused_ids(connection: Connection, new: list[_Read]) -> list[_Read]:
    """Those whose id is new: an id at a second place in the sequences is another event's, and a defect.

    The place that such an event claims is left for the one that comes with an id of its own.
    """
    taken = await store.known_ids(connection, [each.event.id for each in new])
    places: dict[str, tuple[str, str, int]] = {}
    kept = []
    for each in new:
        if each.event.id in taken or places.setdefault(each.event.id, each.position) != each.position:
            MALFORMED.inc()
            log.error("ledger.id_reused", offset=each.offset, event_id=each.event.id)
        else:
            kept.append(each)
    return kept


def _offset(message: aiormq.abc.DeliveredMessage) -> int:
    offset = (message.header.properties.headers or {}).get("x-stream-offset")
    return offset if isinstance(offset, int) else -1


def _read(message: aiormq.abc.DeliveredMessage) -> list[_Read]:
    """The events of a message; what is none is logged and counted, and the log goes on with the others."""
    offset = _offset(message)
    found = []
    try:
        for raw in events.split(message.body, message.header.properties.content_type or ""):
            try:
                found.append(_Read(offset, _checked(events.decode(raw)), raw))
            except MalformedEvent as error:
                _leave_out(message, error)
    except MalformedEvent as error:
        _leave_out(message, error)
    return found


def _checked(event: Event) -> Event:
    """The event, if all that the log keeps of it is right. Raises MalformedEvent."""
    if canonical_uuid(event.id) != event.id or canonical_uuid(event.subject) != event.subject:
        raise MalformedEvent("id and subject must be UUIDs")
    if event.type in events.TYPES:
        events.data_of(event)
    return event


def _leave_out(message: aiormq.abc.DeliveredMessage, error: MalformedEvent) -> None:
    MALFORMED.inc()
    log.error(
        "ledger.malformed",
        offset=_offset(message),
        message_id=message.header.properties.message_id,
        error=str(error),
    )
