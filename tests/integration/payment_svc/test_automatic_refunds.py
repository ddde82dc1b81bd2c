"""Money on a lease that was closed: what goes back by itself, when, and how often."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import asyncpg
import msgspec
import pytest

from common.kernel.clock import utcnow
from common.kernel.ids import payment_id, uuid7
from common.messaging import outbox
from common.messaging.command_processor import CommandProcessor
from common.messaging.envelope import COMMAND_CONTENT_TYPE, Command, encode
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
    RefundRequest,
)
from payment_svc.application.workers import automatic_refund_worker
from payment_svc.application.workers.automatic_refund_worker import Returns
from payment_svc.application.workers.charge_executor import Settler
from payment_svc.contracts.commands import AttemptPayment, PayOffLease, RecordChargeback, RefundAttempt
from payment_svc.contracts.events import LeaseCreated, ScheduledInstalment
from payment_svc.domain.attempt import Attempt
from tests.integration.common.test_command_inbox import event
from tests.integration.common.test_command_processor import Replies, delivery
from tests.integration.payment_svc.test_collection_worker import leases
from tests.integration.payment_svc.test_refunds import AMOUNT, LEASE, attempt, its, original, workers

__all__ = ["its", "original", "workers"]  # fixtures
SOON = (timedelta(milliseconds=50),)


class Gateway:
    """Answers refunds with what it is told to, one after the other, then fine."""

    def __init__(self, *answers: ChargeResult) -> None:
        self.answers = list(answers)
        self.asked: list[RefundRequest] = []

    async def refund(self, request: RefundRequest) -> ChargeResult:
        self.asked.append(request)
        return self.answers.pop(0) if self.answers else Charged(reference="re_1")

    async def find_refund(self, idempotency_key: str, reference: str) -> None:
        """Asked whether it answers at all; it has no record of what it has not taken."""


@asynccontextmanager
async def returning(pool: Pool, gateway: Gateway) -> AsyncIterator[None]:
    """A worker's parts that carry such refunds out."""
    settler = Settler(pool, cast(Any, gateway), cast(Any, Replies()), lambda: None, SOON)
    tasks = [asyncio.ensure_future(each.run()) for each in (settler, Returns(pool, settler.give_back))]
    yield
    await cancel_and_wait(tasks)


async def close(pool: Pool, how: str = "cancelled", lease_id: str = LEASE) -> None:
    """The lease service's event arrives."""
    told = event(lease_id, f"lease.{how}", 2, {"lease_id": lease_id})
    async with transaction(pool) as connection:
        await outbox.append(connection, await PaymentUnit().project(connection, [told]))


async def refunds(its: asyncpg.Connection) -> list[tuple[str, int, str]]:
    query = "SELECT status, amount, reason FROM payment.attempts WHERE kind = 'refund' ORDER BY attempt_id"
    return [tuple(row) for row in await its.fetch(query)]


async def until(its: asyncpg.Connection, status: str) -> None:
    async with asyncio.timeout(10):
        while [row[0] for row in await refunds(its)] != [status]:  # noqa: ASYNC110 in the database
            await asyncio.sleep(0.02)


async def test_collected_before_the_cancelling_was_heard_of(
    workers: list[Pool], its: asyncpg.Connection, original: Attempt
) -> None:
    """The event of the cancelling finds money: it goes back, once, though the event comes twice."""
    for _ in range(2):
        await close(workers[0])
    assert await refunds(its) == [("started", AMOUNT, automatic_refund_worker.REASON)]
    gateway = Gateway()
    async with returning(workers[0], gateway), returning(workers[1], gateway):
        await until(its, "succeeded")
        await asyncio.sleep(0.6)
    asked = gateway.asked[0]  # perhaps by both, who have just begun: under one key
    assert {each.idempotency_key for each in gateway.asked} == {asked.attempt_id}
    assert (asked.reference, asked.amount, asked.lease_id) == ("ch_1", AMOUNT, LEASE)
    told = [msgspec.json.decode(row["body"]) for row in await its.fetch("SELECT body FROM payment.outbox")]
    types = {each["sequence"]: each["type"] for each in told}
    assert types == {1: "payment.attempt_started", 2: "payment.refunded"}
    row = await its.fetchrow("SELECT status, in_flight, paid_principal FROM payment.payments")
    assert (row["in_flight"], row["paid_principal"]) == (None, 0)
    assert await its.fetchval("SELECT refunded FROM payment.attempts WHERE kind = 'instalment'") == AMOUNT


async def test_charged_off_keeps_what_it_had(
    workers: list[Pool], its: asyncpg.Connection, original: Attempt
) -> None:
    """What was collected before a lease is charged off stays."""
    await close(workers[0], "charged_off")
    assert await refunds(its) == []


async def test_not_reached(workers: list[Pool], its: asyncpg.Connection, original: Attempt) -> None:
    """A gateway that is away is asked again later under the same key; until then it is not settled."""
    await close(workers[0])
    gateway = Gateway(*[NotReached(reason="refused")] * 2)
    async with returning(workers[0], gateway):
        await until(its, "succeeded")
    assert len(gateway.asked) == 3
    assert len({asked.idempotency_key for asked in gateway.asked}) == 1


async def test_declined(
    workers: list[Pool], its: asyncpg.Connection, original: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refund that the gateway refuses is not tried for ever: it is an operator's."""
    monkeypatch.setattr(automatic_refund_worker, "CLAIM", automatic_refund_worker.CLAIM / 300)
    await close(workers[0])
    gateway = Gateway(Declined(code="charge_not_found", reference="re_1"))
    async with returning(workers[0], gateway):
        await until(its, "declined")
        await asyncio.sleep(1.2)
    assert len(gateway.asked) == 1
    assert await its.fetchval("SELECT next_try_at FROM payment.returns") is None


async def test_something_in_flight_on_the_same_money(
    workers: list[Pool], its: asyncpg.Connection, original: Attempt
) -> None:
    """A refund that was asked for is under way when the lease is cancelled: the rest follows when it ends."""
    asked = attempt(kind="refund", refunds=original.attempt_id, amount=20, reason="returned")
    async with transaction(workers[0]) as connection:
        await account_repository.insert_attempts(connection, [asked])
    await its.execute("UPDATE payment.payments SET in_flight = $1", asked.attempt_id)
    await close(workers[0])
    assert [row[0] for row in await refunds(its)] == ["started"]
    gateway = Gateway()
    settler = Settler(workers[0], cast(Any, gateway), cast(Any, Replies()), lambda: None)
    settler.give_back(asked, "ch_1")
    parts = (settler, Returns(workers[0], settler.give_back))
    tasks = [asyncio.ensure_future(each.run()) for each in parts]
    async with asyncio.timeout(10):
        while [row[0] for row in await refunds(its)] != ["succeeded"] * 2:  # noqa: ASYNC110 in the database
            await asyncio.sleep(0.02)
    await cancel_and_wait(tasks)
    assert sorted(row[1] for row in await refunds(its)) == [20, AMOUNT - 20]
    assert await its.fetchval("SELECT refunded FROM payment.attempts WHERE kind = 'instalment'") == AMOUNT
    assert payment_id(LEASE, 1) == gateway.asked[1].payment_id


async def test_a_payoff_that_had_to_wait(workers: list[Pool], its: asyncpg.Connection) -> None:
    """Cancelled while a payoff is in flight on a lease that was paid in part: all goes back, in turn."""
    pool = workers[0]
    [lease_id] = await leases(pool, 1, term=2)
    await its.execute("UPDATE payment.accounts SET start_date = '2026-01-01'")
    gateway, replies, slow = Gateway(), Replies(), asyncio.Event()

    async def charge(request: ChargeRequest) -> ChargeResult:
        if request.payment_id is None:
            await slow.wait()
        return Charged(reference=f"ch_{request.attempt_id}")

    gateway.charge = charge  # type: ignore[attr-defined]
    settler = Settler(pool, cast(Any, gateway), cast(Any, replies), lambda: None)
    process = CommandProcessor(pool, PaymentUnit(), cast(Any, replies), lambda: None, settler.resume)
    tasks = [asyncio.ensure_future(each.run()) for each in (settler, Returns(pool, settler.give_back))]
    pay = AttemptPayment(
        attempt_id=uuid7(), payment_id=payment_id(lease_id, 1), payment_method="pm", amount=None
    )
    pay_off = PayOffLease(attempt_id=uuid7(), lease_id=lease_id, payment_method="pm")
    for asked in (pay, pay_off):
        made = Command(
            command_id=uuid7(),
            type=type(asked).__name__,
            submitted_at=utcnow(),
            data=msgspec.Raw(encode(asked)),
        )
        await process([delivery(encode(made), COMMAND_CONTENT_TYPE)])
        await settled(its, *["succeeded"] if asked is pay else ["succeeded", "started"])
    await close(pool, lease_id=lease_id)
    assert await refunds(its) == []
    slow.set()
    await settled(its, *["succeeded"] * 4)
    await cancel_and_wait(tasks)
    kept = "SELECT sum(amount - refunded)::int FROM payment.attempts WHERE kind IN ('instalment', 'payoff')"
    assert await its.fetchval(kept) == 0
    assert await its.fetchval("SELECT sum(paid_principal)::int FROM payment.payments") == 0


async def settled(its: asyncpg.Connection, *statuses: str) -> None:
    query = "SELECT status FROM payment.attempts ORDER BY created_at, attempt_id"
    async with asyncio.timeout(10):
        while [row[0] for row in await its.fetch(query)] != list(statuses):  # noqa: ASYNC110 in the database
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", ["cancelled", "charged_off"])
async def test_a_refund_that_the_gateway_never_heard_of(
    workers: list[Pool], its: asyncpg.Connection, original: Attempt, how: str
) -> None:
    """A day without a record of it: it has given nothing back, and another one is begun."""
    await close(workers[0])
    lost = await its.fetchval("SELECT attempt_id::text FROM payment.returns")
    await its.execute("UPDATE payment.accounts SET closed = $1", how)
    await its.execute(
        "UPDATE payment.attempts SET status = 'unknown', next_check_at = now(),"
        " created_at = created_at - make_interval(hours => 25) WHERE attempt_id = $1",
        lost,
    )
    await its.execute("UPDATE payment.returns SET next_try_at = NULL")
    gateway = Gateway()
    async with returning(workers[0], gateway), asyncio.timeout(10):
        while [row[0] for row in await refunds(its)] != ["declined", "succeeded"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    [asked] = gateway.asked
    assert asked.attempt_id != lost
    assert await its.fetchval("SELECT refunded FROM payment.attempts WHERE kind = 'instalment'") == AMOUNT


DAY = timedelta(days=1)


async def paid_ahead(pool: Pool) -> str:
    """100,000 at 24 % in two monthly instalments from today: of 2000 and 1010 interest."""
    lease_id, today = uuid7(), utcnow().date()
    rows = [(1, 49_505, 2000, 50_495), (2, 50_495, 1010, 0)]
    schedule = [
        ScheduledInstalment(
            number=number,
            payment_id=payment_id(lease_id, number),
            due_date=today + 30 * number * DAY,
            principal=principal,
            interest=interest,
            fees=0,
            principal_balance=left,
        )
        for number, principal, interest, left in rows
    ]
    lease = LeaseCreated(
        lease_id=lease_id,
        currency="USD",
        principal=100_000,
        annual_rate="0.24",
        day_count="30/360",
        start_date=today,
        payment_method=None,
        autopay=False,
        late_fee=None,
        schedule=schedule,
    )
    async with transaction(pool) as connection:
        await account_repository.insert_leases(connection, [lease], {lease_id: 1})
    return lease_id


@asynccontextmanager
async def at_work(pool: Pool, gateway: Gateway) -> AsyncIterator[Any]:
    """A worker; gives what carries out a command."""

    async def charge(request: ChargeRequest) -> ChargeResult:
        assert request.amount > 0
        return Charged(reference=f"ch_{request.amount}")

    gateway.charge = charge  # type: ignore[attr-defined]
    replies = Replies()
    settler = Settler(pool, cast(Any, gateway), cast(Any, replies), lambda: None)
    process = CommandProcessor(pool, PaymentUnit(), cast(Any, replies), lambda: None, settler.resume)
    tasks = [asyncio.ensure_future(each.run()) for each in (settler, Returns(pool, settler.give_back))]

    async def carry_out(asked: AttemptPayment | PayOffLease | RefundAttempt | RecordChargeback) -> None:
        made = Command(
            command_id=uuid7(),
            type=type(asked).__name__,
            submitted_at=utcnow(),
            data=msgspec.Raw(encode(asked)),
        )
        await process([delivery(encode(made), COMMAND_CONTENT_TYPE)])
        async with asyncio.timeout(10):
            while await in_flight(pool, asked.attempt_id):  # noqa: ASYNC110 in the database
                await asyncio.sleep(0.02)

    yield carry_out
    await cancel_and_wait(tasks)


async def in_flight(pool: Pool, attempt_id: str) -> bool:
    query = "SELECT status IN ('started', 'unknown') FROM payment.attempts WHERE attempt_id = $1"
    return bool(await pool.fetchval(query, attempt_id))


async def pay_off_ahead(carry_out: Any, lease_id: str) -> list[str]:
    """Number 2 is paid, number 1 in two parts but for one cent; then the lease is paid off. The attempts."""
    made = []
    for number, amount in ((2, 51_505), (1, 50_000), (1, 1504)):
        asked = AttemptPayment(
            attempt_id=uuid7(),
            payment_id=payment_id(lease_id, number),
            payment_method="pm",
            amount=amount,
        )
        await carry_out(asked)
        made.append(asked.attempt_id)
    pay_off = PayOffLease(attempt_id=uuid7(), lease_id=lease_id, payment_method="pm")
    await carry_out(pay_off)
    return [*made, pay_off.attempt_id]


async def given_back(its: asyncpg.Connection) -> list[tuple[str, int, str]]:
    """Refunds by how they ended, amount and the charge they take it from."""
    query = (
        "SELECT r.status, r.amount, c.gateway_reference FROM payment.attempts AS r"
        " JOIN payment.attempts AS c ON c.attempt_id = r.refunds ORDER BY r.attempt_id"
    )
    return [tuple(row) for row in await its.fetch(query)]


async def eventually_given_back(its: asyncpg.Connection, *expected: tuple[str, int, str]) -> None:
    async with asyncio.timeout(10):
        while await given_back(its) != list(expected):  # noqa: ASYNC110 in the database
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", ["refunded", "charged_back"])
async def test_what_a_payoff_below_zero_owes_goes_back(
    workers: list[Pool], its: asyncpg.Connection, how: str
) -> None:
    """3009 go back by themselves, from the newest money first, then from the one before.

    Nothing is charged. The lease stays settled; until any other money is taken back. Then it owes what it
    would owe had the payoff never been, and the 3009 stay given back: they are not owed again.
    """
    lease_id, gateway = await paid_ahead(workers[0]), Gateway()
    async with at_work(workers[0], gateway) as carry_out:
        *made, payoff = await pay_off_ahead(carry_out, lease_id)
        await eventually_given_back(its, ("succeeded", 1504, "ch_1504"), ("succeeded", 1505, "ch_50000"))
        [row] = await its.fetch(
            "SELECT amount, status, payoff ->> 'formula' FROM payment.attempts WHERE kind = 'payoff'"
        )
        assert tuple(row) == (0, "succeeded", "payoff/2")
        reasons = await its.fetch("SELECT DISTINCT reason FROM payment.attempts WHERE kind = 'refund'")
        assert [row["reason"] for row in reasons] == ["refund_due"]
        statuses = "SELECT status FROM payment.payments ORDER BY number"
        assert [row["status"] for row in await its.fetch(statuses)] == ["cancelled", "paid"]

        by_hand = RefundAttempt(attempt_id=uuid7(), refunds=made[0], amount=100, reason="goodwill")
        notice = RecordChargeback(notice_id="n1", attempt_id=made[0], amount=100, reason="fraudulent")
        await carry_out(by_hand if how == "refunded" else notice)
    assert [row["status"] for row in await its.fetch(statuses)] == ["scheduled", "scheduled"]
    row = await its.fetchrow(
        "SELECT payoff_standing, (SELECT sum(principal + interest - paid_principal - paid_interest)::int"
        " FROM payment.payments) AS due FROM payment.accounts"
    )
    assert tuple(row) == (None, 1 + 100)
    told = [msgspec.json.decode(row["body"]) for row in await its.fetch("SELECT body FROM payment.outbox")]
    last = max(told, key=lambda each: each["sequence"])
    assert (last["type"], last["data"]["interest_owed_again"]) == (f"payment.{how}", 1)
    dues = [each["data"] for each in told if each["data"].get("reason") == "refund_due"]
    assert {each["refund_due_of"] for each in dues} == {payoff}


async def test_a_refund_due_that_the_gateway_refuses(workers: list[Pool], its: asyncpg.Connection) -> None:
    """It is owed to the customer, and not tried again by itself; the rest goes.

    Somebody gives it back from other money, by that reason; no more than is due.
    """
    lease_id, gateway = (
        await paid_ahead(workers[0]),
        Gateway(Declined(code="charge_too_old", reference="re_0")),
    )
    async with at_work(workers[0], gateway) as carry_out:
        *made, payoff = await pay_off_ahead(carry_out, lease_id)
        await eventually_given_back(its, ("declined", 1504, "ch_1504"), ("succeeded", 1505, "ch_50000"))
        await asyncio.sleep(0.6)
        assert len(gateway.asked) == 2

        def by_hand(amount: int | None) -> RefundAttempt:
            return RefundAttempt(attempt_id=uuid7(), refunds=made[0], amount=amount, reason="refund_due")

        await carry_out(by_hand(1505))  # more than is due: refused
        await carry_out(by_hand(None))
        await carry_out(by_hand(None))  # nothing is due any longer: refused
        await eventually_given_back(
            its,
            ("declined", 1504, "ch_1504"),
            ("succeeded", 1505, "ch_50000"),
            ("succeeded", 1504, "ch_51505"),
        )
    standing = await its.fetchval("SELECT payoff_standing::text FROM payment.accounts")
    assert standing == payoff


async def test_a_refund_due_that_was_never_made(workers: list[Pool], its: asyncpg.Connection) -> None:
    """A day without a record of it at the gateway: it has given nothing back, and another one is begun."""
    lease_id, gateway = await paid_ahead(workers[0]), Gateway(NoAnswer(reason="timeout"))

    async def find_refund(_key: str, _reference: str) -> None:
        return None

    gateway.find_refund = find_refund  # type: ignore[method-assign]
    async with at_work(workers[0], gateway) as carry_out:
        await pay_off_ahead(carry_out, lease_id)
        await eventually_given_back(its, ("unknown", 1504, "ch_1504"))
        await its.execute(
            "UPDATE payment.attempts SET next_check_at = now(), taken_up_at = NULL,"
            " created_at = created_at - make_interval(hours => 25) WHERE kind = 'refund'"
        )
        await eventually_given_back(
            its,
            ("declined", 1504, "ch_1504"),
            ("succeeded", 1504, "ch_1504"),
            ("succeeded", 1505, "ch_50000"),
        )
