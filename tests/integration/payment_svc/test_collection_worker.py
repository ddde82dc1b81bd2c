"""The collector on a real database, stopped between any two of its steps; the gateway is a fake."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import msgspec
import pytest

from common.kernel.clock import utcnow
from common.kernel.ids import payment_id, uuid7
from common.messaging import command_inbox
from common.messaging.command_processor import Pending
from common.messaging.envelope import Command, Outcome, decode_event, encode
from common.messaging.reply_queue import ReplySender
from common.postgres.pool import Pool, transaction
from common.web import read_your_writes
from payment_svc.adapters.postgres import account_repository, collection_run_repository
from payment_svc.application.collection_run import Counts, Run, outcome_of
from payment_svc.application.command_handlers import PaymentUnit, load
from payment_svc.application.gateway import Charged, ChargeRequest, ChargeResult, Declined, NoAnswer
from payment_svc.application.workers import collection_worker as module
from payment_svc.application.workers import dry_run as dry_runs
from payment_svc.application.workers.charge_executor import Settler
from payment_svc.application.workers.collection_scheduler import Days
from payment_svc.application.workers.collection_worker import LEASES_AT_ONCE, Collector
from payment_svc.contracts.commands import RunCollections
from payment_svc.contracts.events import LateFee, LeaseCreated, ScheduledInstalment
from payment_svc.domain.attempt import Attempt
from tests.support.servers.database import empty, owner, pools
from tests.support.servers.servers import Servers

DUE = date(2027, 3, 1)


class Gateway:
    """Charges once for each key, whatever is asked how often."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.charged: dict[str, Charged | Declined] = {}
        self.good = {"pm_ok"}  # payment methods
        self.code = "do_not_honor"  # of the others

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        await asyncio.sleep(0)
        self.calls[request.idempotency_key] += 1
        ok = request.payment_method in self.good
        said = Charged(reference="ch") if ok else Declined(code=self.code, reference="ch")
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
        await account_repository.insert_leases(connection, made, {lease.lease_id: 1 for lease in made})
    return [lease.lease_id for lease in made]


def command() -> Command:
    return Command(command_id=uuid7(), type="RunCollections", submitted_at=utcnow(), data=msgspec.Raw(b"{}"))


async def begin(pool: Pool, as_of: date = DUE) -> Run:
    async with transaction(pool) as connection:
        return await collection_run_repository.open_run(connection, as_of, command(), utcnow())


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
                found = await collection_run_repository.read(connection, run.run_id)
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
    assert len(await one_batch(pool, run)) == 2  # two leases whole, the third another time
    async with working(pool, gateway):
        done = await completed(pool, run)
    assert (done.counts.leases, done.counts.attempted, done.counts.late_fees) == (20, 200, 0)
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
                found = await collection_run_repository.read(connection, run.run_id)
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
    await pool.execute("UPDATE attempts SET failures = $1", collection_run_repository.MAX_FAILURES)
    collector, _ = worker(pool, gateway)
    assert await collector._complete(run)
    assert (await completed(pool, run)).counts.attempted == 2


async def run_for(pool: Pool, gateway: Any, as_of: date) -> dict[str, int]:
    """What the run of a day has done by its completion, without the zeros."""
    async with working(pool, gateway):
        done = await completed(pool, await begin(pool, as_of))
    return {name: count for name, count in msgspec.structs.asdict(done.counts).items() if count}


async def test_attempts_then_consequences_then_cures(pool: Pool) -> None:
    """In one run: who pays is not fined, who is declined again is; money cures at once, and is counted."""
    await leases(pool, 30)
    gateway = Gateway()
    first = {"leases": 30, "due": 30, "attempted": 30, "succeeded": 20, "declined": 10}
    assert await run_for(pool, gateway, DUE) == first
    fined = {"leases": 10, "attempted": 10, "declined": 10, "late_fees": 10, "delinquent": 10}
    assert await run_for(pool, gateway, DUE + timedelta(days=6)) == fined
    assert await run_for(pool, gateway, DUE + timedelta(days=6)) == fined
    gateway.good.add("pm_declined")
    cured = {"leases": 10, "attempted": 10, "succeeded": 10, "cured": 10}
    assert await run_for(pool, gateway, DUE + timedelta(days=7)) == cured
    assert await pool.fetchval("SELECT count(*) FROM accounts WHERE delinquent") == 0
    bodies = await pool.fetch("SELECT body FROM outbox ORDER BY id")
    told = Counter(decode_event(row["body"]).type for row in bodies)
    assert (told["lease.late_fee_assessed"], told["lease.delinquent"], told["lease.cured"]) == (10, 10, 10)


async def test_a_first_run_that_comes_late_fines_nobody_who_pays(pool: Pool) -> None:
    """Years behind, cards that are good: every instalment is charged as agreed."""
    await leases(pool, 10, term=10)
    gateway = Gateway()
    gateway.good.add("pm_declined")
    done = await run_for(pool, gateway, DUE + timedelta(days=7))
    assert done == {"leases": 10, "due": 100, "attempted": 100, "succeeded": 100}
    assert await pool.fetchval("SELECT sum(amount)::int FROM attempts") == 100 * 100


@pytest.mark.parametrize(
    ("code", "made"), [(None, 6), ("lost_card", 1), ("insufficient_funds", 6)], ids=["good", "hard", "soft"]
)
async def test_one_instalment_of_a_lease_at_a_time(pool: Pool, code: str | None, made: int) -> None:
    """Six past instalments: a good card pays all in the one run, a lost one is charged once."""
    await leases(pool, 1, term=6)
    gateway = Gateway()
    if code is None:
        gateway.good.add("pm_declined")
    gateway.code = code or gateway.code
    done = await run_for(pool, gateway, DUE)
    ends = {"succeeded" if code is None else "declined": made}
    started = "SELECT number, created_at, settled_at FROM attempts ORDER BY attempt_id"
    rows = await pool.fetch(started)
    assert [row["number"] for row in rows] == list(range(1, made + 1))
    assert all(one["settled_at"] <= next_["created_at"] for one, next_ in pairwise(rows))
    assert len(gateway.calls) == made
    assert done == {"leases": 1, "due": 6, "attempted": made, **ends}
    assert await run_for(pool, gateway, DUE) == done
    assert await pool.fetchval("SELECT count(*) FROM payments WHERE first_tried_on = $1", DUE) == 6


async def test_the_same_day_again_does_what_has_become_possible(pool: Pool) -> None:
    """A new lease, and one that has a new method; nothing twice."""
    await leases(pool, 3)
    gateway = Gateway()
    await run_for(pool, gateway, DUE)
    await leases(pool, 1)
    changed = "UPDATE accounts SET autopay = true, payment_method = 'pm_ok', next_look_on = $1"
    await pool.execute("UPDATE accounts SET autopay = false WHERE collected_as_of IS NULL")
    assert (await run_for(pool, gateway, DUE))["attempted"] == 3
    await pool.execute(f"{changed} WHERE NOT autopay", DUE)
    assert await run_for(pool, gateway, DUE) == {
        **{"leases": 4, "due": 4, "attempted": 4},
        **{"succeeded": 3, "declined": 1},
    }
    assert await pool.fetchval("SELECT max(attempts) FROM payments") == 1


async def test_an_earlier_day_leaves_alone_what_a_later_one_has_worked_on(pool: Pool) -> None:
    """The lease's day is the highest; a run for a day before it has nothing to do there."""
    await leases(pool, 3)
    gateway = Gateway()
    await run_for(pool, gateway, DUE + timedelta(days=2))
    assert await run_for(pool, gateway, DUE) == {}
    await pool.execute("UPDATE accounts SET next_look_on = $1", DUE)  # as a reversal does
    assert await run_for(pool, gateway, DUE + timedelta(days=1)) == {}
    assert await pool.fetchval("SELECT min(collected_as_of) FROM accounts") == DUE + timedelta(days=2)


async def test_a_dry_run_says_what_the_run_does_and_does_nothing(
    pool: Pool, its: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, while everything is locked; then the run comes to the same counts and sums."""
    monkeypatch.setattr(dry_runs, "LEASES_AT_ONCE", 7)
    monkeypatch.setattr(dry_runs, "INSTALMENTS_AT_ONCE", 12)
    await leases(pool, 40, term=3)
    await pool.execute("UPDATE accounts SET autopay = false WHERE payment_method = 'pm_declined'")
    as_of = DUE + timedelta(days=10)
    async with its.transaction():
        await its.execute("SELECT FROM payment.accounts FOR UPDATE")
        found = await asyncio.wait_for(dry_runs.forecast(pool, as_of), 10)
    for table in ("attempts", "collection_runs", "outbox"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert await pool.fetchval("SELECT count(*) FROM accounts WHERE collected_as_of IS NOT NULL") == 0
    assert msgspec.to_builtins(found.charges) == [{"currency": "USD", "count": 78, "amount": 7800}]
    assert msgspec.to_builtins(found.fees) == [{"currency": "USD", "count": 42, "amount": 42 * 7}]
    done = await run_for(pool, Gateway(), as_of)
    counts = {name: getattr(found, name) for name in Counts.__struct_fields__}
    assert done == {name: count for name, count in counts.items() if count}
    assert msgspec.to_builtins(await dry_runs.forecast(pool, as_of))["charges"] == []


async def test_who_pays_a_delinquent_lease_has_all_of_it_in_hand(pool: Pool) -> None:
    """One instalment is paid; whether that cures is decided on all of them."""
    first, second = await leases(pool, 2, term=3)
    await pool.execute("UPDATE accounts SET delinquent = true WHERE lease_id = $1", first)
    async with transaction(pool) as connection:
        ids = [payment_id(each, 1) for each in (first, second)]
        batch = await load(connection, {first, second}, payment_ids=ids)
    assert [payment.number for payment in batch.payments_of(first)] == [1, 2, 3]
    assert [payment.number for payment in batch.payments_of(second)] == [1]


class Front:
    """Keeps what is sent back, and what is acked."""

    def __init__(self) -> None:
        self.sent: list[Outcome] = []
        self.acked = asyncio.Event()

    async def send(self, outcomes: Any) -> None:
        self.sent += [outcome for _, outcome in outcomes]

    async def ack(self) -> None:
        self.acked.set()


async def test_the_answer_to_a_dry_run_is_kept(pool: Pool) -> None:
    """Worked out beside the runs, recorded, sent, acked; delivered again, it is the same answer."""
    await leases(pool, 3)
    front = Front()
    settler = Settler(pool, cast(Any, Gateway()), cast(Any, front), lambda: None)
    collector = Collector(pool, settler, cast(Any, front), lambda: None)
    asked = Command(
        command_id=uuid7(),
        type="RunCollections",
        submitted_at=utcnow(),
        data=msgspec.Raw(encode(RunCollections(as_of=DUE, dry_run=True))),
    )
    pending = Outcome(command_id=asked.command_id, status="pending")
    async with transaction(pool) as connection:
        await command_inbox.record(connection, [(asked, pending)])
    for _ in range(2):
        front.acked.clear()
        delivery = SimpleNamespace(reply_to="front", ack=front.ack)
        await collector.resume(settler.resume)([Pending(cast(Any, delivery), asked, True)])
        await asyncio.wait_for(front.acked.wait(), 10)
        await leases(pool, 1)
    [first, second] = front.sent
    assert first == second
    assert json.loads(bytes(first.body))["charges"] == [{"currency": "USD", "count": 3, "amount": 300}]
    assert first.location == f"/api/v1/commands/{asked.command_id}"
    assert await pool.fetchval("SELECT count(*) FROM collection_runs") == 0


async def test_days_to_come_are_refused_where_money_is_real(pool: Pool) -> None:
    """The command, as every way to it ends: 422, and no run; in the sandbox it may be allowed."""
    tomorrow = utcnow().date() + timedelta(days=1)
    for allow, sandbox, status in ((False, True, 422), (True, False, 422), (True, True, 202)):
        asked = RunCollections(as_of=tomorrow, allow_future=allow)
        command = Command(
            command_id=uuid7(),
            type="RunCollections",
            submitted_at=utcnow(),
            data=msgspec.Raw(encode(asked)),
        )
        async with transaction(pool) as connection:
            [outcome], events = await PaymentUnit(sandbox=sandbox).carry_out(connection, [command])
        assert (outcome.http_status, events) == (status, [])
        assert await pool.fetchval("SELECT count(*) FROM collection_runs") == (status == 202)


async def test_what_the_scheduler_goes_by(pool: Pool) -> None:
    """The last completed day up to today: not one under way, nor one that was run ahead of its time."""
    days = Days(pool)
    today = await days.today()
    assert today == utcnow().date()
    assert await days.last_completed(today) is None
    for ago, status in ((9, "completed"), (4, "completed"), (3, "running"), (-30, "completed")):
        as_of = today - timedelta(days=ago)
        run = await begin(pool, as_of)
        await pool.execute("UPDATE collection_runs SET status = $2 WHERE run_id = $1", run.run_id, status)
    assert await days.last_completed(today) == today - timedelta(days=4)
    assert [await days.begun(today - timedelta(days=ago)) for ago in (3, 2)] == [True, False]


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
    position = read_your_writes.read_token(done.token)
    assert (position.source, position.sequence, position.lease_id) == (
        "/payment-svc",
        last["sequence"],
        last["subject"],
    )
    assert outcome_of(done, uuid7()).token == done.token
    async with transaction(pool) as connection:
        again = await collection_run_repository.open_run(connection, DUE, command(), utcnow())
    assert (again.status, again.token) == ("completed", done.token)
