"""The ledger's writer on a real stream: every event once, byte for byte, sealed, whatever happens."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aio_pika
import asyncpg
import msgspec
import pytest
from aio_pika.abc import AbstractChannel

from common.kernel.ids import uuid7
from common.messaging import topology
from common.messaging.envelope import EVENT_BATCH_CONTENT_TYPE, EVENT_CONTENT_TYPE
from common.postgres.pool import Pool
from ledger_svc.log import repository, stream_position
from ledger_svc.log.writer import LedgerWriter
from ledger_svc.transparency import checkpoint, signed_note
from tests.support.builders.events import LEASES, Life
from tests.support.oracles import merkle
from tests.support.servers.broker_client import channel, declare_topology, running, until
from tests.support.servers.database import empty, owner, pools, tampering
from tests.support.servers.servers import Servers
from tests.support.servers.tcp_proxy import proxy

KEY = signed_note.generate("example.org/ledger-of-the-tests")


@pytest.fixture
async def its(servers: Servers) -> AsyncIterator[AbstractChannel]:
    """A channel, with the stream and the ledger empty."""
    async with channel(servers.amqp_url) as opened, owner(servers) as connection:
        await fresh_stream(servers, opened)
        await empty(connection, "ledger")
        yield opened
        await empty(connection, "ledger")


@pytest.fixture
async def db(servers: Servers, its: AbstractChannel) -> AsyncIterator[asyncpg.Connection]:
    async with owner(servers) as connection:
        yield connection


@pytest.fixture
async def pool(servers: Servers, its: AbstractChannel) -> AsyncIterator[Pool]:
    async with pools(servers, "ledger", role="ledger_writer") as [opened]:
        yield opened


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.postgres.leader_election.STANDBY_POLL_S", 0.1)
    monkeypatch.setattr("ledger_svc.log.writer.PAUSE_S", 0.05)
    monkeypatch.setattr("ledger_svc.log.stream_subscription.FIRST_WITHIN_S", 1.0)


async def fresh_stream(servers: Servers, its: AbstractChannel) -> None:
    """The stream as it is after a loss of the broker's data: there, and empty."""
    await its.queue_delete(topology.LEDGER_STREAM)
    await declare_topology(servers.amqp_url)


async def send(its: AbstractChannel, *bodies: bytes, content_type: str = EVENT_CONTENT_TYPE) -> None:
    """Publish into the stream, in order."""
    for body in bodies:
        message = aio_pika.Message(body, content_type=content_type, message_id=uuid7())
        await its.default_exchange.publish(message, routing_key=topology.LEDGER_STREAM)


def a_life(payments: int = 3) -> Life:
    life = Life()
    life.create()
    for number in range(1, payments + 1):
        life.succeed(life.start(number))
    return life


async def check(db: asyncpg.Connection, raws: list[bytes]) -> None:
    """The ledger holds exactly these, gapless, and its seal is that of an independent computation."""
    rows = await db.fetch(
        "SELECT seq, raw, leaf_hash, type, event_id::text AS id FROM ledger.entries ORDER BY seq"
    )
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert [bytes(row["raw"]) for row in rows] == raws
    leaves = [merkle.leaf(raw) for raw in raws]
    assert [row["leaf_hash"] for row in rows] == leaves
    assert [row["id"] for row in rows] == [json.loads(raw)["id"] for raw in raws]
    batches = await db.fetch(
        "SELECT last_seq, root_hash, event_id::text AS id, checkpoint FROM ledger.batches ORDER BY last_seq"
    )
    for batch in batches:  # every root that was ever recorded, not only the last
        assert batch["root_hash"] == merkle.root(leaves[: batch["last_seq"]])
        stated = checkpoint.verified(batch["checkpoint"], [KEY.verifier])
        assert (stated.size, stated.root) == (batch["last_seq"], batch["root_hash"])
        assert batch["id"] == rows[batch["last_seq"] - 1]["id"]
    assert (batches[-1]["last_seq"] if batches else 0) == len(raws)
    nodes = await db.fetch("SELECT level, position, hash FROM ledger.nodes")
    assert len(nodes) == sum(len(leaves) >> level for level in range(3, 40, 3))
    for node in nodes:
        width = 1 << node["level"]
        start = node["position"] * width
        assert node["hash"] == merkle.root(leaves[start : start + width])


def has(db: asyncpg.Connection, count: int, schema: str = "ledger") -> Callable[[], Any]:
    async def reached() -> bool:
        return bool(await db.fetchval(f"SELECT coalesce(max(seq), 0) FROM {schema}.entries") >= count)

    return reached


async def settled(db: asyncpg.Connection, count: int, schema: str = "ledger") -> None:
    """Wait until that many are there, and a moment longer for any too many."""
    await until(has(db, count, schema))
    await asyncio.sleep(0.2)


async def test_appends_exact_bytes(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool
) -> None:
    """Events one by one and in batches, oddly written ones too: their own bytes, in order, sealed."""
    one, two = a_life(), a_life()
    odd = (
        json.dumps(json.loads(one.raws[0]), indent=3, ensure_ascii=False)
        .replace("cus-42", "cus-ü42")
        .encode()
    )
    raws = [odd, *one.raws[1:], *two.raws]
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        await send(its, *raws[:5])
        await send(
            its,
            b" [\n" + b" ,\n ".join(raws[5:]) + b" ] ",
            content_type=f"{EVENT_BATCH_CONTENT_TYPE}; charset=utf-8",
        )
        await settled(db, len(raws))
    await check(db, raws)
    totals = msgspec.json.decode(
        await db.fetchval("SELECT totals::text FROM ledger.batches ORDER BY last_seq DESC LIMIT 1")
    )
    assert totals["events_total"] == len(raws)


async def test_repeats_append_nothing(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool
) -> None:
    """The same event again: in its batch, alone, beside new ones, and with other bytes or another id."""
    life = a_life()
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        await send(its, *life.raws[:3], *life.raws[:3])
        await until(has(db, 3))
        again = json.loads(life.raws[1]) | {"id": uuid7(), "traceparent": "x"}
        await send(its, life.raws[0], json.dumps(again).encode(), *life.raws[2:])
        joined = b"[%s]" % b",".join(life.raws * 3)
        await send(its, joined, content_type=EVENT_BATCH_CONTENT_TYPE)
        await settled(db, len(life.raws))
    await check(db, life.raws)


def changed(raw: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(raw) | changes).encode()


def wrong_messages() -> list[tuple[bytes, str]]:
    """Whatever can lie in a stream that is no event of ours."""
    life = a_life(1)
    base = life.raws[0]
    events = [
        changed(base, id="x"),
        changed(base, id=uuid7().upper()),
        changed(base, subject="not-a-uuid"),
        changed(base, specversion="0.3"),
        changed(base, sequence=0),
        changed(base, sequence=2**31),
        changed(base, sequence=2**70),
        changed(base, sequence=1.5),
        changed(base, sequence="1"),
        changed(base, type="a\x00b"),
        changed(base, type="\ud800"),
        changed(base, type=""),
        changed(base, source="x" * 10_000),
        changed(base, source="/\x00"),
        changed(base, time="yesterday"),
        changed(base, time="2026-12-01T08:00:00"),
        changed(base, time="9999-12-31T23:59:59-12:00"),
        changed(base, time="0001-01-01T00:00:00+14:00"),
        changed(base, data=None),
        changed(base, data=[]),
        changed(base, data={}),
        changed(base, data=json.loads(base)["data"] | {"principal": "much"}),
        changed(base, data=json.loads(base)["data"] | {"currency": "\ud800"}),
        base[:-1],
        base[:-1] + b"\xff}",
        b"",
        b"null",
        b"[]",
        b"\xff\xfe\x00",
        b"[" * 50_000,
    ]
    messages = [(event, EVENT_CONTENT_TYPE) for event in events]
    messages += [
        (base, "application/json"),
        (base, ""),
        (b"[%s" % base, EVENT_BATCH_CONTENT_TYPE),
        (base, EVENT_BATCH_CONTENT_TYPE),
    ]
    return messages


async def test_what_is_no_event_is_left_out(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool
) -> None:
    """Malformed messages of every kind are anomalies, and everything around them is appended."""
    life = Life()
    life.create()
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        number = 0
        for body, content_type in wrong_messages():
            await send(its, body, content_type=content_type)
            if number < 12:
                number += 1
                life.succeed(life.start(number))
        await send(its, *life.raws)
        await settled(db, len(life.raws))
    await check(db, life.raws)
    kept = await db.fetch("SELECT evidence FROM ledger.anomalies WHERE kind = 'malformed'")
    # a batch that is none is one; what a batch holds is told of by itself
    assert len(kept) >= len({body for body, _ in wrong_messages()}) - 1


async def test_an_id_used_twice(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool
) -> None:
    """An id that another event has already does not stop the ledger for ever."""
    life = a_life()
    stolen = json.loads(life.raws[0])["id"]
    together = [*life.raws[:3], changed(life.raws[3], id=stolen), *life.raws[3:5]]
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        await send(its, b"[%s]" % b",".join(together), content_type=EVENT_BATCH_CONTENT_TYPE)
        await send(its, changed(life.raws[5], id=stolen))
        await settled(db, 5)
        await send(its, *life.raws)
        await settled(db, len(life.raws))
    await check(db, life.raws)


async def test_an_unknown_type_is_kept(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool
) -> None:
    """A type of a later version is recorded like any other: what cannot be read yet must not be lost."""
    life = a_life(1)
    life.emit(LEASES, "lease.renamed", {"lease_id": life.lease_id, "name": "x"})
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        await send(its, *life.raws)
        await settled(db, len(life.raws))
    await check(db, life.raws)


async def test_restart(servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool) -> None:
    """Stopped and started between and within events: it goes on where it was."""
    life = a_life(10)
    done = 0
    for part in (1, 2, 7, len(life.raws)):
        async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
            await send(its, *life.raws[done:part])
            done = part
            await until(has(db, done))
    await check(db, life.raws)


async def test_connections_that_break(servers: Servers, its: AbstractChannel, db: asyncpg.Connection) -> None:
    """The connections to the broker and to Postgres end, again and again: nothing lost or doubled."""
    life = a_life(11)
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test-0'"
    async with (
        proxy(servers.amqp_url) as between,
        pools(servers, "ledger", role="ledger_writer") as [pool],
        running(LedgerWriter(between.url, pool, KEY).run()),
    ):
        for number, raw in enumerate(life.raws):
            await send(its, raw)
            if number % 8 == 3:
                between.cut()
            if number % 8 == 7:
                await db.execute(end)
            await asyncio.sleep(0.02)
        await settled(db, len(life.raws))
    await check(db, life.raws)


async def test_a_new_session_after_the_broker_was_away(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection
) -> None:
    """What was under way in the old session ends with it, perhaps amid a BEGIN; a new one goes on."""
    life = a_life(2)
    pids = "SELECT pid FROM pg_stat_activity WHERE application_name = 'test-0'"
    async with (
        proxy(servers.amqp_url) as between,
        pools(servers, "ledger", role="ledger_writer") as [pool],
        running(LedgerWriter(between.url, pool, KEY).run()),
    ):
        await send(its, *life.raws[:2])
        await settled(db, 2)
        [before] = await db.fetch(pids)
        # it waits for this lock when the broker goes away
        async with db.transaction():
            await db.execute("LOCK TABLE ledger.entries IN ACCESS EXCLUSIVE MODE")
            await send(its, *life.raws[2:4])
            await asyncio.sleep(0.2)
            between.cut()
            await asyncio.sleep(0.2)
        await send(its, *life.raws[4:])
        await settled(db, len(life.raws))
        [after] = await db.fetch(pids)
    assert before["pid"] != after["pid"]
    await check(db, life.raws)


async def test_a_second_writer_stands_by(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection
) -> None:
    """Two writers: one appends; when its connection ends the other takes over, in the same log."""
    life = a_life(10)
    half = len(life.raws) // 2
    async with pools(servers, "ledger", 2, role="ledger_writer") as two:
        writers = [LedgerWriter(servers.amqp_url, pool, KEY) for pool in two]
        async with running(*(writer.run() for writer in writers)):
            await send(its, *life.raws[:half])
            await until(has(db, half))
            leading = await db.fetch(
                "SELECT a.application_name FROM pg_locks JOIN pg_stat_activity a USING (pid)"
                " WHERE locktype = 'advisory' AND granted"
            )
            assert len(leading) == 1
            await db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            )
            await send(its, *life.raws[half:])
            await settled(db, len(life.raws))
    await check(db, life.raws)


@pytest.mark.parametrize("first", ["same events again", "others first", "nothing", "fewer"])
async def test_the_stream_is_another_one(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool, first: str
) -> None:
    """The stream was lost and made anew: read from its beginning, repeats recognised, new ones appended."""
    old, new = a_life(), a_life()
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        await send(its, *old.raws)
        await until(has(db, len(old.raws)))
    await fresh_stream(servers, its)
    again = {"same events again": old.raws, "others first": new.raws, "nothing": [], "fewer": old.raws[2:4]}[
        first
    ]
    await send(its, *again)
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        await asyncio.sleep(0.1)
        await send(its, *new.raws, *old.raws)
        await settled(db, len(old.raws) + len(new.raws))
    await check(db, [*old.raws, *new.raws])


async def test_a_stream_that_is_lost_is_told_of_once(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool
) -> None:
    """However often the writer connects while the new one holds nothing, no event, or only repeats."""
    life = a_life()

    async def written(*upto: int) -> None:
        async def reached() -> bool:
            at = await stream_position.stored(reading)
            return (at.generation, at.stream_offset) == upto

        writer = LedgerWriter(servers.amqp_url, pool, KEY)
        async with pool.acquire() as reading, running(writer.run()):
            await until(reached)
            await asyncio.sleep(0.2)

    async def told() -> list[str]:
        rows = await db.fetch("SELECT place FROM ledger.anomalies WHERE kind = 'cursor_mismatch' ORDER BY 1")
        return [row["place"] for row in rows]

    await send(its, *life.raws)
    await written(1, len(life.raws) - 1)
    await fresh_stream(servers, its)
    for _ in range(2):  # empty
        await written(2, -1)
    await send(its, b"no event")
    for _ in range(2):
        await written(2, -1)
    await send(its, *life.raws[:3])
    for _ in range(2):
        await written(2, 3)
    assert await told() == [f"1 {len(life.raws) - 1}"]
    await fresh_stream(servers, its)
    await send(its, life.raws[5], changed(life.raws[0], source="/else"))
    for _ in range(2):
        await written(3, 1)
    assert await told() == [f"1 {len(life.raws) - 1}", "2 3"]
    life.succeed(life.start(4))
    await send(its, *life.raws[-2:])
    await written(3, 3)
    assert await db.fetchval("SELECT generation FROM ledger.batches ORDER BY last_seq DESC LIMIT 1") == 3
    await check(db, life.raws)


async def test_a_seal_that_does_not_fit_stops_the_writer(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool
) -> None:
    """Somebody has changed a stored node: nothing is appended on top of it."""
    life = a_life(6)
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        await send(its, *life.raws[:9])
        await until(has(db, 9))
    kept = await db.fetchval("SELECT hash FROM ledger.nodes WHERE level = 3 AND position = 0")
    async with tampering(db):
        await db.execute("UPDATE ledger.nodes SET hash = $1 WHERE level = 3 AND position = 0", b"x" * 32)
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        await send(its, *life.raws[9:])
        await asyncio.sleep(0.5)
        assert await db.fetchval("SELECT count(*) FROM ledger.entries") == 9
        async with tampering(db):
            await db.execute("UPDATE ledger.nodes SET hash = $1 WHERE level = 3 AND position = 0", kept)
        await settled(db, len(life.raws))
    await check(db, life.raws)


async def test_many_at_once(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool
) -> None:
    """Thousands of events at once: batches of bounded size, gapless all the same."""
    life = a_life(12)
    others = [a_life(12) for _ in range(40)]
    raws = [raw for each in (life, *others) for raw in each.raws]
    joined = [b"[%s]" % b",".join(raws[start : start + 50]) for start in range(0, len(raws), 50)]
    await send(its, *joined, content_type=EVENT_BATCH_CONTENT_TYPE)
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        await settled(db, len(raws))
    await check(db, raws)
    assert (await repository.head(pool)).last_seq == len(raws)
