"""SIGTERM: every process finishes what it has begun and leaves in time, also when there is work."""

import asyncio
import signal

from deployment.roles import SERVICES
from tests.support.builders.lease_terms import terms
from tests.support.oracles.invariants import check, check_creations, come_to_rest
from tests.support.system.background_load import Load
from tests.support.system.client import Client
from tests.support.system.lost_charges import turn_up
from tests.support.system.system import System
from tests.support.waiting import eventually

EXIT_S = 10.0


async def test_each_service_in_turn_under_load(system: System, client: Client) -> None:
    """Each process exits within 10 s with status 0; nothing that was confirmed before or since is lost."""
    load = Load(client)
    async with load.running():
        for name in (service.name for service in SERVICES):
            pid = await system.kill(name, signal.SIGTERM)
            assert await system.ended(name, pid, EXIT_S) == "exit status 0"
            await system.back(name, pid)
            await load.flows()
    await turn_up(system, client)
    await come_to_rest(system)
    await load.settle(system, also={502})  # the gateway was away, too
    await check(system, client)


async def test_worker_stopped_while_the_gateway_is_silent(system: System, client: Client) -> None:
    """A payment worker told to stop while the gateway keeps it waiting exits in time, and all is settled."""
    lease, created = await client.create(terms())
    await client.payments.get(f"/api/v1/leases/{lease['lease_id']}/payments", **created.token)
    payment_id = lease["schedule"][0]["payment_id"]
    attempt = asyncio.create_task(client.attempt(payment_id, "pm_timeout_then_ok"))

    async def charged() -> bool:
        return len(await client.charges(payment_id=payment_id)) == 1

    await eventually(charged, "the gateway has the charge")
    pid = await system.kill("payment-worker", signal.SIGTERM)
    assert await system.ended("payment-worker", pid, EXIT_S) == "exit status 0"
    await system.back("payment-worker", pid)
    assert (await attempt).status in (201, 202)
    await check(system, client)
    assert len(await client.charges(payment_id=payment_id)) == 1
    assert (await client.payments.get(f"/api/v1/payments/{payment_id}")).json["status"] == "paid"


async def test_front_stopped_with_requests_in_hand(system: System, client: Client) -> None:
    """A front told to stop answers the requests it has taken, with the outcome or a promise of it."""
    await system.kill("lease-worker", signal.SIGSTOP)
    try:
        asked = [asyncio.create_task(client.leases.send("/api/v1/leases", terms())) for _ in range(20)]
        # Sent after them, and answered as soon as it is safe: by then the front has taken the others.
        last = await client.leases.send("/api/v1/leases", terms(), Prefer="respond-async")
        assert last.statuses == [202]
        front = await system.kill("lease-api", signal.SIGTERM)
    finally:
        await system.kill("lease-worker", signal.SIGCONT)
    await asyncio.gather(*asked)
    assert await system.ended("lease-api", front, EXIT_S) == "exit status 0"
    await system.back("lease-api", front)
    assert {status for command in client.leases.sent for status in command.statuses} <= {201, 202}
    await check(system, client)
    await check_creations(system, client.leases.sent)
