"""The circuit breaker: when it stops calling, when it tries again, and what it does not count."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY

from payment_svc.adapters.gateways.circuit_breaker import TRIALS, Breaker
from payment_svc.application.gateway import (
    Charged,
    ChargeRequest,
    ChargeResult,
    Declined,
    Found,
    NoAnswer,
    NotReached,
    RefundRequest,
)

REQUEST = ChargeRequest(
    idempotency_key="k",
    amount=1,
    currency="USD",
    payment_method="pm",
    lease_id="l",
    payment_id=None,
    attempt_id="k",
)
OK = Charged(reference="ch_1")
NO = Declined(code="lost_card", reference="ch_2")
DOWN = NotReached(reason="refused")
SILENT = NoAnswer(reason="TimeoutError")
OPEN = NotReached(reason="circuit open", called=False)


class FakeGateway:
    """Says what it is told to; `held` charges wait until they are given an answer."""

    def __init__(self) -> None:
        self.says: ChargeResult = OK
        self.finds: Found = None
        self.calls = 0
        self.holding = False
        self.held: list[asyncio.Future[ChargeResult]] = []

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        self.calls += 1
        if not self.holding:
            return self.says
        self.held.append(asyncio.get_running_loop().create_future())
        return await self.held[-1]

    async def find(self, idempotency_key: str) -> Found:
        return self.finds

    async def refund(self, request: RefundRequest) -> ChargeResult:
        self.calls += 1
        return self.says

    async def find_refund(self, idempotency_key: str, reference: str) -> Found:
        return self.finds


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(gateway: FakeGateway, clock: FakeClock) -> Breaker:
    return Breaker(gateway, "fake", failures_to_open=3, open_s=5, clock=clock)


async def charged(breaker: Breaker, gateway: FakeGateway, *answers: ChargeResult) -> list[ChargeResult]:
    results = []
    for answer in answers:
        gateway.says = answer
        results.append(await breaker.charge(REQUEST))
    return results


async def held(breaker: Breaker, gateway: FakeGateway) -> asyncio.Task[ChargeResult]:
    """A charge that has begun and waits for its answer, `gateway.held[-1]`."""
    gateway.holding = True
    task = asyncio.create_task(breaker.charge(REQUEST))
    await asyncio.sleep(0)
    gateway.holding = False
    return task


def metric(name: str) -> float:
    value = REGISTRY.get_sample_value(name, {"gateway": "fake"})
    assert value is not None
    return value


async def test_opens_after_failures_in_a_row(breaker: Breaker, gateway: FakeGateway) -> None:
    """Once it is open nothing is called; every charge has certainly not been attempted."""
    opened, refused = metric("gateway_circuit_opened_total"), metric("gateway_circuit_refused_charges_total")
    assert await charged(breaker, gateway, DOWN, SILENT, DOWN) == [DOWN, SILENT, DOWN]
    assert await charged(breaker, gateway, OK, OK) == [OPEN, OPEN]
    assert gateway.calls == 3
    assert metric("gateway_circuit_state") == 2
    assert metric("gateway_circuit_opened_total") == opened + 1
    assert metric("gateway_circuit_refused_charges_total") == refused + 2


@pytest.mark.parametrize(
    "answer", [OK, NO, NotReached(reason="x", outage=False), NoAnswer(reason="x", outage=False)]
)
async def test_any_answer_ends_the_row(breaker: Breaker, gateway: FakeGateway, answer: ChargeResult) -> None:
    """A decline is an answer, and so is a refusal of one request: they speak for the gateway's health."""
    await charged(breaker, gateway, DOWN, DOWN, answer, DOWN, DOWN)
    assert await charged(breaker, gateway, OK) == [OK]


async def test_one_charge_is_let_through(breaker: Breaker, gateway: FakeGateway, clock: FakeClock) -> None:
    """After the pause one charge is sent, the others are not; when it is answered all are again."""
    await charged(breaker, gateway, DOWN, DOWN, DOWN)
    clock.now += 4.9
    assert await charged(breaker, gateway, OK) == [OPEN]
    clock.now += 0.1
    probe = await held(breaker, gateway)
    assert metric("gateway_circuit_state") == 1
    assert await charged(breaker, gateway, OK) == [OPEN]
    gateway.held[0].set_result(NO)
    assert await probe == NO
    assert metric("gateway_circuit_state") == 0
    assert await charged(breaker, gateway, DOWN, DOWN, OK) == [DOWN, DOWN, OK]


async def test_a_failed_probe_opens_it_again(
    breaker: Breaker, gateway: FakeGateway, clock: FakeClock
) -> None:
    """One failure is enough, and the pause begins anew when it is known."""
    await charged(breaker, gateway, DOWN, DOWN, DOWN)
    clock.now += 5
    assert await charged(breaker, gateway, SILENT) == [SILENT]
    clock.now += 4.9
    assert await charged(breaker, gateway, OK) == [OPEN]
    clock.now += 0.1
    assert await charged(breaker, gateway, OK, OK) == [OK, OK]


async def test_a_cancelled_probe_is_none(breaker: Breaker, gateway: FakeGateway, clock: FakeClock) -> None:
    """A probe that is cancelled has learnt nothing; the next charge takes its place."""
    await charged(breaker, gateway, DOWN, DOWN, DOWN)
    clock.now += 5
    probe = await held(breaker, gateway)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert metric("gateway_circuit_state") == 2
    assert await charged(breaker, gateway, OK, OK) == [OK, OK]


async def test_old_failures_do_not_count(breaker: Breaker, gateway: FakeGateway) -> None:
    """Timeouts come in late: those of charges that began before one that was answered are old news."""
    timeouts = [await held(breaker, gateway) for _ in range(5)]
    assert await charged(breaker, gateway, OK) == [OK]
    for waiting in gateway.held:
        waiting.set_result(SILENT)
    await asyncio.gather(*timeouts)
    assert await charged(breaker, gateway, OK) == [OK]


async def test_late_news_does_not_move_an_open_circuit(
    breaker: Breaker, gateway: FakeGateway, clock: FakeClock
) -> None:
    """What began before it opened neither closes it nor puts off the probe."""
    good, bad = await held(breaker, gateway), await held(breaker, gateway)
    await charged(breaker, gateway, DOWN, DOWN, DOWN)
    gateway.held[0].set_result(OK)
    await good
    assert await charged(breaker, gateway, OK) == [OPEN]
    clock.now += 5
    gateway.held[1].set_result(SILENT)
    await bad
    assert await charged(breaker, gateway, OK, OK) == [OK, OK]


@pytest.mark.parametrize("found", [OK, NO, SILENT, None, NoAnswer(reason="x", outage=False)])
async def test_look_ups_pass(
    breaker: Breaker, gateway: FakeGateway, found: Charged | Declined | NoAnswer | None
) -> None:
    """They are asked always. While it is closed they change nothing; one that gets through half-opens it."""
    await charged(breaker, gateway, DOWN, DOWN)
    gateway.finds = found
    assert [await breaker.find("k") for _ in range(5)] == [found] * 5
    assert await charged(breaker, gateway, DOWN, OK) == [DOWN, OPEN]
    assert await breaker.find("k") == found
    assert await charged(breaker, gateway, OK) == [OPEN if found == SILENT else OK]


async def test_the_end_of_an_outage_is_noticed_elsewhere(breaker: Breaker, gateway: FakeGateway) -> None:
    """Charges are let through before the pause is over, and decide; told while closed, nothing changes."""
    breaker.half_open()
    await charged(breaker, gateway, DOWN, DOWN, DOWN)
    assert await charged(breaker, gateway, OK) == [OPEN]
    breaker.half_open()
    assert await charged(breaker, gateway, DOWN, OK) == [DOWN, OPEN]
    breaker.half_open()
    trials = [await held(breaker, gateway) for _ in range(TRIALS)]
    assert metric("gateway_circuit_state") == 1
    assert await charged(breaker, gateway, OK) == [OPEN]
    gateway.held[1].set_result(OK)
    assert await trials[1] == OK
    assert await charged(breaker, gateway, OK, OK) == [OK, OK]
    for waiting in (gateway.held[0], *gateway.held[2:]):
        waiting.set_result(SILENT)
    await asyncio.gather(*trials)
    assert await charged(breaker, gateway, OK) == [OK]


@pytest.mark.parametrize("fails", [SILENT, DOWN])
async def test_a_silent_card_does_not_keep_it_open(
    breaker: Breaker, gateway: FakeGateway, clock: FakeClock, fails: ChargeResult
) -> None:
    """What a trial brings is old news where a look-up that began later got through; else it is open again."""
    await charged(breaker, gateway, DOWN, DOWN, DOWN)
    await breaker.find("k")
    for _ in range(3):
        trials = [await held(breaker, gateway) for _ in range(TRIALS)]
        assert await charged(breaker, gateway, OK) == [OPEN]
        await breaker.find("k")
        for waiting in gateway.held[-TRIALS:]:
            waiting.set_result(fails)
        await asyncio.gather(*trials)
    assert metric("gateway_circuit_state") == 2
    trial = await held(breaker, gateway)  # and so another one is let through, with no pause
    gateway.held[-1].set_result(fails)
    await trial
    assert await charged(breaker, gateway, OK) == [OPEN]
    await breaker.find("k")
    assert await charged(breaker, gateway, OK, OK) == [OK, OK]


async def test_a_trial_without_an_answer_holds_up_nobody(
    breaker: Breaker, gateway: FakeGateway, clock: FakeClock
) -> None:
    """With each pause one more is let through; that one was answered closes it, whatever the others bring."""
    await charged(breaker, gateway, DOWN, DOWN, DOWN)
    clock.now += 5
    silent = await held(breaker, gateway)
    clock.now += 4.9
    assert await charged(breaker, gateway, OK) == [OPEN]
    clock.now += 0.1
    answered = await held(breaker, gateway)
    gateway.held[0].set_result(SILENT)
    await silent
    assert await charged(breaker, gateway, OK) == [OPEN]
    gateway.held[1].set_result(NO)
    await answered
    assert await charged(breaker, gateway, OK, OK) == [OK, OK]


async def test_a_look_up_from_before_says_nothing(breaker: Breaker, gateway: FakeGateway) -> None:
    """One that began before the circuit opened, and was answered late, does not half-open it."""
    answer = asyncio.get_running_loop().create_future()
    gateway.find = lambda _key: answer  # type: ignore[method-assign,assignment]
    asking = asyncio.create_task(breaker.find("k"))
    await asyncio.sleep(0)
    await charged(breaker, gateway, DOWN, DOWN, DOWN)
    answer.set_result(OK)
    assert await asking == OK
    assert await charged(breaker, gateway, OK) == [OPEN]


async def test_a_gateway_that_raises_is_not_hidden(breaker: Breaker, gateway: FakeGateway) -> None:
    """A defect in a gateway's client comes through as it is."""
    task: asyncio.Task[Any] = await held(breaker, gateway)
    gateway.held[0].set_exception(RuntimeError("defect"))
    with pytest.raises(RuntimeError, match="defect"):
        await task


async def test_refunds_count_as_charges_do(breaker: Breaker, gateway: FakeGateway, clock: FakeClock) -> None:
    """They open the circuit, are refused while it is open, and close it; their look-ups pass through."""
    refund = RefundRequest(
        idempotency_key="r",
        reference="ch_1",
        amount=1,
        currency="USD",
        lease_id="l",
        payment_id=None,
        attempt_id="r",
    )
    await charged(breaker, gateway, SILENT, SILENT)
    gateway.says = DOWN
    assert await breaker.refund(refund) == DOWN
    assert await breaker.refund(refund) == OPEN
    gateway.finds = OK
    assert await breaker.find_refund("r", "ch_1") == OK
    clock.now += 5
    gateway.says = OK
    assert await breaker.refund(refund) == OK
    assert await charged(breaker, gateway, OK) == [OK]
