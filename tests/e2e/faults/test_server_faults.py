"""Broker and database restarted and killed under load: nothing confirmed is lost, all recovers by itself."""

import asyncio

from tests.support.builders.lease_terms import terms
from tests.support.oracles.invariants import check, come_to_rest
from tests.support.system.background_load import Load
from tests.support.system.client import Client, Fate
from tests.support.system.system import System


def _no_broken_connection(client: Client) -> None:
    """The fronts themselves were up all the time: every command has an answer."""
    for command in (*client.leases.sent, *client.payments.sent):
        assert 0 not in command.statuses, command


async def test_broker_stopped_and_started(system: System, client: Client) -> None:
    """While the broker is down commands get 503 with Retry-After, reads go on; then all goes on by itself."""
    load = Load(client)
    async with load.running():
        await asyncio.to_thread(system.stack.stop_program, "rabbitmq")
        before = client.leases.sent[0].answer
        assert before is not None
        loop = asyncio.get_running_loop()
        began = loop.time()
        refused = await client.leases.send("/api/v1/leases", terms())
        assert (refused.statuses, refused.fate) == ([503], Fate.UNKNOWN)
        assert loop.time() - began < 8
        for front in (client.leases, client.payments, client.ledger):
            health = await front.get("/health")
            assert health.status == 503
            assert health.json["checks"]["postgres"] == "ok"
            assert health.json["checks"]["rabbitmq"] != "ok"
            assert (await front.get("/livez")).status == 200
        assert (await client.leases.get("/api/v1/leases?limit=1")).status == 200
        await asyncio.to_thread(system.stack.start_program, "rabbitmq")
        await load.flows()
    client.leases.sent.remove(refused)  # it had no key: nobody can send it again
    await come_to_rest(system)
    _no_broken_connection(client)
    await load.settle(system)
    await check(system, client)


async def test_broker_killed(system: System, client: Client) -> None:
    """A broker killed under load comes back with everything it had confirmed."""
    load = Load(client)
    async with load.running():
        pid = await system.kill("rabbitmq")
        await system.back("rabbitmq", pid)
        await load.flows()
    await come_to_rest(system)
    _no_broken_connection(client)
    await load.settle(system)
    await check(system, client)


async def test_database_killed(system: System, client: Client) -> None:
    """A database killed under load loses nothing; commands taken meanwhile are carried out after it."""
    load = Load(client)
    async with load.running():
        for _ in range(2):
            pid = await system.kill("postgres")
            await system.back("postgres", pid)
            await load.flows()
    await come_to_rest(system)
    _no_broken_connection(client)
    await load.settle(system)
    await check(system, client)


async def test_database_backends_killed(system: System, client: Client) -> None:
    """A session of each service killed in turn throws everybody out of the database, and nothing is lost."""
    load = Load(client)
    async with load.running():
        for role in ("lease_svc", "payment_svc", "ledger_writer"):
            await system.kill_backend(role)
            await load.flows()
    await come_to_rest(system)
    _no_broken_connection(client)
    await load.settle(system)
    await check(system, client)
