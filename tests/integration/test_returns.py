"""Money on a lease that was closed: what goes back by itself, when, and how often."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import asyncpg
import msgspec
import pytest

from common import outbox
from common.clock import utcnow
from common.db import Pool, transaction
from common.envelope import COMMAND_CONTENT_TYPE, Command, encode
from common.ids import payment_id, uuid7
from common.tasks import end
from common.worker import CommandProcessor
from payment_svc import returns, store
from payment_svc.attempt import Attempt
from payment_svc.commands import AttemptPayment, PayOffLease
from payment_svc.gateways.port import (
    Charged,
    ChargeRequest,
    ChargeResult,
    Declined,
    NotReached,
    RefundRequest,
)
from payment_svc.handlers import PaymentUnit
from payment_svc.returns import Returns
from payment_svc.settler import Settler
from tests.integration.test_collector import leases
from tests.integration.test_inbox import event
from tests.integration.test_refunds import AMOUNT, LEASE, attempt, its, original, workers
from tests.integration.test_worker import Replies, delivery

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
    await end(tasks)


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
    assert await refunds(its) == [("started", AMOUNT, returns.REASON)]
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
    monkeypatch.setattr(returns, "CLAIM", returns.CLAIM / 300)
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
        await store.insert_attempts(connection, [asked])
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
    await end(tasks)
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
    await end(tasks)
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
