"""The gateway's webhooks over HTTP: repeated, in any order, and while parts of the system are away."""

import asyncio
import random
import signal
from typing import Any

import pytest

from tests.e2e.payment.test_refunds import new_lease, paid, paid_off
from tests.support.builders import webhooks
from tests.support.oracles.invariants import check, come_to_rest
from tests.support.system.client import Answer, Client
from tests.support.system.system import System
from tests.support.waiting import eventually


async def send(system: System, client: Client, body: bytes, secret: str | None = None) -> Answer:
    """Send a webhook as the gateway does."""
    signed = webhooks.signature(body, system.webhook_secret if secret is None else secret)
    return await client.payments.post(webhooks.PATH, body, Stripe_Signature=signed)


async def lease_of(client: Client, lease: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await client.leases.get(f"/api/v1/leases/{lease['lease_id']}")).json
    return found


async def attempt_of(client: Client, attempt_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.payments.get(f"/api/v1/attempts/{attempt_id}")).json
    return found


async def types_of(client: Client, lease: dict[str, Any]) -> list[str]:
    trail = (await client.ledger.get(f"/api/v1/audit/leases/{lease['lease_id']}?limit=200")).json["items"]
    return [each["type"] for each in trail]


async def unknown(
    system: System, client: Client, lease: dict[str, Any], method: str = "pm_timeout_then_ok"
) -> dict[str, Any]:
    """An attempt that the gateway has taken and not answered; it is not asked about for now."""
    answer = await client.attempt(lease["schedule"][0]["payment_id"], method)
    attempt: dict[str, Any] = answer.json
    assert (answer.status, attempt["status"]) == (202, "unknown")
    put_off = "UPDATE payment.attempts SET next_check_at = now() + interval '1 hour' WHERE attempt_id = $1"
    await system.rows(put_off, attempt["attempt_id"])
    return attempt


async def test_a_dispute(client: Client, system: System) -> None:
    """The sandbox tells of it by itself: the lease is re-opened, and gateway, ledger and services agree."""
    lease = await new_lease(client)
    attempts = [await paid(client, row) for row in lease["schedule"]]
    amount = attempts[2]["amount"] - 100
    charge_id = attempts[2]["gateway_reference"]
    assert [await client.dispute(charge_id, amount) for _ in range(3)] == [201, 200, 200]

    async def reopened() -> bool:
        return bool((await lease_of(client, lease))["status"] == "active")

    await eventually(reopened, "the lease is re-opened")
    await check(system, client)
    assert (await lease_of(client, lease))["balance"] == amount
    [charge] = await client.charges(attempt_id=attempts[2]["attempt_id"])
    assert (charge["disputed"], charge["amount_refunded"]) == (amount, 0)
    assert (await types_of(client, lease)).count("payment.charged_back") == 1
    assert await client.dispute(charge_id, 101) == 409
    assert (await client.refund(attempts[2]["attempt_id"])).json["amount"] == 100


async def test_repeated_and_shuffled(client: Client, system: System) -> None:
    """An unknown attempt's success and a chargeback of it, five times each and in any order, count once.

    The chargeback can only be recorded once the charge is known: until then it is to be told again.
    """
    lease = await new_lease(client)
    attempt = await unknown(system, client, lease)
    [charge] = await client.charges(attempt_id=attempt["attempt_id"])
    success = webhooks.settled(attempt, charge["charge_id"])
    dispute = webhooks.disputed(charge["charge_id"], 700)
    first = await send(system, client, dispute)
    assert (first.status, first.headers["Retry-After"]) == (503, "5")
    bodies = [success, dispute] * 5
    random.Random(5).shuffle(bodies)

    async def until_taken(body: bytes) -> None:
        async def taken() -> bool:
            answer = await send(system, client, body)
            assert answer.status in (200, 503), answer
            return answer.status == 200

        await eventually(taken, "it is taken")

    await asyncio.gather(*(until_taken(body) for body in bodies))
    failure = webhooks.settled(attempt, charge["charge_id"], "card_declined")
    assert (await send(system, client, failure)).status == 200
    after = await attempt_of(client, attempt["attempt_id"])
    assert (after["status"], after["amount_refunded"]) == ("succeeded", 700)
    await check(system, client)
    types = await types_of(client, lease)
    assert types[:4] == ["lease.created", "payment.attempt_started", "payment.unknown", "payment.resolved"]
    assert sorted(types[4:]) == ["payment.charged_back", "payment.succeeded"]


@pytest.mark.parametrize("code", [None, "insufficient_funds"])
async def test_an_unknown_attempt_is_settled_before_anybody_asks(
    client: Client, system: System, code: str | None
) -> None:
    """By the notice of its end, be it a success or a decline; one about another amount changes nothing."""
    lease = await new_lease(client)
    method = "pm_timeout_then_declined" if code else "pm_timeout_then_ok"
    attempt = await unknown(system, client, lease, method)
    [charge] = await client.charges(attempt_id=attempt["attempt_id"])
    other = webhooks.settled(attempt | {"amount": attempt["amount"] + 1}, charge["charge_id"], code)
    euros = webhooks.settled(attempt | {"currency": "EUR"}, charge["charge_id"], code)
    assert [(await send(system, client, body)).status for body in (other, euros)] == [200, 200]
    assert (await attempt_of(client, attempt["attempt_id"]))["status"] == "unknown"
    told = webhooks.settled(attempt, charge["charge_id"], code)
    assert (await send(system, client, told)).json == {"received": True}
    after = await attempt_of(client, attempt["attempt_id"])
    assert (after["status"], after["decline"] and after["decline"]["code"]) == (
        "declined" if code else "succeeded",
        code,
    )
    await check(system, client)


async def test_while_the_gateway_is_asked_to_charge(client: Client, system: System) -> None:
    """The notice overtakes the answer of the charge itself: whoever comes second changes nothing."""
    lease = await new_lease(client)
    row = lease["schedule"][0]
    paying = asyncio.create_task(client.attempt(row["payment_id"], "pm_slow"))

    async def charged() -> list[dict[str, Any]]:
        return await client.charges(payment_id=row["payment_id"])

    [charge] = await eventually(charged, "the gateway has it")
    attempt = charge["metadata"] | {name: charge[name] for name in ("amount", "currency")}
    answers = await asyncio.gather(
        *(send(system, client, webhooks.settled(attempt, charge["charge_id"])) for _ in range(3))
    )
    assert {answer.status for answer in answers} == {200}
    answer = await paying
    assert (answer.status, answer.json["status"]) == (201, "succeeded")
    await check(system, client)
    assert (await types_of(client, lease)).count("payment.succeeded") == 1


async def test_worker_away(client: Client, system: System) -> None:
    """Without an outcome in time a webhook is 503, and recorded once when it is sent again."""
    lease = await new_lease(client)
    attempt = await paid_off(client, lease)
    body = webhooks.disputed(attempt["gateway_reference"], attempt["amount"])
    stopped = await system.kill("payment-worker", signal.SIGSTOP)
    try:
        answer = await send(system, client, body)
    finally:
        assert await system.kill("payment-worker", signal.SIGCONT) == stopped
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert (await send(system, client, body)).status == 200
    await check(system, client)
    assert (await types_of(client, lease)).count("payment.charged_back") == 1
    assert (await lease_of(client, lease))["amount_paid"] == 0


async def test_gateway_tells_again_until_it_is_taken(client: Client, system: System) -> None:
    """The front is away when a dispute is made, and the gateway dies: it is told all the same, once."""
    lease = await new_lease(client)
    attempt = await paid(client, lease["schedule"][0])
    stopped = await system.kill("payment-api", signal.SIGSTOP)
    try:
        assert await client.dispute(attempt["gateway_reference"], attempt["amount"]) == 201
        await system.back("gateway", await system.kill("gateway"))
    finally:
        assert await system.kill("payment-api", signal.SIGCONT) == stopped

    async def told() -> bool:
        return bool((await attempt_of(client, attempt["attempt_id"]))["amount_refunded"])

    await eventually(told, "the chargeback is recorded", within_s=40)
    await check(system, client)


async def test_bad_signature(client: Client, system: System) -> None:
    """401 with a challenge, and nothing changes."""
    lease = await new_lease(client)
    attempt = await paid(client, lease["schedule"][0])
    body = webhooks.disputed(attempt["gateway_reference"], 1)
    for secret in ("", "another"):
        answer = await send(system, client, body, secret)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Stripe-Signature ")
    assert (await client.payments.post(webhooks.PATH, body)).status == 401
    await come_to_rest(system)
    assert (await attempt_of(client, attempt["attempt_id"]))["amount_refunded"] == 0
