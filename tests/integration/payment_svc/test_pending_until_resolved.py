"""A command whose attempt is unknown is pending until that is resolved; then it has its end, whoever asks."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copy
from typing import Any, cast

import asyncpg
import msgspec
import psycopg
import pytest

from common.kernel.ids import payment_id, uuid7
from common.messaging import command_inbox
from common.messaging.envelope import Command, Outcome
from common.postgres.migrations import migrate
from common.postgres.pool import Pool, transaction
from payment_svc.adapters.postgres import collection_run_repository
from payment_svc.application.collection_run import Run
from payment_svc.application.gateway import (
    Charged,
    ChargeRequest,
    ChargeResult,
    Declined,
    Found,
    NoAnswer,
    RefundRequest,
)
from payment_svc.contracts.commands import NoteSettlement, PayOffLease, QuotePayoff, RefundAttempt
from payment_svc.domain.attempt import NO_RECORD_AFTER
from tests.integration.conftest import MIGRATIONS
from tests.integration.payment_svc.test_charge_executor import Worker, command, pay, until, working
from tests.integration.payment_svc.test_collection_worker import begin, completed, leases
from tests.integration.payment_svc.test_refunds import its, workers
from tests.support.servers.servers import Servers

__all__ = ["its", "workers"]  # fixtures

NO = Declined(code="insufficient_funds", reference="ch_2")
OK = Charged(reference="ch_2")


class Gateway:
    """Answers no charge and no refund; what it is asked about it says once it is told to."""

    def __init__(self) -> None:
        self.silent = True
        self.says: Found = None
        self.charges: list[ChargeRequest | RefundRequest] = []

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        self.charges.append(request)
        return NoAnswer(reason="timeout") if self.silent else Charged(reference="ch_1")

    async def refund(self, request: RefundRequest) -> ChargeResult:
        self.charges.append(request)
        return NoAnswer(reason="timeout")

    async def find(self, idempotency_key: str) -> Found:
        return self.says

    async def find_refund(self, idempotency_key: str, reference: str) -> Found:
        return self.says


async def outcome_of(pool: Pool, asked: Command) -> Outcome:
    [(_, outcome)] = await command_inbox.outcomes(pool, [asked.command_id])
    return outcome


async def outcome_when(pool: Pool, asked: Command, so: Callable[[Outcome], bool]) -> Outcome:
    async def reached() -> bool:
        return so(await outcome_of(pool, asked))

    await until(reached)
    return await outcome_of(pool, asked)


def answered(outcome: Outcome) -> bool:
    return outcome.has_answer


def final(outcome: Outcome) -> bool:
    return outcome.status != "pending"


def body(outcome: Outcome) -> Any:
    return json.loads(bytes(outcome.body))


def replies_to(worker: Worker, asked: Command) -> list[tuple[str, int]]:
    sent = [outcome for _, outcome in worker.replies.sent if outcome.command_id == asked.command_id]
    return [(outcome.status, outcome.http_status) for outcome in sent]


async def carried_out(pool: Pool, worker: Worker, asked: Command) -> Outcome:
    await worker.process([worker.message(asked)])
    return await outcome_when(pool, asked, final)


async def asking_for(kind: str, pool: Pool, worker: Worker, gateway: Gateway) -> Command:
    """A command of that kind, on a lease on which nothing is in flight."""
    [lease_id] = await leases(pool, 1, term=2)
    await pool.execute("UPDATE accounts SET start_date = '2026-01-01'")  # can be paid off today
    if kind == "instalment":
        return pay(lease_id)
    if kind == "refund":
        gateway.silent = False
        paid = body(await carried_out(pool, worker, pay(lease_id)))
        gateway.silent = True
        refund = RefundAttempt(attempt_id=uuid7(), refunds=paid["attempt_id"], amount=30, reason="returned")
        return command("RefundAttempt", refund)
    quote_id = None
    if kind == "quoted payoff":
        quote_id = uuid7()
        asked = QuotePayoff(quote_id=quote_id, lease_id=lease_id, as_of=datetime.now(UTC).date())
        assert (await carried_out(pool, worker, command("QuotePayoff", asked))).http_status == 201
    payoff = PayOffLease(attempt_id=uuid7(), lease_id=lease_id, payment_method="pm_ok", quote_id=quote_id)
    return command("PayOffLease", payoff)


@pytest.mark.parametrize("kind", ["instalment", "payoff", "quoted payoff", "refund"])
@pytest.mark.parametrize(
    ("said", "status", "http_status"),
    [(OK, "succeeded", 201), (NO, "rejected", 402), (None, "rejected", 402)],
)
async def test_pending_and_then_its_end(
    workers: list[Pool], its: asyncpg.Connection, kind: str, said: Found, status: str, http_status: int
) -> None:
    """The first answer is 202 with the attempt so far, and stored as pending; the end replaces it."""
    pool, gateway = workers[0], Gateway()
    gateway.says = NoAnswer(reason="not yet", outage=False)
    async with working(pool, cast(Any, gateway)) as worker:
        asked = await asking_for(kind, pool, worker, gateway)
        await worker.process([worker.message(asked)])
        so_far = await outcome_when(pool, asked, answered)
        assert (so_far.status, so_far.http_status, so_far.completed_at) == ("pending", 202, None)
        assert (body(so_far)["status"], body(so_far)["settled_at"]) == ("unknown", None)
        attempt_id = body(so_far)["attempt_id"]

        async def replied() -> bool:
            return replies_to(worker, asked) == [("pending", 202)]

        await until(replied)
        if said is None:
            await its.execute(
                "UPDATE payment.attempts SET created_at = created_at - $1::interval",
                NO_RECORD_AFTER + timedelta(minutes=1),
            )
        gateway.says = said
        outcome = await outcome_when(pool, asked, final)
    assert (outcome.status, outcome.http_status) == (status, http_status)
    assert outcome.completed_at is not None
    assert outcome.token != so_far.token
    assert body(outcome)["attempt_id"] == attempt_id
    if said is OK:
        assert (body(outcome)["status"], body(outcome)["gateway_reference"]) == ("succeeded", "ch_2")
    else:
        assert body(outcome)["decline"]["code"] == ("insufficient_funds" if said else "no_record")


async def test_repeated_while_unknown_and_afterwards(workers: list[Pool], its: asyncpg.Connection) -> None:
    """With its key: first the attempt so far, from any worker, then its end; nothing is charged again.

    A message that comes again, the first one's or a repetition's, changes nothing either.
    """
    gateway = Gateway()
    gateway.says = NoAnswer(reason="not yet", outage=False)
    [lease_id] = await leases(workers[0], 1)
    asked = keyed(pay(lease_id))
    async with working(workers[0], cast(Any, gateway)) as one, working(workers[1], cast(Any, gateway)) as two:
        await one.process([one.message(asked)])
        await outcome_when(workers[0], asked, answered)
        repeated = keyed(pay(lease_id))
        for worker in (two, one):
            await worker.process([worker.message(each) for each in (repeated, asked, repeated)])
            assert replies_to(worker, repeated)[-1] == ("pending", 202)
            assert worker.channel.settled in ([], ["ack"])  # of `one`: the first message, when it was charged
        assert (await outcome_of(workers[0], repeated)).status == "pending"
        gateway.says = NO
        outcome = await outcome_when(workers[0], asked, final)
        for command_ in (repeated, keyed(pay(lease_id))):
            await two.process([two.message(command_)])
            assert replies_to(two, command_)[-1] == ("rejected", 402)
            again = await outcome_of(workers[1], command_)
            assert (again.body, again.completed_at) == (outcome.body, outcome.completed_at)
    assert len(gateway.charges) == 1


def keyed(asked: Command) -> Command:
    return msgspec.structs.replace(asked, idempotency_key="k", fingerprint="f")


async def test_at_the_same_moment(workers: list[Pool], its: asyncpg.Connection) -> None:
    """Ten repetitions while it is being charged and asked about: all come to the same end."""
    gateway = Gateway()
    gateway.says = OK
    [lease_id] = await leases(workers[0], 1)
    asked = [keyed(pay(lease_id)) for _ in range(10)]
    async with working(workers[0], cast(Any, gateway)) as one, working(workers[1], cast(Any, gateway)) as two:

        async def carry_out(number: int, worker: Worker) -> None:
            while True:
                try:
                    return await worker.process([worker.message(asked[number])])
                except Exception:  # a duplicate was faster: the message comes again
                    await asyncio.sleep(0.01)

        await asyncio.gather(*(carry_out(number, (one, two)[number % 2]) for number in range(10)))
        ends = [await outcome_when(workers[0], each, final) for each in asked]
    assert len({bytes(each.body) for each in ends}) == 1
    assert {each.http_status for each in ends} == {201}
    assert len(gateway.charges) == 1


async def test_after_a_crash(workers: list[Pool], its: asyncpg.Connection) -> None:
    """Its worker dies while the attempt is unknown: the next one's resolver gives the command its end."""
    gateway = Gateway()
    gateway.says = NoAnswer(reason="not yet", outage=False)
    [lease_id] = await leases(workers[0], 1)
    asked = pay(lease_id)
    hour = (timedelta(hours=1),)
    async with working(workers[0], cast(Any, gateway), hour) as worker:
        await worker.process([worker.message(asked)])
        await outcome_when(workers[0], asked, answered)
    gateway.says = NO
    async with working(workers[1], cast(Any, gateway), hour):
        assert (await outcome_when(workers[1], asked, final)).http_status == 402


async def test_by_a_notice(workers: list[Pool], its: asyncpg.Connection) -> None:
    """The gateway tells of the end of its own accord: the command has it."""
    gateway = Gateway()
    gateway.says = NoAnswer(reason="not yet", outage=False)
    [lease_id] = await leases(workers[0], 1)
    asked = pay(lease_id)
    async with working(workers[0], cast(Any, gateway)) as worker:
        await worker.process([worker.message(asked)])
        so_far = body(await outcome_when(workers[0], asked, answered))
        note = NoteSettlement(
            attempt_id=so_far["attempt_id"],
            amount=100,
            currency="USD",
            status="declined",
            reference="ch_2",
            code="lost_card",
        )
        await carried_out(workers[0], worker, command("NoteSettlement", note))
        assert (await outcome_of(workers[0], asked)).http_status == 402


async def test_a_run_counts_what_became_of_its_attempts(workers: list[Pool], its: asyncpg.Connection) -> None:
    """Completed with two unknown attempts: read again, or asked for again, it says how they ended."""
    gateway = Gateway()
    gateway.says = NoAnswer(reason="not yet", outage=False)
    await leases(workers[0], 2)
    async with working(workers[0], cast(Any, gateway)):
        run = await begin(workers[0])
        done = await completed(workers[0], run)
        assert (done.counts.attempted, done.counts.unknown) == (2, 2)
        gateway.says = NO

        async def resolved() -> bool:
            return (await read(workers[0], run)).counts.declined == 2

        await until(resolved)
    assert (await read(workers[0], run)).counts.unknown == 0
    again = await begin(workers[0])
    assert (again.counts.attempted, again.counts.declined, again.counts.unknown) == (2, 2, 0)


async def read(pool: Pool, run: Run) -> Run:
    async with transaction(pool) as connection:
        found = await collection_run_repository.read(connection, run.run_id)
    assert found is not None
    return found[0]


def test_what_was_answered_too_early(servers: Servers, tmp_path: Path) -> None:
    """Rows from before: with an attempt that is unknown they are pending again, else they have its end."""
    messaging, folder = MIGRATIONS["payment"]
    for path in folder.glob("000*.sql"):
        copy(path, tmp_path)
    ids = [uuid7() for _ in range(3)]
    lease_id = uuid7()
    options = "-c search_path=payment_before"
    try:
        migrate(servers.database_url, "payment_before", messaging, tmp_path)
        with psycopg.connect(servers.database_url, options=options) as connection:
            statuses = ("unknown", "succeeded", "declined")
            for number, (its_id, status) in enumerate(zip(ids, statuses, strict=True), 1):
                connection.execute(
                    "INSERT INTO payments (payment_id, lease_id, number, due_date, principal, interest, fees,"
                    " principal_balance, paid_principal, status)"
                    " VALUES (%s, %s, %s, '2027-01-01', 90, 10, 0, 0, 90, 'due')",
                    (payment_id(lease_id, number), lease_id, number),
                )
                connection.execute(
                    "INSERT INTO attempts (attempt_id, command_id, lease_id, payment_id, number, kind,"
                    " amount, currency, payment_method, status, created_at, settled_at, gateway_reference,"
                    " decline)"
                    " VALUES (%(id)s, %(id)s, %(lease)s, %(payment)s, %(number)s, 'instalment', 90, 'USD',"
                    " 'pm', %(status)s, now(), '2026-11-30T10:00:00Z', 'ch', '{\"code\": \"lost_card\"}')",
                    {
                        "id": its_id,
                        "lease": lease_id,
                        "payment": payment_id(lease_id, number),
                        "number": number,
                        "status": status,
                    },
                )
                so_far = {
                    "attempt_id": its_id,
                    "status": "unknown",
                    "settled_at": None,
                    "gateway_reference": None,
                    "payment": {"status": "processing", "number": number, "amount_due": 100},
                }
                connection.execute(
                    "INSERT INTO commands (command_id, type, status, http_status, body, submitted_at,"
                    " completed_at) VALUES (%s, 'AttemptPayment', 'succeeded', 202, %s, now(), now())",
                    (its_id, json.dumps(so_far)),
                )
        migrate(servers.database_url, "payment_before", messaging, folder)
        with psycopg.connect(servers.database_url, options=options) as connection:
            rows = connection.execute(
                "SELECT status, http_status, completed_at, body FROM commands ORDER BY command_id"
            ).fetchall()
    finally:
        with psycopg.connect(servers.database_url) as connection:
            connection.execute("DROP SCHEMA IF EXISTS payment_before CASCADE")
    at = datetime(2026, 11, 30, 10, tzinfo=UTC)
    assert [row[:3] for row in rows] == [
        ("pending", 202, None),
        ("succeeded", 201, at),
        ("rejected", 402, at),
    ]
    assert rows[0][3]["status"] == "unknown"
    done = rows[1][3]
    assert (done["status"], done["settled_at"]) == ("succeeded", "2026-11-30T10:00:00.000000Z")
    now = {"status": "due", "number": 2, "amount_paid": 90, "amount_due": 10}
    assert {name: done["payment"][name] for name in now} == now
    assert rows[2][3]["decline"]["code"] == "lost_card"
    assert (rows[2][3]["attempt_id"], rows[2][3]["status"]) == (ids[2], 402)
