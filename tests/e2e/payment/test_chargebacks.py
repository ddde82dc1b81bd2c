"""Chargebacks as the gateway's notices bring them: commands in the payment service's queue."""

import asyncio
import uuid
from typing import Any

import aio_pika
import msgspec

from common.kernel.ids import uuid7
from tests.e2e.payment.test_refunds import new_lease, paid, paid_off, payments
from tests.support.oracles.invariants import check
from tests.support.system.client import Client
from tests.support.system.system import System
from tests.support.waiting import eventually

NOW = "2026-01-01T00:00:00.000000Z"


async def tell(system: System, client: Client, **notice: Any) -> dict[str, Any]:
    """Publish a notice as the gateway's webhook does, and give what became of the command."""
    command_id = uuid7()
    command = {"command_id": command_id, "type": "RecordChargeback", "submitted_at": NOW, "data": notice}
    connection = await system.broker()
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        target = await channel.get_exchange("commands", ensure=False)
        message = aio_pika.Message(msgspec.json.encode(command), message_id=command_id)
        await target.publish(message, "payment.commands")

    async def outcome() -> dict[str, Any] | None:
        found: dict[str, Any] = (await client.payments.get(f"/api/v1/commands/{command_id}")).json
        return found if found["status"] != "pending" else None

    done = await eventually(outcome, "the chargeback is carried out")
    assert done is not None
    return done


def dispute() -> str:
    return f"dp_{uuid.uuid4()}"


async def test_a_chargeback(client: Client, system: System) -> None:
    """Named by the charge's reference alone, it re-opens the lease; told of five times, once."""
    lease = await new_lease(client)
    attempts = [await paid(client, row) for row in lease["schedule"]]
    notice = {
        "notice_id": dispute(),
        "gateway_reference": attempts[2]["gateway_reference"],
        "amount": 2500,
        "reason": "fraudulent",
    }
    outcomes = await asyncio.gather(*(tell(system, client, **notice) for _ in range(5)))
    assert {each["http_status"] for each in outcomes} == {201}
    [attempt_id] = {each["outcome"]["attempt_id"] for each in outcomes}
    attempt = (await client.payments.get(f"/api/v1/attempts/{attempt_id}")).json
    assert (attempt["kind"], attempt["status"], attempt["amount"]) == ("chargeback", "succeeded", 2500)
    assert (attempt["refunds"], attempt["reason"]) == (attempts[2]["attempt_id"], "fraudulent")
    await check(system, client)
    after = (await client.leases.get(f"/api/v1/leases/{lease['lease_id']}")).json
    assert (after["status"], after["balance"]) == ("active", 2500)
    trail = (await client.ledger.get(f"/api/v1/audit/leases/{lease['lease_id']}?limit=200")).json["items"]
    assert [each["type"] for each in trail].count("payment.charged_back") == 1
    [reopened] = [each["data"] for each in trail if each["type"] == "lease.reopened"]
    assert (reopened["cause"], reopened["attempt_id"]) == ("chargeback", attempt_id)


async def test_refund_and_chargeback_of_one_charge(client: Client, system: System) -> None:
    """Together never more than was collected; one of a payoff, too."""
    lease = await new_lease(client)
    attempt = await paid_off(client, lease)
    assert (await client.refund(attempt["attempt_id"], 1000)).status == 201
    left = attempt["amount"] - 1000
    notice = {"attempt_id": attempt["attempt_id"], "reason": "duplicate"}
    too_much = await tell(system, client, **notice, notice_id=dispute(), amount=left + 1)
    assert (too_much["status"], too_much["http_status"]) == ("rejected", 422)
    whole = await tell(system, client, **notice, notice_id=dispute(), amount=left)
    assert whole["http_status"] == 201
    assert {each["status"] for each in await payments(client, lease)} == {"scheduled"}
    assert (await client.refund(attempt["attempt_id"])).status == 409
    await check(system, client)
    after = (await client.leases.get(f"/api/v1/leases/{lease['lease_id']}")).json
    assert (after["balance"], after["amount_paid"]) == (lease["balance"], 0)


async def test_a_chargeback_of_nothing(client: Client, system: System) -> None:
    """A charge nobody knows is 404, one of a declined attempt 409; nothing moves."""
    lease = await new_lease(client)
    unknown = await tell(
        system, client, notice_id=dispute(), gateway_reference="ch_none", amount=1, reason="fraudulent"
    )
    assert unknown["http_status"] == 404
    declined = await client.attempt(lease["schedule"][0]["payment_id"], "pm_card_lost")
    refused = await tell(
        system,
        client,
        notice_id=dispute(),
        attempt_id=declined.json["attempt_id"],
        amount=1,
        reason="fraudulent",
    )
    assert refused["http_status"] == 409
