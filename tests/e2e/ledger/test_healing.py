"""The stream is lost under load, with what was in it: the ledger finds out, asks, and is complete."""

import asyncio
import json
import os
import sys
from typing import Any

from common.messaging.topology import LEDGER_STREAM
from tests.support.oracles.invariants import check, come_to_rest
from tests.support.system.background_load import Load
from tests.support.system.client import Client
from tests.support.system.system import System
from tests.support.waiting import eventually

ANOMALIES = "/api/v1/audit/anomalies?limit=200"


async def test_the_stream_is_lost_under_load(collections: System, client_of_collections: Client) -> None:
    """Deleted while leases are made and paid: every event is recorded once, and the list tells of it."""
    system, client = collections, client_of_collections
    load = Load(client)
    before = await _newest(client)
    async with load.running(), await system.broker() as connection:
        channel = await connection.channel()
        await channel.queue_delete(LEDGER_STREAM)
        await load.flows()
    await come_to_rest(system)  # nothing that was told is missing
    await load.settle(system)
    await check(system, client)

    async def healed() -> list[dict[str, Any]]:
        items = [each for each in await _anomalies(client) if each["anomaly_id"] > before]
        lost = [each for each in items if each["kind"] == "cursor_mismatch"]
        return lost if all(each["status"] == "healed" for each in items) else []

    for each in await eventually(healed, "all is healed", within_s=40):
        assert [note["note"] for note in each["notes"]] == ["ledger and outbox have the same events"]
    generation = await system.value("SELECT max(generation) FROM ledger.batches")
    assert generation > 1


async def test_an_operator_compares_everything(collections: System, client_of_collections: Client) -> None:
    """After a load of every kind: each entry is its producer's, and nothing is missing."""
    system, client = collections, client_of_collections
    load = Load(client)
    async with load.running():
        await load.flows()
    await load.settle(system)
    await come_to_rest(system)
    addresses = system.stack.addresses
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ledger_svc", "reconcile", "--json"),
        env={**os.environ, "DATABASE_URL": addresses.database, "AMQP_URL": addresses.amqp},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line for line in lines if "difference" in line] == []
    summary = lines[-1]["summary"]
    told = await system.rows("SELECT source, count(*) FROM ledger.entries GROUP BY source ORDER BY source")
    assert process.returncode == summary["differences"] == 0
    assert {each["source"]: each["entries_compared"] for each in summary["sources"]} == {
        row["source"]: row["count"] for row in told
    }


async def _anomalies(client: Client) -> list[dict[str, Any]]:
    answer = await client.ledger.get(ANOMALIES)
    assert answer.status == 200
    items: list[dict[str, Any]] = answer.json["items"]
    return items


async def _newest(client: Client) -> int:
    return max((each["anomaly_id"] for each in await _anomalies(client)), default=0)
