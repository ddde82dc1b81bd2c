"""Money on a lease that was closed: what goes back by itself, when, and how often."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
import msgspec
import pytest

from common import outbox
from common.db import Pool, transaction
from common.ids import payment_id
from common.tasks import end
from payment_svc import returns, store
from payment_svc.attempt import Attempt
from payment_svc.gateways.port import Charged, ChargeResult, Declined, NotReached, RefundRequest
from payment_svc.handlers import PaymentUnit
from payment_svc.returns import Returns
from payment_svc.settler import Settler
from tests.integration.test_inbox import event
from tests.integration.test_refunds import AMOUNT, LEASE, attempt, its, original, workers
from tests.integration.test_worker import Replies

__all__ = ["its", "original", "workers"]  # fixtures


class Gateway:
    """Answers refunds with what it is told to, one after the other, then fine."""

    def __init__(self, *answers: ChargeResult) -> None:
        self.answers = list(answers)
        self.asked: list[RefundRequest] = []

    async def refund(self, request: RefundRequest) -> ChargeResult:
        self.asked.append(request)
        return self.answers.pop(0) if self.answers else Charged(reference="re_1")


@asynccontextmanager
async def returning(pool: Pool, gateway: Gateway) -> AsyncIterator[None]:
    """A worker's parts that carry such refunds out."""
    settler = Settler(pool, cast(Any, gateway), cast(Any, Replies()), lambda: None)
    tasks = [asyncio.ensure_future(each.run()) for each in (settler, Returns(pool, settler.give_back))]
    yield
    await end(tasks)


async def close(pool: Pool, how: str = "cancelled", sequence: int = 2) -> None:
    """The lease service's event arrives."""
    told = event(LEASE, f"lease.{how}", sequence, {"lease_id": LEASE})
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


async def test_not_reached(
    workers: list[Pool], its: asyncpg.Connection, original: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that is away is asked again later under the same key; until then it is not settled."""
    monkeypatch.setattr(returns, "CLAIM", returns.CLAIM / 300)
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
