"""The collector on a real database, stopped between any two of its steps; the gateway is a fake."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from common.bus.replies import ReplySender
from common.clock import utcnow
from common.db import Pool, transaction
from common.envelope import Command
from common.http import consistency
from common.ids import payment_id, uuid7
from payment_svc import collector as module
from payment_svc import run_store, store
from payment_svc.attempt import Attempt
from payment_svc.collector import LEASES_AT_ONCE, Collector
from payment_svc.events import LateFee, LeaseCreated, ScheduledInstalment
from payment_svc.gateways.port import Charged, ChargeRequest, ChargeResult, Declined, NoAnswer
from payment_svc.runs import Run, outcome_of
from payment_svc.settler import Settler
from tests.integration.database import empty, owner, pools
from tests.servers import Servers

DUE = date(2027, 3, 1)


class Gateway:
    """Charges once for each key, whatever is asked how often."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.charged: dict[str, Charged | Declined] = {}

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        await asyncio.sleep(0)
        self.calls[request.idempotency_key] += 1
        ok = request.payment_method == "pm_ok"
        said = Charged(reference="ch") if ok else Declined(code="do_not_honor", reference="ch")
        return self.charged.setdefault(request.idempotency_key, said)

    async def find(self, idempotency_key: str) -> Charged | Declined | NoAnswer | None:
        return self.charged.get(idempotency_key)


@pytest.fixture
async def its(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    async with owner(servers) as connection:
        await empty(connection, "payment")
        yield connection
        await empty(connection, "payment")


@pytest.fixture
async def pool(servers: Servers, its: asyncpg.Connection) -> AsyncIterator[Pool]:
    async with pools(servers, "payment") as [opened]:
        yield opened


async def leases(pool: Pool, count: int, *, term: int = 1) -> list[str]:
    """Leases on autopay whose instalments have all fallen due, a month apart; every third is declined."""
    made = []
    for number in range(count):
        lease_id = uuid7()
        schedule = [
            ScheduledInstalment(
                number=each,
                payment_id=payment_id(lease_id, each),
                due_date=DUE - timedelta(days=30 * (term - each)),
                principal=100,
                interest=0,
                fees=0,
                principal_balance=100 * (term - each),
            )
            for each in range(1, term + 1)
        ]
        made.append(
            LeaseCreated(
                lease_id=lease_id,
                currency="USD",
                principal=100 * term,
                annual_rate="0",
                day_count="30/360",
                start_date=DUE - timedelta(days=30 * term),
                payment_method="pm_ok" if number % 3 else "pm_declined",
                autopay=True,
                late_fee=LateFee(grace_days=5, amount=7),
                schedule=schedule,
            )
        )
    async with transaction(pool) as connection:
        await store.insert_leases(connection, made, {lease.lease_id: 1 for lease in made})
    return [lease.lease_id for lease in made]


def command() -> Command:
    return Command(command_id=uuid7(), type="RunCollections", submitted_at=utcnow(), data=msgspec.Raw(b"{}"))


async def begin(pool: Pool, as_of: date = DUE) -> Run:
    async with transaction(pool) as connection:
        return await run_store.open_run(connection, as_of, command(), utcnow())


def worker(pool: Pool, gateway: Any) -> tuple[Collector, Settler]:
    replies = ReplySender("amqp://nowhere/", "test")  # not connected: replies are lost, as they may be
    settler = Settler(pool, gateway, replies, lambda: None)
    return Collector(pool, settler, replies, lambda: None), settler


@asynccontextmanager
async def working(pool: Pool, gateway: Any) -> AsyncIterator[None]:
    collector, settler = worker(pool, gateway)
    tasks = [asyncio.create_task(collector.run()), asyncio.create_task(settler.run())]
    try:
        yield
    finally:
        collector.stop()
        await asyncio.wait_for(tasks[0], 10)
        await settler.drained()
        tasks[1].cancel()
        await asyncio.wait(tasks)


async def completed(pool: Pool, run: Run) -> Run:
    async with asyncio.timeout(30):
        while True:
            async with pool.acquire() as connection:
                found = await run_store.read(connection, run.run_id)
            assert found
            if found[0].status == "completed":
                return found[0]
            await asyncio.sleep(0.02)


async def one_batch(pool: Pool, run: Run) -> list[Attempt]:
    """A worker decides on a batch and commits; then it is gone."""
    collector, _ = worker(pool, Gateway())
    _, started = await collector._batch(run, LEASES_AT_ONCE)
    return started


async def test_a_day_that_many_begin_at_once(pool: Pool) -> None:
    """Each worker's daily command comes in the same moment: one run, and nobody fails."""
    for day in range(40):
        as_of = DUE + timedelta(days=day)
        runs = await asyncio.gather(*(begin(pool, as_of) for _ in range(4)))
        assert len({run.command_id for run in runs}) == 1


@pytest.mark.parametrize("charged", [False, True], ids=["before the call", "after the call"])
async def test_a_worker_that_died_during_the_call(pool: Pool, charged: bool) -> None:
    """What it had begun is charged under the same keys by whoever starts next; each key is one charge."""
    await leases(pool, 30)
    run, gateway = await begin(pool), Gateway()
    started = await one_batch(pool, run)
    assert len(started) == 30
    if charged:
        for attempt in started:
            await gateway.charge(request_of(attempt))
    async with working(pool, gateway):
        done = await completed(pool, run)
    assert (done.counts.leases, done.counts.attempted) == (30, 30)
    assert (done.counts.succeeded, done.counts.declined, done.counts.unknown) == (20, 10, 0)
    assert gateway.charged.keys() == {attempt.attempt_id for attempt in started}
    assert set(gateway.calls.values()) == {2 if charged else 1}


async def test_three_workers_share_a_run(pool: Pool) -> None:
    """Each lease is worked through once, each attempt is charged once."""
    await leases(pool, 700)
    run, gateway = await begin(pool), Gateway()
    async with working(pool, gateway), working(pool, gateway), working(pool, gateway):
        done = await completed(pool, run)
    assert (done.counts.leases, done.counts.due, done.counts.attempted) == (700, 700, 700)
    assert len(gateway.charged) == 700
    assert await pool.fetchval("SELECT max(attempts) FROM payments") == 1


async def test_a_batch_is_bounded_in_instalments_too(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that are years behind are taken a few at a time, each as a whole."""
    monkeypatch.setattr(module, "INSTALMENTS_AT_ONCE", 25)
    await leases(pool, 20, term=10)
    run, gateway = await begin(pool), Gateway()
    assert len(await one_batch(pool, run)) == 20  # two leases whole, the third another time
    async with working(pool, gateway):
        done = await completed(pool, run)
    assert (done.counts.leases, done.counts.attempted, done.counts.late_fees) == (20, 200, 180)
    assert len(gateway.charged) == 200


async def test_what_is_locked_is_waited_for(pool: Pool, its: asyncpg.Connection) -> None:
    """A lease that a payment holds is passed over, and the run does not end without it."""
    lease_id, *_ = await leases(pool, 3)
    run, gateway = await begin(pool), Gateway()
    async with working(pool, gateway):
        async with its.transaction():
            await its.execute("SELECT FROM payment.accounts WHERE lease_id = $1 FOR UPDATE", lease_id)
            await asyncio.sleep(0.5)
            async with pool.acquire() as connection:
                found = await run_store.read(connection, run.run_id)
            assert found
            assert (found[0].status, found[0].counts.leases, found[1]) == ("running", 2, 1)
        assert (await completed(pool, run)).counts.leases == 3


async def test_days_are_worked_on_in_their_order(pool: Pool) -> None:
    """Two days asked for at once: the later one finds what the earlier one has left, and retries it."""
    await leases(pool, 30)
    later, first = await begin(pool, DUE + timedelta(days=1)), await begin(pool)
    gateway = Gateway()
    async with working(pool, gateway):
        done = [await completed(pool, run) for run in (first, later)]
    assert [(each.counts.attempted, each.counts.declined) for each in done] == [(30, 10), (10, 10)]


async def test_attempts_that_cannot_be_recorded_hold_up_no_run_for_ever(pool: Pool) -> None:
    """After so many takes it is a defect's: the run completes without an end for it."""
    await leases(pool, 2)
    run, gateway = await begin(pool), Gateway()
    await one_batch(pool, run)
    await pool.execute("UPDATE attempts SET failures = $1", run_store.MAX_FAILURES)
    collector, _ = worker(pool, gateway)
    assert await collector._complete(run)
    assert (await completed(pool, run)).counts.attempted == 2


def request_of(attempt: Attempt) -> ChargeRequest:
    return ChargeRequest(
        idempotency_key=attempt.attempt_id,
        amount=attempt.amount,
        currency=attempt.currency,
        payment_method=attempt.payment_method,
        lease_id=attempt.lease_id,
        payment_id=attempt.payment_id,
        attempt_id=attempt.attempt_id,
    )


async def test_a_completed_run_says_up_to_where_to_read(pool: Pool, its: asyncpg.Connection) -> None:
    """Its outcome has the position of the last event there was, for those who wait and who ask again."""
    await leases(pool, 5)
    run = await begin(pool)
    async with working(pool, Gateway()):
        done = await completed(pool, run)
    last = json.loads(await its.fetchval("SELECT body FROM payment.outbox ORDER BY id DESC LIMIT 1"))
    assert done.token is not None
    position = consistency.read_token(done.token)
    assert (position.source, position.sequence, position.lease_id) == (
        "/payment-svc",
        last["sequence"],
        last["subject"],
    )
    assert outcome_of(done, uuid7()).token == done.token
    async with transaction(pool) as connection:
        again = await run_store.open_run(connection, DUE, command(), utcnow())
    assert (again.status, again.token) == ("completed", done.token)
