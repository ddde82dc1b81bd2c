"""Anomalies: in the table, in the metrics, in the log, over HTTP; few, however many messages are wrong."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from aio_pika.abc import AbstractChannel
from prometheus_client import REGISTRY

from common.kernel.clock import rfc3339
from common.kernel.ids import uuid7
from common.messaging import topology
from common.postgres.pool import Pool
from common.web import read_your_writes
from ledger_svc.log.writer import LedgerWriter
from tests.integration.ledger_svc.test_writer import KEY, a_life, changed, fresh_stream, has, send
from tests.support.builders.events import Life
from tests.support.servers.apis import Fronts
from tests.support.servers.broker_client import channel, declare_topology, running, until
from tests.support.servers.database import empty, owner, pools
from tests.support.servers.servers import Servers

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIST = "/api/v1/audit/anomalies"


@pytest_asyncio.fixture(loop_scope="session")
async def its(servers: Servers) -> AsyncIterator[AbstractChannel]:
    """A channel, with the stream and the ledger empty."""
    async with channel(servers.amqp_url) as opened, owner(servers) as connection:
        await fresh_stream(servers, opened)
        await empty(connection, "ledger")
        yield opened
        await empty(connection, "ledger")


@pytest_asyncio.fixture(loop_scope="session")
async def db(servers: Servers, its: AbstractChannel) -> AsyncIterator[asyncpg.Connection]:
    async with owner(servers) as connection:
        yield connection


@pytest_asyncio.fixture(loop_scope="session")
async def pool(servers: Servers, its: AbstractChannel) -> AsyncIterator[Pool]:
    async with pools(servers, "ledger", role="ledger_writer") as [opened]:
        yield opened


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger_svc.log.writer.PAUSE_S", 0.05)
    monkeypatch.setattr("ledger_svc.log.stream_subscription.FIRST_WITHIN_S", 1.0)


def told(db: asyncpg.Connection, count: int) -> Callable[[], Any]:
    async def reached() -> bool:
        return bool(await db.fetchval("SELECT count(*) FROM ledger.anomalies") >= count)

    return reached


def counted(kind: str) -> float:
    return REGISTRY.get_sample_value("ledger_anomalies_total", {"kind": kind}) or 0.0


async def test_every_kind_over_http(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool, fronts: Fronts
) -> None:
    """A gap, a conflict, a reused id, an unknown source, no event at all, a cursor that does not fit."""
    life, other = a_life(), a_life()
    before = await fronts.ask("ledger", "GET", "/health")
    assert before.json == {"status": "ok", "checks": {"postgres": "ok", "rabbitmq": "ok"}}
    wrong = {
        "conflict": changed(life.raws[1], time="2027-01-01T00:00:00Z"),
        "id_reused": changed(other.raws[0], id=json.loads(life.raws[0])["id"]),
        "unknown_source": changed(other.raws[0], source="/else", id=uuid7()),
        "malformed": b"\xff{",
    }
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        await send(its, *life.raws[:3], *life.raws[4:], *wrong.values())
        await until(told(db, 5))
    await fresh_stream(servers, its)
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        await until(told(db, 6))
        answer = await fronts.ask("ledger", "GET", f"{LIST}?evidence=true&status=open")
        health = await fronts.ask("ledger", "GET", "/health")
        assert (health.status, health.json["status"]) == (200, "degraded")
        assert health.json["checks"]["ledger"] == "6 open anomalies"
        gauges = [REGISTRY.get_sample_value("ledger_open_anomalies", {"kind": kind}) for kind in wrong]
        assert gauges == [1.0] * 4
        items = {item["kind"]: item for item in answer.json["items"]}
        assert items.keys() == {*wrong, "gap", "cursor_mismatch"}
        assert {kind: base64.b64decode(items[kind]["evidence"]) for kind in wrong} == wrong
        gap = items["gap"]
        assert (gap["lease_id"], gap["source"]) == (life.lease_id, "/payment-svc")
        assert (gap["first_sequence"], gap["last_sequence"], gap["status"]) == (3, 3, "open")
        assert items["cursor_mismatch"]["since"] < items["cursor_mismatch"]["until"]

        await send(its, life.raws[3])
        await until(has(db, len(life.raws)))
        healed = (await fronts.ask("ledger", "GET", f"{LIST}?status=healed")).json["items"]
        assert [item["anomaly_id"] for item in healed] == [gap["anomaly_id"]]
        assert healed[0]["healed_at"] >= gap["noticed_at"]
        assert [each["note"] for each in healed[0]["notes"]] == ["the missing numbers have arrived"]
        assert "evidence" not in healed[0]
        health = await fronts.ask("ledger", "GET", "/health")
        assert health.json["checks"]["ledger"] == "5 open anomalies"


async def test_an_event_that_comes_late_shows_two_times(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool, fronts: Fronts
) -> None:
    """When it happened and when the ledger learned of it differ; what was known then is told unchanged."""
    life = Life()
    life.create()
    life.succeed(life.start(1))
    happened = json.loads(life.raws[-1])["time"]
    late = life.raws[-1]
    life.succeed(life.start(2))
    first, second = life.rows[0].amount, life.rows[1].amount

    async def state(**point: Any) -> Any:
        answer = await fronts.ask("ledger", "POST", f"{trail}/state-at-point", point)
        assert answer.status == 200, answer.body
        return answer.json

    trail = f"/api/v1/audit/leases/{life.lease_id}"
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        await send(its, *(raw for raw in life.raws if raw != late))
        await until(has(db, 4))
        known = rfc3339(await db.fetchval("SELECT max(recorded_at) FROM ledger.entries"))
        without = await state(as_of=known, basis="recorded")
        assert without["missing"] == [{"source": "/payment-svc", "first": 2, "last": 2}]
        assert (without["state"]["amount_paid"], without["events_applied"], without["seq"]) == (second, 4, 4)
        token = read_your_writes.token(read_your_writes.Position("/payment-svc", 2, life.lease_id))
        asking = {"Consistency_Token": token, "Prefer": "wait=1"}
        (await fronts.ask("ledger", "GET", trail, **asking)).problem(503)
        await send(its, late)
        await until(has(db, 5))
    assert (await fronts.ask("ledger", "GET", trail, **asking)).status == 200
    assert await state(as_of=known, basis="recorded") == without
    by_seq = await state(seq=4)
    assert (by_seq["state"], by_seq["missing"]) == (without["state"], without["missing"])
    learned = rfc3339(await db.fetchval("SELECT max(recorded_at) FROM ledger.entries"))
    whole = await state(as_of=learned, basis="recorded")
    assert (whole["state"]["amount_paid"], whole["missing"]) == (first + second, [])
    assert [each["status"] for each in whole["state"]["payments"]][:3] == ["paid", "paid", "scheduled"]
    then = await state(as_of=happened)
    assert (then["state"]["amount_paid"], then["events_applied"], then["seq"]) == (first, 3, 5)
    items = (await fronts.ask("ledger", "GET", f"{trail}/timeline")).json["items"]
    assert [item["seq"] for item in items] == [1, 2, 5, 3, 4]
    total = life.agreed
    assert [item["balance_after"] for item in items] == [
        *(total, total, total - first),
        *(total - first, total - first - second),
    ]


async def test_pages(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool, fronts: Fronts
) -> None:
    """Newest first, page after page; a cursor or a status that is none is 422."""
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        for number in range(5):
            await send(its, b"wrong %d" % number)
        await until(told(db, 5))
    seen: list[int] = []
    cursor = ""
    while True:
        page = (await fronts.ask("ledger", "GET", f"{LIST}?limit=2{cursor}")).json
        seen += [item["anomaly_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == 5
    assert seen == sorted(seen, reverse=True)
    (await fronts.ask("ledger", "GET", f"{LIST}?status=closed")).problem(422)
    (await fronts.ask("ledger", "GET", f"{LIST}?cursor=x")).problem(422)


async def test_a_flood_fills_nothing(
    servers: Servers,
    its: AbstractChannel,
    db: asyncpg.Connection,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wrong messages, the same and others, large ones too, by the thousand: all counted, few kept."""
    monkeypatch.setattr("ledger_svc.log.anomalies.OPEN_MAX", 3)
    life = a_life()
    before = counted("malformed")
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        await send(its, b"x" * 300_000, *[b"the same"] * 1000, *(b"another %d" % n for n in range(200)))
        await send(its, *life.raws)
        await until(has(db, len(life.raws)))
    assert counted("malformed") - before == 1201
    rows = await db.fetch("SELECT evidence FROM ledger.anomalies ORDER BY anomaly_id")
    assert [bytes(row["evidence"]) for row in rows] == [b"x" * 65536, b"the same", b"another 0"]


async def test_odd_words_stop_nothing(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool
) -> None:
    """What an error quotes of a message may be anything; it is told all the same."""
    life = a_life(1)
    odd = [b'{"a\\u0000b\\ud800": 1}', '{"ü\u2028\U0001f600": 1}'.encode(), b'"\\ud800"']
    odd += [changed(life.raws[0], specversion="\x00" * 3000), changed(life.raws[0], source="/ü\U0001f600")]
    async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
        await send(its, *odd, *life.raws)
        await until(has(db, len(life.raws)))
    assert await db.fetchval("SELECT count(*) FROM ledger.anomalies") == len(odd)


async def test_retention_has_passed_the_cursor(
    servers: Servers,
    its: AbstractChannel,
    db: asyncpg.Connection,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The broker goes on with what is left, without a word; the writer says so and reads it from there."""
    small = {"x-max-length-bytes": 60_000, "x-stream-max-segment-size-bytes": 20_000}
    await its.queue_delete(topology.LEDGER_STREAM)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(topology, "STREAM_ARGUMENTS", topology.STREAM_ARGUMENTS | small)
            await declare_topology(servers.amqp_url)
            life, later = a_life(), [a_life() for _ in range(30)]
            async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
                await send(its, *life.raws)
                await until(has(db, len(life.raws)))
            for each in later:
                await send(its, *each.raws)
            last = later[-1]
            async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
                await until(lambda: _has_event(db, last.raws[-1]))
        [row] = await db.fetch("SELECT detail FROM ledger.anomalies WHERE kind = 'cursor_mismatch'")
        assert "it does not hold that offset, the next one is" in row["detail"]
    finally:
        await fresh_stream(servers, its)


async def _has_event(db: asyncpg.Connection, raw: bytes) -> bool:
    return bool(await db.fetchval("SELECT EXISTS (SELECT FROM ledger.entries WHERE raw = $1)", raw))
