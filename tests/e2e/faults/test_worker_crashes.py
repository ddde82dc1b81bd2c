"""Workers killed in the middle of their work: nothing is lost, nothing is done twice."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.builders.lease_terms import terms
from tests.support.oracles.invariants import check, check_attempts, check_creations
from tests.support.system.client import Client, Fate, fresh_key
from tests.support.system.lost_charges import turn_up
from tests.support.system.system import System
from tests.support.waiting import eventually, on_lanes

ATTEMPT = {"payment_method": "pm_card_ok"}


async def _kill_again_and_again(
    system: System, name: str, progress: Callable[[], int], at: tuple[int, ...]
) -> None:
    """Kill a worker each time when that much has been answered."""
    for mark in at:

        async def reached(mark: int = mark) -> bool:
            return progress() >= mark

        await eventually(reached, f"{mark} answers", within_s=60)
        await system.kill(name)


def _answered(sent: list[Any]) -> int:
    return sum(command.answer is not None for command in sent)


async def test_lease_worker_killed_while_creating(system: System, client: Client) -> None:
    """Of 500 leases asked for while the worker is killed three times, each is there once, everywhere."""

    def create(number: int) -> Callable[[], Awaitable[Any]]:
        prefer = {"Prefer": "respond-async"} if number % 3 == 0 else {}
        key = fresh_key() if number % 2 else None
        return lambda: client.leases.send("/api/v1/leases", terms(), key, **prefer)

    sent = client.leases.sent
    marks = (20, 150, 350)
    await asyncio.gather(
        on_lanes(60, [create(number) for number in range(500)]),
        _kill_again_and_again(system, "lease-worker", lambda: _answered(sent), marks),
    )
    assert len(sent) == 500
    assert {command.fate for command in sent} == {Fate.OK}
    await check(system, client)
    await check_creations(system, sent)


async def test_payment_worker_killed_while_paying(system: System, client: Client) -> None:
    """Of 200 payments made while the worker is killed twice, each is charged and booked once."""
    leases = await on_lanes(40, [lambda: client.create(terms()) for _ in range(200)])

    def pay(lease: dict[str, Any], key: str | None) -> Callable[[], Awaitable[Any]]:
        url = f"/api/v1/payments/{lease['schedule'][0]['payment_id']}/attempt"
        return lambda: client.payments.send(url, ATTEMPT, key)

    sent = client.payments.sent
    await asyncio.gather(
        on_lanes(40, [pay(lease, fresh_key() if n % 2 else None) for n, (lease, _) in enumerate(leases)]),
        _kill_again_and_again(system, "payment-worker", lambda: _answered(sent), (10, 100)),
    )
    assert {status for command in sent for status in command.statuses} <= {201, 202}
    await check(system, client)
    await check_attempts(system, sent)
    for command in sent:
        payment_id = command.path.split("/")[4]
        payment = (await client.payments.get(f"/api/v1/payments/{payment_id}")).json
        assert (payment["status"], payment["attempts"]) == ("paid", 1)
        assert len(await client.charges(payment_id=payment_id)) == 1


async def test_payment_worker_killed_while_giving_back(system: System, client: Client) -> None:
    """Of 150 refunds made while the worker is killed twice, each goes back once and is booked once.

    Every third one is asked for twice, under different keys: one of the two is refused, whatever happens.
    """
    leases = await on_lanes(40, [lambda: client.create(terms()) for _ in range(150)])

    async def pay(lease: dict[str, Any]) -> dict[str, Any]:
        attempt: dict[str, Any] = (await client.attempt(lease["schedule"][0]["payment_id"])).json
        return attempt

    attempts = await on_lanes(40, [lambda lease=lease: pay(lease) for lease, _ in leases])  # type: ignore[misc]

    def give_back(attempt: dict[str, Any], key: str | None) -> Callable[[], Awaitable[Any]]:
        url = f"/api/v1/attempts/{attempt['attempt_id']}/refund"
        body = {"amount": attempt["amount"], "reason": "returned"}
        return lambda: client.payments.send(url, body, key)

    sent = client.payments.sent
    works = [give_back(attempt, fresh_key() if n % 2 else None) for n, attempt in enumerate(attempts)]
    works += [give_back(attempt, fresh_key()) for attempt in attempts[::3]]
    await asyncio.gather(
        on_lanes(40, works),
        _kill_again_and_again(system, "payment-worker", lambda: _answered(sent), (10, 100)),
    )
    assert {status for command in sent for status in command.statuses} <= {201, 202, 409, 422}
    await check(system, client)
    for attempt in attempts:
        refunds = await client.refunds(charge_id=attempt["gateway_reference"])
        assert [refund["amount"] for refund in refunds] == [attempt["amount"]]
        original = (await client.payments.get(f"/api/v1/attempts/{attempt['attempt_id']}")).json
        assert original["amount_refunded"] == attempt["amount"]


async def test_ledger_writer_killed_while_recording(system: System, client: Client) -> None:
    """The ledger's writer, killed while events stream in, leaves no gap and no repeat."""
    marks = (10, 80)
    await asyncio.gather(
        on_lanes(20, [lambda: client.leases.send("/api/v1/leases", terms()) for _ in range(150)]),
        _kill_again_and_again(system, "ledger-writer", lambda: _answered(client.leases.sent), marks),
    )
    await check(system, client)
    await check_creations(system, client.leases.sent)


async def test_gateway_killed_while_charging(system: System, client: Client) -> None:
    """A gateway that dies in the middle leaves nothing in doubt that it can be asked about.

    A charge that got lost with it is nowhere, so its attempt stays `unknown` and its payment is not to be
    paid; when the charge turns up at the gateway after all, the attempt follows it.
    """
    leases = await on_lanes(30, [lambda: client.create(terms()) for _ in range(60)])

    def pay(lease: dict[str, Any]) -> Callable[[], Awaitable[Any]]:
        url = f"/api/v1/payments/{lease['schedule'][0]['payment_id']}/attempt"
        return lambda: client.payments.send(url, ATTEMPT)

    sent = client.payments.sent
    await asyncio.gather(
        on_lanes(30, [pay(lease) for lease, _ in leases]),
        _kill_again_and_again(system, "gateway", lambda: _answered(sent), (10,)),
    )
    assert {status for command in sent for status in command.statuses} <= {201, 202, 502}
    await turn_up(system, client)
    await check(system, client)
    await check_attempts(system, sent)
