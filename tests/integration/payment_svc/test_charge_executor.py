"""Attempts from the call to the gateway to their end, on a real database, whatever becomes of the call.

What the gateway says is told to it, one answer after the other; what it is asked about it knows by itself.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import asyncpg
import msgspec
import pytest
from structlog.testing import capture_logs

from common.kernel.clock import utcnow
from common.kernel.ids import payment_id, uuid7
from common.messaging.command_processor import CommandProcessor
from common.messaging.consumer import Delivery
from common.messaging.envelope import COMMAND_CONTENT_TYPE, Command, encode
from common.messaging.topology import GIVE_UP_AFTER
from common.postgres.pool import Pool, transaction
from common.runtime.tasks import cancel_and_wait
from payment_svc.adapters.postgres import account_repository
from payment_svc.application.command_handlers import PaymentUnit
from payment_svc.application.gateway import (
    Charged,
    ChargeRequest,
    ChargeResult,
    Declined,
    NoAnswer,
    NotReached,
)
from payment_svc.application.workers import collection_worker, settlement_recorder
from payment_svc.application.workers.charge_executor import Settler
from payment_svc.application.workers.collection_worker import Collector
from payment_svc.contracts.commands import AttemptPayment, NoteSettlement
from payment_svc.domain.attempt import NO_RECORD_AFTER, REPEAT_WITHIN
from tests.integration.common.test_command_processor import Replies, delivery
from tests.integration.payment_svc.test_collection_worker import DUE, begin, completed, leases, one_batch
from tests.integration.payment_svc.test_refunds import its, workers

__all__ = ["its", "workers"]  # fixtures

AWAY = NotReached(reason="circuit open")
SOON = (timedelta(milliseconds=50),)


class Gateway:
    """Charges once for each key, after the answers that it is to give first."""

    def __init__(self, *answers: ChargeResult) -> None:
        self.answers = list(answers)
        self.charges: list[ChargeRequest] = []
        self.made: dict[str, Charged | Declined] = {}
        self.asked = 0

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        self.charges.append(request)
        if self.answers:
            return self.answers.pop(0)
        return self.made.setdefault(request.idempotency_key, Charged(reference="ch_1"))

    async def find(self, idempotency_key: str) -> Charged | Declined | None:
        self.asked += 1
        return self.made.get(idempotency_key)


class Channel:
    """Remembers how messages were settled: "ack", or whether they were to come again."""

    def __init__(self) -> None:
        self.settled: list[str | bool] = []

    async def basic_ack(self, _tag: int, *, wait: bool) -> None:
        assert not wait
        self.settled.append("ack")

    async def basic_reject(self, _tag: int, *, requeue: bool, wait: bool) -> None:
        assert not wait
        self.settled.append(requeue)


class Worker:
    """A worker's parts, and the channel its messages come by."""

    def __init__(self, pool: Pool, gateway: Gateway, ask_after: Sequence[timedelta] = SOON) -> None:
        self.replies = Replies()
        self.channel = Channel()
        replies = cast(Any, self.replies)
        self.settler = Settler(pool, cast(Any, gateway), replies, lambda: None, ask_after)
        self.collector = Collector(pool, self.settler, replies, lambda: None)
        self.process = CommandProcessor(pool, PaymentUnit(), replies, lambda: None, self.settler.resume)

    def message(self, command: Command, deliveries: int = 0) -> Delivery:
        made = delivery(encode(command), COMMAND_CONTENT_TYPE)
        made.channel = cast(Any, self.channel)
        made.deliveries = deliveries
        return made


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be made again is looked for more often."""
    monkeypatch.setattr(collection_worker, "TAKE_UP_EVERY_S", 0.05)


@asynccontextmanager
async def working(
    pool: Pool, gateway: Gateway, ask_after: Sequence[timedelta] = SOON
) -> AsyncIterator[Worker]:
    worker = Worker(pool, gateway, ask_after)
    tasks = [asyncio.ensure_future(each.run()) for each in (worker.settler, worker.collector)]
    try:
        yield worker
    finally:
        worker.collector.stop()
        await cancel_and_wait(tasks)


def command(type_: str, data: object) -> Command:
    return Command(command_id=uuid7(), type=type_, submitted_at=utcnow(), data=msgspec.Raw(encode(data)))


def pay(lease_id: str, number: int = 1) -> Command:
    asked = AttemptPayment(
        attempt_id=uuid7(), payment_id=payment_id(lease_id, number), payment_method="pm_ok", amount=None
    )
    return command("AttemptPayment", asked)


async def begun(pool: Pool, asked: Command) -> None:
    """A worker writes the attempt, and dies: perhaps before, perhaps after it has called the gateway."""
    process = CommandProcessor(pool, PaymentUnit(), cast(Any, Replies()), lambda: None)
    await process([delivery(encode(asked), COMMAND_CONTENT_TYPE)])


async def statuses(its: asyncpg.Connection) -> list[str]:
    return [row[0] for row in await its.fetch("SELECT status FROM payment.attempts ORDER BY attempt_id")]


async def until(done: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await done():  # noqa: ASYNC110 in the database
            await asyncio.sleep(0.02)


async def ended(its: asyncpg.Connection, *expected: str) -> None:
    async def so() -> bool:
        return await statuses(its) == list(expected)

    await until(so)


async def told(its: asyncpg.Connection) -> list[tuple[str, dict[str, Any]]]:
    rows = await its.fetch("SELECT type, body FROM payment.outbox ORDER BY id")
    return [(row["type"], json.loads(row["body"])["data"]) for row in rows]


async def test_a_run_that_was_interrupted_while_the_gateway_is_away(
    workers: list[Pool], its: asyncpg.Connection
) -> None:
    """What nobody ever sent is neither unknown nor failed: it is made again until the gateway is reached."""
    await leases(workers[0], 6)
    run = await begin(workers[0])
    await one_batch(workers[0], run)
    gateway = Gateway(*[AWAY] * 12)
    async with working(workers[0], gateway):
        done = await completed(workers[0], run)
    assert (done.counts.attempted, done.counts.succeeded, done.counts.unknown) == (6, 6, 0)
    assert await statuses(its) == ["succeeded"] * 6
    assert len({request.idempotency_key for request in gateway.charges}) == 6
    assert {type_ for type_, _ in await told(its)} == {"payment.attempt_started", "payment.succeeded"}
    assert set((await its.fetch("SELECT array_agg(failures) FROM payment.attempts"))[0][0]) == {2}


async def test_a_run_does_not_wait_for_the_gateway_for_ever(
    workers: list[Pool], its: asyncpg.Connection
) -> None:
    """After some times in vain it completes without these attempts; they are made again all the same."""
    await leases(workers[0], 1)
    run = await begin(workers[0])
    await one_batch(workers[0], run)
    gateway = Gateway(*[AWAY] * 7)
    async with working(workers[0], gateway):
        done = await completed(workers[0], run)
        assert (done.counts.attempted, done.counts.succeeded, done.counts.unknown) == (1, 0, 0)
        await ended(its, "succeeded")


async def test_a_command_that_was_interrupted_while_the_gateway_is_away(
    workers: list[Pool], its: asyncpg.Connection
) -> None:
    """Its message is done with; the attempt is made again from the table, and the command gets its answer."""
    [lease_id] = await leases(workers[0], 1)
    asked = pay(lease_id)
    await begun(workers[0], asked)
    gateway = Gateway(AWAY, AWAY)
    async with working(workers[0], gateway) as worker:
        await worker.process([worker.message(asked)])

        async def put_off() -> bool:
            return worker.channel.settled == ["ack"]

        await until(put_off)
        assert await statuses(its) == ["started"]
        await ended(its, "succeeded")
    row = await its.fetchrow("SELECT status, http_status, body FROM payment.commands")
    assert (row["status"], row["http_status"]) == ("succeeded", 201)
    assert len(gateway.charges) == 3
    assert [type_ for type_, _ in await told(its)] == ["payment.attempt_started", "payment.succeeded"]


async def test_what_was_put_off_and_a_new_worker(workers: list[Pool], its: asyncpg.Connection) -> None:
    """Whoever starts makes it again at once, however long it was put off for."""
    [lease_id] = await leases(workers[0], 1)
    asked = pay(lease_id)
    await begun(workers[0], asked)
    async with working(workers[0], Gateway(AWAY), (timedelta(hours=1),)) as worker:
        await worker.process([worker.message(asked)])

        async def put_off() -> bool:
            return worker.channel.settled == ["ack"]

        await until(put_off)
    async with working(workers[1], Gateway()):
        await ended(its, "succeeded")


async def test_two_workers_at_once(workers: list[Pool], its: asyncpg.Connection) -> None:
    """That one of them has not reached the gateway is not the end: the other may be at it."""
    [lease_id] = await leases(workers[0], 1)
    asked = pay(lease_id)
    go = asyncio.Event()

    class Slow(Gateway):
        async def charge(self, request: ChargeRequest) -> ChargeResult:
            await go.wait()
            return AWAY

    hour = (timedelta(hours=1),)
    async with working(workers[0], Slow(), hour) as slow, working(workers[1], Gateway(), hour) as other:
        await slow.process([slow.message(asked)])
        async with transaction(workers[1]) as connection:  # the other one has it too, and is not done yet
            [attempt] = await account_repository.take_up(connection, command_ids=[asked.command_id])
        go.set()

        async def put_off() -> bool:
            return slow.channel.settled == ["ack"]

        await until(put_off)
        assert await statuses(its) == ["started"]
        await other.settler.charge([attempt], stopping=lambda: False)
        await ended(its, "succeeded")


@pytest.mark.parametrize("status", ["started", "unknown"])
async def test_a_day_without_a_record(workers: list[Pool], its: asyncpg.Connection, status: str) -> None:
    """The gateway has never heard of it: it ends, as a decline of its own kind; the payment is free again."""
    [lease_id] = await leases(workers[0], 1)
    asked = pay(lease_id)
    await begun(workers[0], asked)
    await older(its, NO_RECORD_AFTER + timedelta(minutes=1), status)
    gateway = Gateway()
    async with working(workers[0], gateway):
        await ended(its, "declined")
    assert gateway.charges == []
    told_of = await told(its)
    assert [type_ for type_, _ in told_of] == [
        "payment.attempt_started",
        *(["payment.unknown"] if status == "started" else []),
        "payment.resolved",
        "payment.declined",
    ]
    assert told_of[-2][1]["outcome"] == "not_found"
    decline = told_of[-1][1]["decline"]
    assert (decline["code"], decline["class"], decline["advice"]) == ("no_record", "soft", "retry_later")
    assert await its.fetchval("SELECT in_flight FROM payment.payments") is None
    async with working(workers[0], Gateway()) as worker:
        await worker.process([worker.message(pay(lease_id))])
        await ended(its, "declined", "succeeded")


@pytest.mark.parametrize("taken_up", [False, True])
async def test_not_a_day_without_a_record_yet(
    workers: list[Pool], its: asyncpg.Connection, taken_up: bool
) -> None:
    """Until a day after it was sent, also for the last time, no record means nothing: it stays unknown."""
    [lease_id] = await leases(workers[0], 1)
    asked = pay(lease_id)
    await begun(workers[0], asked)
    if taken_up:
        await older(its, REPEAT_WITHIN - timedelta(minutes=1), "started")
        async with transaction(workers[0]) as connection:
            await account_repository.take_up(connection, command_ids=[asked.command_id])
        await older(its, timedelta(hours=23), "unknown")
    else:
        await older(its, NO_RECORD_AFTER - timedelta(minutes=1), "unknown")
    gateway = Gateway()
    async with working(workers[0], gateway):

        async def asked_about() -> bool:
            return gateway.asked > 2

        await until(asked_about)
    assert await statuses(its) == ["unknown"]
    assert "payment.resolved" not in [type_ for type_, _ in await told(its)]


async def older(its: asyncpg.Connection, age: timedelta, status: str) -> None:
    """All attempts are so much older, and so is what was noted of them."""
    await its.execute(
        "UPDATE payment.attempts SET created_at = created_at - $1::interval, next_check_at = now(),"
        " taken_up_at = taken_up_at - $1::interval, status = $2",
        age,
        status,
    )


@pytest.mark.parametrize(("deliveries", "requeue"), [(0, True), (GIVE_UP_AFTER, False)])
async def test_an_answer_that_cannot_be_recorded(
    workers: list[Pool],
    its: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    deliveries: int,
    requeue: bool,
) -> None:
    """The message comes again, a few times; nobody holds on to it. The others of the batch are recorded."""
    bad, good = await leases(workers[0], 2)
    settle = settlement_recorder.settle

    def defect(batch: Any, attempt: Any, result: Any) -> Any:
        if attempt.lease_id == bad:
            raise RuntimeError("a defect")
        return settle(batch, attempt, result)

    monkeypatch.setattr(settlement_recorder, "settle", defect)
    async with working(workers[0], Gateway()) as worker:
        await worker.process([worker.message(pay(each), deliveries) for each in (bad, good)])

        async def settled() -> bool:
            return len(worker.channel.settled) == 2

        await until(settled)
        assert sorted(map(str, worker.channel.settled)) == sorted(["ack", str(requeue)])
        await worker.settler.drained()
    rows = await its.fetch("SELECT lease_id::text, status, failures FROM payment.attempts")
    assert {row["lease_id"]: (row["status"], row["failures"]) for row in rows} == {
        bad: ("started", 1),
        good: ("succeeded", 0),
    }


@pytest.mark.parametrize(
    ("said", "disagree"),
    [
        (Charged(reference="ch_9"), True),
        (Declined(code="lost_card", reference="ch_9"), False),
        (NoAnswer(reason="timeout"), False),
    ],
)
async def test_what_is_settled_here_and_not_there(
    workers: list[Pool], its: asyncpg.Connection, said: ChargeResult, disagree: bool
) -> None:
    """A slow worker hears of money for an attempt that has ended without: an error is logged."""
    [lease_id] = await leases(workers[0], 1)
    asked = pay(lease_id)
    await begun(workers[0], asked)
    await its.execute("UPDATE payment.attempts SET status = 'declined', gateway_reference = 'ch_1'")
    async with transaction(workers[0]) as connection:
        [attempt] = await account_repository.attempts(connection, command_ids=[asked.command_id])
    with capture_logs() as logs:
        async with working(workers[0], Gateway(said)) as worker:
            await worker.settler.charge([attempt], stopping=lambda: False)
            await worker.settler.drained()
    errors = [each for each in logs if each["event"] == "settlement.books_disagree"]
    assert [(each["attempt_id"], each["reference_there"]) for each in errors] == (
        [(attempt.attempt_id, "ch_9")] if disagree else []
    )
    assert await statuses(its) == ["declined"]


async def test_a_notice_and_a_new_attempt_in_one_batch(workers: list[Pool], its: asyncpg.Connection) -> None:
    """The notice comes last: the command beside it meets the attempt that it ends, the next does not."""
    [lease_id] = await leases(workers[0], 1)
    first = pay(lease_id)
    await begun(workers[0], first)
    note = NoteSettlement(
        attempt_id=await its.fetchval("SELECT attempt_id::text FROM payment.attempts"),
        amount=100,
        currency="USD",
        status="declined",
        reference="ch_1",
        code="lost_card",
    )
    async with working(workers[0], Gateway()) as worker:
        both = [command("NoteSettlement", note), pay(lease_id)]
        await worker.process([worker.message(each) for each in both])
        await ended(its, "declined")
        await worker.process([worker.message(pay(lease_id))])
        await ended(its, "declined", "succeeded")


async def test_five_restarts(workers: list[Pool], its: asyncpg.Connection) -> None:
    """However often a worker takes up what was left and dies, the run waits for it and counts it."""
    await leases(workers[0], 3)
    run = await begin(workers[0], DUE)
    started = await one_batch(workers[0], run)
    for _ in range(6):
        async with transaction(workers[0]) as connection:
            await account_repository.take_up(connection, ids=[attempt.attempt_id for attempt in started])

    class Slow(Gateway):
        async def charge(self, request: ChargeRequest) -> ChargeResult:
            await asyncio.sleep(0.3)
            return await super().charge(request)

    async with working(workers[0], Slow()):
        done = await completed(workers[0], run)
    assert (done.counts.attempted, done.counts.succeeded) == (3, 3)
