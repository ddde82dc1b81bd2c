"""The gateway is away and comes back: all that is in doubt is asked about, or made again, at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import asyncpg
import pytest

from common.postgres.pool import Pool
from common.runtime.tasks import cancel_and_wait
from payment_svc.adapters.gateways.circuit_breaker import Breaker
from payment_svc.application.gateway import (
    Charged,
    ChargeRequest,
    ChargeResult,
    Found,
    NoAnswer,
    NotReached,
    RefundRequest,
)
from payment_svc.application.workers import gateway_health, unknown_attempt_resolver
from payment_svc.application.workers.automatic_refund_worker import Returns
from payment_svc.application.workers.charge_executor import Settler
from tests.integration.common.test_command_processor import Replies
from tests.integration.payment_svc.test_automatic_refunds import close, refunds
from tests.integration.payment_svc.test_charge_executor import (
    Worker,
    begun,
    ended,
    hasty,
    pay,
    statuses,
    told,
    until,
    working,
)
from tests.integration.payment_svc.test_collection_worker import leases
from tests.integration.payment_svc.test_refunds import its, original, workers

__all__ = ["hasty", "its", "original", "workers"]  # fixtures

HOUR = (timedelta(hours=1),)
LATER = "UPDATE payment.attempts SET status = $1, next_check_at = now() + '1 hour', checks = 3, failures = $2"


class Gateway:
    """Has every charge on record; while it is away it answers nothing."""

    def __init__(self) -> None:
        self.away = True
        self.charges_pass = False  # while it is away
        self.look_ups: list[str] = []
        self.asking = self.at_once = 0
        self.sick: set[str] = set()  # attempts over which it fails
        self.charges: list[str] = []

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        if self.away and not self.charges_pass:
            return NotReached(reason="refused")
        self.charges.append(request.idempotency_key)
        return Charged(reference="ch_1")

    async def refund(self, request: RefundRequest) -> ChargeResult:
        return NotReached(reason="refused") if self.away else Charged(reference="re_1")

    async def find(self, idempotency_key: str) -> Found:
        self.look_ups.append(idempotency_key)
        self.asking += 1
        self.at_once = max(self.at_once, self.asking)
        await asyncio.sleep(0.01)
        self.asking -= 1
        if self.away or idempotency_key in self.sick:
            return NoAnswer(reason="refused")
        return Charged(reference="ch_1")

    async def find_refund(self, idempotency_key: str, reference: str) -> Found:
        return NoAnswer(reason="refused") if self.away else None


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is probed more often, and any outage is a long one."""
    monkeypatch.setattr(gateway_health, "PROBE_EVERY", timedelta(milliseconds=100))
    monkeypatch.setattr(gateway_health, "ASK_AFTER", (timedelta(0),))
    monkeypatch.setattr("payment_svc.application.workers.charge_executor.RESOLVE_EVERY_S", 0.05)
    monkeypatch.setattr("payment_svc.application.workers.automatic_refund_worker.LOOK_EVERY_S", 0.05)


@asynccontextmanager
async def at_work(pool: Pool, gateway: Any) -> AsyncIterator[Worker]:
    async with working(pool, gateway, HOUR) as worker:
        yield worker


async def attempts(pool: Pool, its: asyncpg.Connection, count: int, status: str = "unknown") -> None:
    """So many of them, to be looked at again in an hour."""
    for lease_id in await leases(pool, count):
        await begun(pool, pay(lease_id))
    await its.execute(LATER, status, 3 if status == "started" else 0)


async def away(its: asyncpg.Connection) -> bool:
    return bool(await its.fetchval("SELECT away_since IS NOT NULL FROM payment.gateway_health"))


async def noticed(its: asyncpg.Connection) -> None:
    await until(lambda: away(its))


async def test_all_unknown_ones_are_asked_about(workers: list[Pool], its: asyncpg.Connection) -> None:
    """At its return, by all workers, in batches; while it is away only one look-up at a time finds out."""
    await attempts(workers[0], its, 120)
    gateway = Gateway()
    async with at_work(workers[0], gateway), at_work(workers[1], gateway):
        await noticed(its)
        await asyncio.sleep(0.2)  # what had begun before
        await its.execute("UPDATE payment.attempts SET next_check_at = now() + '1 hour', checks = 3")
        before = len(gateway.look_ups)
        await asyncio.sleep(1)
        assert 3 <= len(gateway.look_ups) - before <= 12
        gateway.away = False
        await ended(its, *["succeeded"] * 120)
    assert gateway.at_once <= 2 * (unknown_attempt_resolver.RESOLVE_AT_ONCE + 1)
    assert not await away(its)


async def test_it_has_no_record_yet(workers: list[Pool], its: asyncpg.Connection) -> None:
    """What it does not know of at its return is asked about as if it had just become unknown."""
    await attempts(workers[0], its, 1)

    class Forgetful(Gateway):
        async def find(self, idempotency_key: str) -> Found:
            found = await super().find(idempotency_key)
            return found if isinstance(found, NoAnswer) or len(self.look_ups) > self.slow else None

        slow = 10**6

    gateway = Forgetful()
    after = (*[timedelta(milliseconds=50)] * 4, *HOUR)
    async with working(workers[0], cast(Any, gateway), after):
        await noticed(its)
        gateway.slow = len(gateway.look_ups) + 3
        gateway.away = False
        await ended(its, "succeeded")


async def test_what_was_put_off_is_made_again(workers: list[Pool], its: asyncpg.Connection) -> None:
    """At its return, each once more under its key, though the circuit was open."""
    await attempts(workers[0], its, 20, "started")
    gateway = Gateway()
    breaker = Breaker(cast(Any, gateway), "outage", failures_to_open=1, open_s=3600)
    settler_of = Settler

    def settler(pool: Pool, *arguments: Any) -> Settler:
        return settler_of(pool, *arguments, returned=breaker.half_open)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tests.integration.payment_svc.test_charge_executor.Settler", settler)
        # after a moment where they are held back here
        async with working(workers[0], cast(Any, breaker), (timedelta(milliseconds=300), *HOUR)):
            await noticed(its)
            gateway.away = False
            await ended(its, *["succeeded"] * 20)
    assert len(set(gateway.charges)) == len(gateway.charges) == 20
    assert {type_ for type_, _ in await told(its)} == {"payment.attempt_started", "payment.succeeded"}


async def test_refunds_that_nobody_asked_for(
    workers: list[Pool], its: asyncpg.Connection, original: Any
) -> None:
    """They are carried out again with the gateway's return, too."""
    await close(workers[0])
    gateway = Gateway()
    settler = Settler(workers[0], cast(Any, gateway), cast(Any, Replies()), lambda: None, HOUR)
    tasks = [asyncio.ensure_future(each.run()) for each in (settler, Returns(workers[0], settler.give_back))]
    await noticed(its)

    async def put_off() -> bool:
        at = await its.fetchval("SELECT next_try_at > now() + '50 min' FROM payment.returns")
        return bool(at)

    await until(put_off)
    gateway.away = False

    async def given_back() -> bool:
        return [row[0] for row in await refunds(its)] == ["succeeded"]

    await until(given_back)
    await cancel_and_wait(tasks)


async def test_the_first_charge_that_gets_through(workers: list[Pool], its: asyncpg.Connection) -> None:
    """It tells as well as a look-up that the gateway is back."""
    await attempts(workers[0], its, 3)
    [lease_id] = await leases(workers[0], 1)
    gateway = Gateway()
    async with at_work(workers[0], gateway) as worker, at_work(workers[1], gateway):
        await noticed(its)
        await asyncio.sleep(0.2)  # by both
        assert await its.fetchval("SELECT returned_at FROM payment.gateway_health") is None
        gateway.charges_pass = True
        await worker.process([worker.message(pay(lease_id))])

        async def returned() -> bool:
            return bool(await its.fetchval("SELECT returned_at IS NOT NULL FROM payment.gateway_health"))

        await until(returned)


async def test_a_new_worker_while_it_is_away(workers: list[Pool], its: asyncpg.Connection) -> None:
    """What the dead one had noticed is known: the new one finds out by probes, and all are asked about."""
    await attempts(workers[0], its, 60)
    gateway = Gateway()
    async with at_work(workers[0], gateway):
        await noticed(its)
    gateway.look_ups.clear()
    async with at_work(workers[1], gateway):
        await asyncio.sleep(0.5)
        assert len(gateway.look_ups) <= 8
        gateway.away = False
        await ended(its, *["succeeded"] * 60)


async def test_it_fails_over_a_single_attempt(workers: list[Pool], its: asyncpg.Connection) -> None:
    """The others are resolved all the same."""
    await attempts(workers[0], its, 10)
    gateway = Gateway()
    gateway.away = False
    gateway.sick = {await its.fetchval("SELECT attempt_id::text FROM payment.attempts LIMIT 1")}
    async with at_work(workers[0], gateway):

        async def but_one() -> bool:
            return sorted(await statuses(its)) == ["succeeded"] * 9 + ["unknown"]

        await until(but_one)


async def test_old_news(workers: list[Pool], its: asyncpg.Connection) -> None:
    """A charge that was sent before its return, and fails after it, is made again soon and not in an hour."""
    await attempts(workers[0], its, 1, "started")
    go = asyncio.Event()

    class Slow(Gateway):
        async def charge(self, request: ChargeRequest) -> ChargeResult:
            await go.wait()
            return await super().charge(request)

    gateway = Slow()
    async with working(workers[0], cast(Any, gateway), (timedelta(milliseconds=50), *HOUR)) as worker:

        async def under_way() -> bool:
            return bool(worker.settler._charging)

        await until(under_way)
        await its.execute(
            "INSERT INTO payment.gateway_health (returned_at) VALUES (now() + '5 seconds')"
            " ON CONFLICT (one) DO UPDATE SET returned_at = excluded.returned_at"
        )
        gateway.charges_pass = False
        go.set()
        await asyncio.sleep(0.2)
        gateway.charges_pass = True
        await ended(its, "succeeded")


async def test_nothing_waits_for_it(workers: list[Pool], its: asyncpg.Connection) -> None:
    """Nobody can find out, and nobody needs to: what comes next is asked about at its own time."""
    await its.execute(
        "INSERT INTO payment.gateway_health (away_since, next_probe_at)"
        " VALUES (now() - '1 hour'::interval, now())"
    )
    gateway = Gateway()
    gateway.away = False
    async with working(workers[0], cast(Any, gateway)):

        async def forgotten() -> bool:
            return not await away(its)

        await until(forgotten)
        await attempts(workers[0], its, 1)
        await its.execute("UPDATE payment.attempts SET next_check_at = now()")
        await ended(its, "succeeded")


async def test_an_outage_of_a_moment(
    workers: list[Pool], its: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that it has touched are asked about again; not all others, each time that it falters."""
    monkeypatch.setattr(gateway_health, "ASK_AFTER", (timedelta(seconds=60),))
    await attempts(workers[0], its, 2)
    untouched = str(await its.fetchval("SELECT attempt_id::text FROM payment.attempts LIMIT 1"))
    gateway = Gateway()
    after = (timedelta(milliseconds=50), *HOUR)
    async with working(workers[0], cast(Any, gateway), after):
        await noticed(its)
        await asyncio.sleep(0.2)  # until that it was asked about in vain is noted
        await its.execute(
            "UPDATE payment.attempts SET next_check_at = now() + '1 hour' WHERE attempt_id = $1", untouched
        )
        gateway.sick, gateway.away = {untouched}, False

        async def one() -> bool:
            return sorted(await statuses(its)) == ["succeeded", "unknown"]

        await until(one)
    assert await its.fetchval(
        "SELECT next_check_at > now() + '50 min' FROM payment.attempts WHERE attempt_id = $1", untouched
    )
