"""What is lost between an outbox and the ledger is noticed, asked for, and comes; each event once."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import AMQPError

from common.kernel.clock import rfc3339, utcnow
from common.kernel.ids import earliest, uuid7
from common.messaging import topology
from common.messaging.outbox_reconciliation import Answer, Set, digest
from common.postgres.pool import Pool
from ledger_svc.completeness.producer_client import Producers
from ledger_svc.completeness.reconciler import Reconciler
from ledger_svc.entrypoints import acknowledge_anomalies, reconcile
from tests.integration.ledger_svc.test_writer import changed, fresh_stream, has, send
from tests.support.fakes.event_producer import Outboxes, outboxes, workers
from tests.support.fakes.reconciling import (
    a_life,
    kinds,
    notes,
    open_ones,
    shorten_pauses,
    told_before,
    writing,
)
from tests.support.servers.broker_client import channel, running, until
from tests.support.servers.database import empty, owner, pools
from tests.support.servers.servers import Servers


@pytest.fixture
async def its(servers: Servers) -> AsyncIterator[AbstractChannel]:
    """A channel, with all queues, the stream and the ledger empty."""
    async with channel(servers.amqp_url) as opened, owner(servers) as connection:
        await fresh_stream(servers, opened)
        await empty(connection, "ledger")
        yield opened
        await empty(connection, "ledger")
        for queue in topology.WORK_QUEUES:  # nobody projects the events that were published
            await (await opened.get_queue(queue.name)).purge()


@pytest.fixture
async def db(servers: Servers, its: AbstractChannel) -> AsyncIterator[asyncpg.Connection]:
    async with owner(servers) as connection:
        yield connection


@pytest.fixture
async def pool(servers: Servers, its: AbstractChannel) -> AsyncIterator[Pool]:
    async with pools(servers, "ledger", role="ledger_writer") as [opened]:
        yield opened


@pytest.fixture
async def told(servers: Servers) -> AsyncIterator[Outboxes]:
    async with outboxes(servers) as found:
        yield found


def quiet(db: asyncpg.Connection) -> Callable[[], Any]:
    async def reached() -> bool:
        return not await open_ones(db)

    return reached


async def complete(db: asyncpg.Connection, raws: list[bytes]) -> None:
    """The ledger has each of these once, and nothing else."""
    await until(has(db, len(raws)))
    await asyncio.sleep(0.2)
    rows = await db.fetch("SELECT raw FROM ledger.entries ORDER BY seq")
    assert sorted(bytes(row["raw"]) for row in rows) == sorted(raws)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_pauses(monkeypatch)


@pytest.fixture(params=[1, 1000], ids=["one by one", "together"])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many events are compared at once."""
    for module in ("common.messaging.outbox_reconciliation", "ledger_svc.completeness.outbox_comparison"):
        monkeypatch.setattr(f"{module}.EVENTS_PER_SET", request.param)
    limit: int = request.param
    return limit


async def test_a_gap_is_filled_from_the_outbox(
    servers: Servers,
    its: AbstractChannel,
    db: asyncpg.Connection,
    pool: Pool,
    told: Outboxes,
    at_once: int,
) -> None:
    """Messages that the stream never had, also several in a row, come within seconds."""
    one, two = a_life(), a_life()
    async with workers(servers, told), writing(servers, pool):
        await told.tell(one.raws, lost=[one.raws[2], one.raws[4], one.raws[5]])
        await told.tell(two.raws, lost=two.raws[1:3])
        await complete(db, [*one.raws, *two.raws])
        await until(quiet(db))
    assert sorted(await kinds(db)) == ["gap"] * 3
    assert {note for _, note in await notes(db)} == {"the missing numbers have arrived"}


async def test_a_lost_tail_is_found_without_a_later_event(
    servers: Servers,
    its: AbstractChannel,
    db: asyncpg.Connection,
    pool: Pool,
    told: Outboxes,
    at_once: int,
) -> None:
    """Once they have come to rest, number and digest tell that some are missing, though no gap shows."""
    one, two = a_life(), a_life()
    async with workers(servers, told), writing(servers, pool, every_s=1.0):
        await told.tell(one.raws, lost=one.raws[-2:])
        await told.tell(two.raws, lost=two.raws)
        await complete(db, [*one.raws, *two.raws])
        await until(quiet(db))
    assert set(await kinds(db)) == {"difference"}
    assert await db.fetchval("SELECT count(DISTINCT source) FROM ledger.reconciled") == 2


class Answering(Producers):
    """Producers that have told nothing, and count how often they are asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def compare(self, source: str, sets: Sequence[Set]) -> list[Answer]:
        self.asked += 1
        return [Answer(count=0, digest=digest([]), pending=0) for _ in sets]


async def test_nothing_is_compared_while_the_writer_is_behind(db: asyncpg.Connection, pool: Pool) -> None:
    """What it has not read yet would count as lost, and be sent once more to a writer that has too much."""
    producers = Answering()
    reconciler = Reconciler(pool, producers, every_s=0.1)
    old = earliest(utcnow() - timedelta(minutes=5))
    async with running(reconciler.run()):
        for _ in range(10):
            reconciler.read(old)
            await asyncio.sleep(0.05)
        assert producers.asked == 0
        await until(lambda: _compared(db))
    assert producers.asked >= 2


async def _compared(db: asyncpg.Connection) -> bool:
    return bool(await db.fetchval("SELECT count(DISTINCT source) = 2 FROM ledger.reconciled"))


async def test_what_the_outbox_has_no_more_stays_open(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool, told: Outboxes
) -> None:
    """The gap says so, what is left of it is recorded, and nobody is asked again and again."""
    life = a_life()
    async with workers(servers, told):
        await told.tell(life.raws, lost=life.raws[1:4])
        await told.forget(life.raws[2])
        async with writing(servers, pool):
            await complete(db, [raw for raw in life.raws if raw != life.raws[2]])
            [gap] = await open_ones(db)
            assert (gap["kind"], gap["first_sequence"], gap["last_sequence"]) == ("gap", 1, 3)
            [(healed, note)] = await notes(db)
            assert not healed
            assert "has 2 of the numbers 1 to 3: the others are beyond its horizon" in note
            answered = "SELECT count(*) FROM payment.commands WHERE type = 'ReconcileEvents'"
            before = await db.fetchval(answered)
            await asyncio.sleep(1)
            assert await db.fetchval(answered) == before


async def test_who_is_right_in_a_conflict(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool, told: Outboxes
) -> None:
    """The outbox decides: a forged repeat is done with, a forged event that came first stays open."""
    life = a_life()
    late_truth, forged = life.raws[-1], changed(life.raws[-1], causationid=uuid7())
    forged_repeat = changed(life.raws[2], time="2027-01-01T00:00:00Z")
    async with workers(servers, told), writing(servers, pool):
        await told.tell(life.raws[:-1])
        await until(has(db, len(life.raws) - 1))
        await send(its, forged_repeat, forged)
        await until(has(db, len(life.raws)))
        await told.tell([late_truth])
        await complete(db, [*life.raws[:-1], forged])
        await until(lambda: _answered(db, 2))
    assert sorted(await notes(db)) == [
        (False, "the outbox of /payment-svc has other bytes than what is recorded"),
        (True, "the outbox of /payment-svc has what is recorded"),
    ]
    rows = await db.fetch("SELECT evidence FROM ledger.anomalies ORDER BY anomaly_id")
    assert [row["evidence"] for row in rows] == [forged_repeat, late_truth]


async def _answered(db: asyncpg.Connection, count: int) -> bool:
    return len(await notes(db)) >= count


async def test_an_id_used_twice_is_asked_about(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool, told: Outboxes
) -> None:
    """The place is filled by what the outbox has there, and the anomaly is done with."""
    life = a_life()
    async with workers(servers, told), writing(servers, pool):
        await told.tell(life.raws[:-1])
        await until(has(db, len(life.raws) - 1))
        await told.tell(life.raws[-1:], lost=life.raws[-1:])
        await send(its, changed(life.raws[-1], id=msgspec.json.decode(life.raws[0])["id"]))
        await complete(db, life.raws)
        await until(quiet(db))
    assert await kinds(db) == ["id_reused"]


async def test_the_stream_is_deleted_under_load(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool, told: Outboxes
) -> None:
    """Twice, while events are told: in the end the ledger has each once, and nothing is left to be done."""
    lives = [a_life(random.randint(1, 6)) for _ in range(60)]
    raws = [raw for life in lives for raw in life.raws]
    async with workers(servers, told), writing(servers, pool, every_s=1.0):
        for number, life in enumerate(lives):
            await told.tell(life.raws)
            if number in (20, 40):
                await until(lambda: delete_stream(servers))
        await until(told.published, within_s=60)
        await complete(db, raws)
        await until(quiet(db), within_s=60)
    assert "cursor_mismatch" in await kinds(db)
    batches = await db.fetch("SELECT generation FROM ledger.batches ORDER BY last_seq")
    generations = [row["generation"] for row in batches]
    assert generations == sorted(generations)
    assert generations[-1] >= 2


async def delete_stream(servers: Servers) -> bool:
    """False where the broker has still to do with making it."""
    try:
        async with channel(servers.amqp_url) as its:
            await its.queue_delete(topology.LEDGER_STREAM)
    except AMQPError:
        return False
    return True


@pytest.mark.parametrize("what", ["beyond the end", "other messages"])
async def test_a_cursor_that_does_not_fit(
    servers: Servers,
    its: AbstractChannel,
    db: asyncpg.Connection,
    pool: Pool,
    told: Outboxes,
    what: str,
) -> None:
    """The stored offset is not there yet, or stands for another message: told, and nothing is lost."""
    life, lost, later = a_life(), a_life(), a_life()
    async with workers(servers, told):
        async with writing(servers, pool):
            await told.tell(life.raws)
            await complete(db, life.raws)
        await told.tell(lost.raws, lost=lost.raws)
        await told.tell(later.raws, lost=later.raws)
        await fresh_stream(servers, its)
        if what == "other messages":
            await send(its, *later.raws, *life.raws[:2])
        async with writing(servers, pool):
            await complete(db, [*life.raws, *lost.raws, *later.raws])
            await until(quiet(db))
    [why] = await db.fetch("SELECT detail FROM ledger.anomalies WHERE kind = 'cursor_mismatch'")
    assert {"beyond the end": "nothing came", "other messages": "another message is there"}[what] in why[0]
    assert (True, "ledger and outbox have the same events") in await notes(db)


async def test_an_operator_asks(
    servers: Servers,
    its: AbstractChannel,
    db: asyncpg.Connection,
    pool: Pool,
    told: Outboxes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`reconcile` finds what nothing has noticed, and has it healed; `accept` ends what cannot be."""
    monkeypatch.setenv("DATABASE_URL", servers.dsn("ledger_writer"))
    monkeypatch.setenv("AMQP_URL", servers.amqp_url)
    monkeypatch.setattr("ledger_svc.entrypoints.reconcile.configure_logging", lambda _level: None)
    monkeypatch.setattr("ledger_svc.entrypoints.acknowledge_anomalies.configure_logging", lambda _level: None)
    raws = [told_before(raw, timedelta(days=3)) for raw in a_life().raws]
    async with workers(servers, told), writing(servers, pool):
        await told.tell(raws, lost=raws[-2:])
        await until(has(db, len(raws) - 2))
        since = rfc3339(utcnow() - timedelta(days=4))
        assert await asyncio.to_thread(reconcile.main, ["--since", since]) == 0
        said = capsys.readouterr().out
        assert "healed" in said
        entries, events = len(raws) - 3, len(raws) - 1
        assert f"/payment-svc: {entries} entries and {events} events compared, 2 differ" in said
        await complete(db, raws)
        assert await kinds(db) == ["difference"] * 2
        await send(its, b"wrong")
        await until(lambda: _raised(db, 3))
        [wrong] = await open_ones(db)
        ids = [str(wrong["anomaly_id"]), "99"]
        assert await asyncio.to_thread(acknowledge_anomalies.main, [*ids, "--note", "a test"]) == 1
        assert "99 is no open anomaly" in capsys.readouterr().err
    assert await open_ones(db) == []


async def _raised(db: asyncpg.Connection, count: int) -> bool:
    return len(await kinds(db)) >= count


async def test_a_restart_in_the_middle_of_healing(
    servers: Servers, its: AbstractChannel, db: asyncpg.Connection, pool: Pool, told: Outboxes
) -> None:
    """The writer ends between asking and the answer; the next one asks again, by what the tables say."""
    life = a_life()
    await told.tell(life.raws, lost=life.raws[2:4])
    present = [raw for raw in life.raws if raw not in life.raws[2:4]]
    async with writing(servers, pool):  # nobody answers
        await send(its, *present)
        await until(has(db, len(present)))
        await asyncio.sleep(0.3)
    assert await kinds(db) == ["gap"]
    async with workers(servers, told):
        async with writing(servers, pool):
            await complete(db, life.raws)
        async with writing(servers, pool):
            await until(quiet(db))
    assert await kinds(db) == ["gap"]
