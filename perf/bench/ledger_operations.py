"""A private ledger that is filled, asked and fed: the operations of `perf.bench.ledger`."""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import aio_pika
import aiohttp
import asyncpg
import msgspec
from rich.progress import Progress

from common.kernel.clock import utcnow
from common.kernel.ids import uuid7
from common.messaging import topology
from common.messaging.envelope import EVENT_BATCH_CONTENT_TYPE, encode
from common.messaging.publisher import Publisher
from common.postgres.pool import Pool
from common.runtime.process import background
from deployment.credentials import load_or_create
from deployment.local.stack import Stack
from ledger_svc.contracts import envelope as events
from ledger_svc.log import append_batch, repository
from ledger_svc.transparency import checkpoint, signed_note
from perf.bench.operations import told_of_a_creation
from perf.load import ledger_events as told

PER_LEASE = 100
FILL_BATCH = 5_000
BATCH = 500  # as the writer's largest
BATCHES_TIMED = 40
REQUESTS_TIMED = 200
WITHIN_S = 600.0


class _Fresh(msgspec.Struct):
    """As `append_batch.Fresh`."""

    offset: int
    event: events.Event
    raw: bytes


def lives() -> Iterator[bytes]:
    """The events of one lease after the other, without end."""
    pattern = told_of_a_creation()
    while True:
        lease_id = uuid7()
        ids = {"id": uuid7(), "subject": lease_id}
        creation = encode(msgspec.structs.replace(pattern, **ids)).replace(
            pattern.subject.encode(), lease_id.encode()
        )
        yield from [creation, *(encode(each) for each in told.attempts(lease_id, PER_LEASE - 1))]


class Ledger:
    """A private ledger, and what is done to it."""

    def __init__(
        self, stack: Stack, pool: Pool, owner: asyncpg.Connection, session: aiohttp.ClientSession
    ) -> None:
        self._stack = stack
        self._pool = pool  # the writer's role
        self._owner = owner
        self._session = session
        self._base = f"{stack.addresses.http('ledger')}/api/v1/audit"
        self._secret = load_or_create(stack.layout.real).ledger_key
        self._key = signed_note.signing_key(self._secret)
        self._lives = lives()

    async def size(self) -> int:
        """Entries so far."""
        return (await repository.head(self._pool)).last_seq

    async def from_stream(self, count: int) -> tuple[float, float]:
        """Events a second: appended by a writer process, and read by a bare consumer."""
        async with background((publisher := Publisher(self._stack.addresses.amqp, "figures")).run()):
            places = asyncio.Semaphore(50)

            async def publish(raws: list[bytes]) -> None:
                async with places:
                    await publisher.publish(
                        b"[%s]" % b",".join(raws),
                        exchange="",  # straight into the queue of that name
                        routing_key=topology.LEDGER_STREAM,
                        message_id=uuid7(),
                        message_type="lease.created",
                        content_type=EVENT_BATCH_CONTENT_TYPE,
                    )

            messages = [[next(self._lives) for _ in range(PER_LEASE)] for _ in range(count // PER_LEASE)]
            await asyncio.gather(*(publish(raws) for raws in messages))
        bare = await self._bare(count)
        goal = await self.size() + count
        environment = {
            "AMQP_URL": self._stack.addresses.amqp,
            "DATABASE_URL": self._stack.addresses.dsn("ledger_writer"),
            "LEDGER_KEY": self._secret,
            "LOG_LEVEL": "warning",
            "RECONCILE_EVERY_S": "86400",  # the services have told none of these events
        }
        writer = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ledger_svc", "writer"), env=os.environ | environment
        )
        try:
            first, began = 0, 0.0
            async with asyncio.timeout(WITHIN_S):
                while (size := await self.size()) < goal:
                    if not began and size > goal - count:  # it has started, and appended its first batches
                        first, began = size, time.perf_counter()
                    await asyncio.sleep(0.02)
            return (goal - first) / (time.perf_counter() - began), bare
        finally:
            writer.terminate()
            await writer.wait()

    async def _bare(self, count: int) -> float:
        """A consumer that acks and does nothing else with the same messages."""
        connection = await aio_pika.connect(self._stack.addresses.amqp)
        async with connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=200)
            stream = await channel.get_queue(topology.LEDGER_STREAM, ensure=False)
            began, seen = time.perf_counter(), 0
            async with (
                asyncio.timeout(WITHIN_S),
                stream.iterator(arguments={"x-stream-offset": "first"}) as messages,
            ):
                async for message in messages:
                    await message.ack()
                    seen += PER_LEASE
                    if seen >= count:
                        break
            return seen / (time.perf_counter() - began)

    async def fill(self, size: int, progress: Progress) -> None:
        """Append until the log has so many entries."""
        task = progress.add_task(f"filling the ledger to {size:,} entries", total=size)
        while (now := await self.size()) < size:
            progress.update(task, completed=now)
            await self._append(min(FILL_BATCH, size - now))
        progress.update(task, completed=size)
        await self._owner.execute(
            "VACUUM ANALYZE ledger.entries, ledger.places, ledger.event_ids, ledger.correlations, "
            "ledger.nodes"
        )
        await self._owner.execute("CHECKPOINT")  # what is measured next does not wait for these writes

    async def _append(self, count: int) -> float:
        """Append a batch; gives the seconds of the transaction."""
        raws = [next(self._lives) for _ in range(count)]
        async with self._pool.acquire() as connection:
            await connection.fetchval(repository.queries.make_room, 10_000_000)
            end = await repository.head(connection)
            fresh = [_Fresh(-1, events.decode(raw), raw) for raw in raws]  # -1: of no stream
            frontier = await repository.frontier(connection, end)
            began = time.perf_counter()
            batch = await append_batch.prepare(connection, end, frontier, fresh, utcnow())
            signed = checkpoint.signed(self._key, batch.head.last_seq, batch.head.root_hash)
            head = msgspec.structs.replace(batch.head, checkpoint=signed)
            async with connection.transaction():
                await repository.append(connection, batch.entries, batch.nodes, head, str(self._key.verifier))
            return time.perf_counter() - began

    async def medians_ms(self) -> dict[str, float]:
        """What auditors ask, over HTTP, of leases from everywhere in the log; and a batch of the writer's."""
        found = {}
        size = await self.size()
        rows = await self._owner.fetch(
            "SELECT lease_id::text, event_id::text FROM ledger.entries WHERE seq = ANY($1::bigint[])",
            [1 + size * number // REQUESTS_TIMED for number in range(REQUESTS_TIMED)],
        )
        for name, method, path, body in (
            ("trail", "GET", "/leases/{lease_id}", None),
            ("timeline", "GET", "/leases/{lease_id}/timeline", None),
            ("state at a point", "POST", "/leases/{lease_id}/state-at-point", {"seq": 2**60}),
            ("inclusion proof", "GET", "/proofs/inclusion?event_id={event_id}", None),
            ("metrics", "GET", "/metrics", None),
        ):
            turn = iter(rows * 2)

            async def ask(method: str = method, path: str = path, body: object = body) -> float:
                url = self._base + path.format(**dict(next(turn).items()))  # noqa: B023 asked before the next name
                began = time.perf_counter()
                async with self._session.request(method, url, json=body) as response:
                    await response.read()
                    response.raise_for_status()
                return time.perf_counter() - began

            for _ in rows:  # once before, so that no page is timed on its way from the file
                await ask()
            found[name] = await self._median(REQUESTS_TIMED, ask)
        # The last, because it makes the log larger.
        found["append, a batch of 500"] = await self._median(BATCHES_TIMED, lambda: self._append(BATCH))
        return found

    async def _median(self, times: int, once: Callable[[], Awaitable[float]]) -> float:
        return 1000 * statistics.median([await once() for _ in range(times)])
