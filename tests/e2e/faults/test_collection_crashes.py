"""Workers that are killed in the middle of a run, and workers that share one: the end is the same."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any

from deployment import credentials, database_setup
from deployment.roles import PROJECT
from tests.support.oracles.invariants import check
from tests.support.system.client import Client
from tests.support.system.collections import COUNTS, falls_due, run
from tests.support.system.system import System
from tests.support.waiting import eventually, on_lanes

LEASES = 2_000
# Of ten leases: what autopay charges; None: no autopay. None of these ends depends on the time it takes.
METHODS = ("pm_card_ok",) * 5 + ("pm_card_insufficient_funds", "pm_card_lost", "pm_card_ok", None, None)
GRACE = {"grace_days": 3, "amount": 700}
ATTEMPTS = "SELECT count(*) FROM payment.attempts WHERE as_of = $1"


async def _population(client: Client, due: date, count: int) -> list[dict[str, Any]]:
    """Leases due on a day; every fourth fell due ten days before: without autopay it has a late fee."""
    return await on_lanes(
        40,
        [
            lambda number=number: falls_due(  # type: ignore[misc]
                client,
                due - timedelta(days=0 if number % 4 else 10),
                METHODS[number % len(METHODS)],
                late_fee=GRACE,
            )
            for number in range(count)
        ],
    )


async def _charged_once_each(system: System, as_of: date) -> None:
    """No instalment has two attempts of a run."""
    query = "SELECT payment_id FROM payment.attempts WHERE as_of = $1 GROUP BY payment_id HAVING count(*) > 1"
    assert await system.rows(query, as_of) == []


async def test_killed_in_the_middle_of_a_run(collections: System, client_of_collections: Client) -> None:
    """Of two equal populations one is collected in peace, the other while the worker is ended three times."""
    client, in_peace, disturbed = client_of_collections, date(2050, 3, 1), date(2051, 3, 1)
    await _population(client, in_peace, LEASES)
    expected = await run(client, in_peace)
    assert expected["attempted"] == LEASES * 8 // 10
    assert expected["late_fees"] == expected["delinquent"] == LEASES // 4 // 5
    for day in (40, 41, 42):  # the retries that are left have no part in what follows
        await run(client, in_peace + timedelta(days=day))
    await _population(client, disturbed, LEASES)

    async def end_at(marks: dict[int, signal.Signals]) -> None:
        for mark, number in marks.items():

            async def reached(mark: int = mark) -> bool:
                return bool(await collections.value(ATTEMPTS, disturbed) >= mark)

            await eventually(reached, f"{mark} attempts", within_s=60)
            pid = await collections.kill("payment-worker", number)
            await collections.ended("payment-worker", pid, within_s=30)

    marks = {100: signal.SIGKILL, 600: signal.SIGTERM, 1_200: signal.SIGKILL}
    done, _ = await asyncio.gather(run(client, disturbed), end_at(marks))
    assert {name: done[name] for name in COUNTS} == {name: expected[name] for name in COUNTS}
    assert done["leases"] == LEASES
    await _charged_once_each(collections, disturbed)
    await check(collections, client)


async def test_two_workers_share_a_run(collections: System, client_of_collections: Client) -> None:
    """With a second worker that is killed on the way, each lease is still worked through once."""
    client, due = client_of_collections, date(2053, 3, 1)
    for day in (-42, -41, -40):  # the retries that others have left have no part in this
        await run(client, due + timedelta(days=day))
    await _population(client, due, 1_000)
    async with _another_worker(collections) as other:

        async def kill() -> None:
            async def reached() -> bool:
                return bool(await collections.value(ATTEMPTS, due) >= 400)

            await eventually(reached, "400 attempts", within_s=60)
            other.kill()

        done, _ = await asyncio.gather(run(client, due), kill())
    assert (done["leases"], done["attempted"], done["late_fees"]) == (1_000, 800, 50)
    assert done["succeeded"] + done["declined"] == 800
    await _charged_once_each(collections, due)
    await check(collections, client)


@asynccontextmanager
async def _another_worker(system: System) -> AsyncIterator[asyncio.subprocess.Process]:
    addresses, passwords = system.stack.addresses, credentials.load_or_create(system.stack.layout.real).roles
    environment = os.environ | {
        "AMQP_URL": addresses.amqp,
        "DATABASE_URL": database_setup.role_url(addresses.database, "payment_svc", passwords["payment_svc"]),
        "GATEWAY_URL": system.url("gateway"),
        "COLLECTIONS_AT": "never",
        "GATEWAY_TIMEOUT_S": "2",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "payment_svc", "worker"),
        cwd=PROJECT,
        env=environment,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.sleep(2)  # it says nowhere that it has begun
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_lease_that_fails_hurts_no_other(collections: System, client_of_collections: Client) -> None:
    """With one lease that cannot be decided on, the run collects all others and completes."""
    client, due = client_of_collections, date(2055, 3, 1)
    for day in (-42, -41, -40):
        await run(client, due + timedelta(days=day))
    others = await _population(client, due, 30)
    broken = others.pop(8)  # late beyond the grace, and without autopay
    spoil = "UPDATE payment.accounts SET grace_days = $2 WHERE lease_id = $1"
    await collections.rows(spoil, broken["lease_id"], 2_000_000_000)
    done = await run(client, due)
    assert (done["leases"], done["attempted"]) == (len(others), 24)
    await collections.rows(spoil, broken["lease_id"], 3)
    assert (await run(client, due + timedelta(days=1)))["late_fees"] == 1
    await check(collections, client)
