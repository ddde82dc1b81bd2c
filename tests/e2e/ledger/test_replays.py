"""Leases through everything that can happen to them; then all is read again, and comes out the same."""

import asyncio
import os
import sys
from datetime import date, timedelta
from typing import Any

import msgspec

from tests.support.builders.lease_terms import terms, today
from tests.support.oracles.invariants import check
from tests.support.system.client import Client
from tests.support.system.collections import falls_due, run
from tests.support.system.system import System

WHY = {"reason": "returned unused"}
LATE_FEE = {"grace_days": 2, "amount": 1500}
DUE = date(2044, 3, 1)


async def _new(client: Client, **changes: Any) -> tuple[str, list[str]]:
    """A lease that has reached the payment service: its address and its payments' ids."""
    lease, answer = await client.create(terms(**changes))
    url = f"/api/v1/leases/{lease['lease_id']}"
    assert (await client.payments.get(f"{url}/payments", **answer.token)).status == 200
    return url, [row["payment_id"] for row in lease["schedule"]]


async def _paid_in_parts_and_given_back(client: Client) -> None:
    _, payments = await _new(client)
    assert (await client.attempt(payments[0], "pm_card_insufficient_funds")).status == 402
    assert (await client.attempt(payments[0], "pm_gateway_down")).status == 502
    assert (await client.attempt(payments[0], amount=5_000)).status == 201
    for payment in payments:
        paid = await client.attempt(payment)
    assert (await client.refund(paid.json["attempt_id"], 3_000)).status == 201
    assert (await client.refund(paid.json["attempt_id"])).status == 201
    assert (await client.attempt(payments[-1], "pm_timeout_then_ok")).status == 202


async def _paid_off_as_quoted_and_charged_back(client: Client) -> None:
    url, payments = await _new(client)
    assert (await client.attempt(payments[0])).status == 201
    quote = await client.payments.post(f"{url}/payoff-quotes", {"as_of": str(today())})
    for method, status in (("pm_card_lost", 402), ("pm_card_ok", 201)):
        asked = {"payment_method": method, "quote_id": quote.json["quote_id"]}
        payoff = await client.payments.post(f"{url}/payoff", asked)
        assert payoff.status == status
    charge = (await client.charges(attempt_id=payoff.json["attempt_id"]))[0]
    assert await client.dispute(charge["charge_id"], charge["amount"] // 2) in (200, 201, 202)


async def _closed(client: Client) -> None:
    url, _ = await _new(client)
    assert (await client.leases.post(f"{url}/cancel", WHY)).status == 200
    url, payments = await _new(client)
    assert (await client.attempt(payments[0])).status == 201
    assert (await client.attempt(payments[1], "pm_timeout_then_ok")).status == 202  # ends when it is closed
    assert (await client.leases.post(f"{url}/charge-off", WHY)).status == 200


async def _collected(client: Client) -> None:
    for method in ("pm_card_ok", "pm_card_insufficient_funds", None):
        await falls_due(client, DUE, method, late_fee=LATE_FEE)
    for days in (0, 3, 4):
        await run(client, DUE + timedelta(days=days))


async def _read_again(system: System, *command: str) -> Any:
    """`python -m …` with the owner's addresses: its report. AssertionError where it found anything."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command, "--json"),
        env=os.environ | system.stack.addresses.exports(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, said = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, (command, output.decode(), said.decode())
    report = msgspec.json.decode(output)
    assert report["same"], report
    return report


async def test_everything_comes_out_the_same(collections: System, client_of_collections: Client) -> None:
    """The ledger and both projections, built from the stream, are the live ones; the second ledger works."""
    client = client_of_collections
    await asyncio.gather(
        _paid_in_parts_and_given_back(client),
        _paid_off_as_quoted_and_charged_back(client),
        _closed(client),
        _collected(client),
    )
    await check(collections, client)
    verified, leases, payments = await asyncio.gather(
        _read_again(collections, "ledger_svc", "replay", "verify"),
        _read_again(collections, "lease_svc", "rebuild"),
        _read_again(collections, "payment_svc", "rebuild"),
    )
    entries = await collections.value("SELECT count(*) FROM ledger.entries")
    assert verified["entries"] == verified["tree_size"] == entries
    total = await collections.value("SELECT count(*) FROM lease.leases")
    assert leases["leases"] == payments["leases"] == total
    assert leases["not_compared"] == payments["not_compared"] == 0
    rows = {table["table"]: table["rows"] for table in [*leases["tables"], *payments["tables"]]}
    assert rows["attempts"] == await collections.value("SELECT count(*) FROM payment.attempts")
    assert rows["quotes"] > 0
    rebuilt = await _read_again(collections, "ledger_svc", "replay", "rebuild", "--switch")
    assert rebuilt["switched"]
    _, paid = await _new(client)
    assert (await client.attempt(paid[0])).status == 201
    await check(collections, client)
