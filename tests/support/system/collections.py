"""Leases that fall due when a test wants it, and runs of collections over them."""

import asyncio
from datetime import date, timedelta
from typing import Any

from tests.support.builders.lease_terms import terms
from tests.support.system.client import Client

RUN = "/api/v1/collections/run"
COUNTS = ("due", "attempted", "succeeded", "declined", "unknown", "late_fees", "delinquent", "cured")


async def falls_due(client: Client, due: date, method: str | None, **changes: Any) -> dict[str, Any]:
    """A lease of one instalment due on a day, on autopay with `method` if it has one, known everywhere."""
    given = {
        "principal": 10_000,
        "annual_rate": "0",
        "term": 1,
        "start_date": str(due - timedelta(days=30)),
        "first_due_date": str(due),
        "autopay": method is not None,
        "payment_method": method,
    }
    lease, answer = await client.create(terms(**(given | changes)))
    url = f"/api/v1/leases/{lease['lease_id']}/payments"
    assert (await client.payments.get(url, **answer.token)).status == 200
    return lease


async def run(client: Client, as_of: date, **headers: str) -> dict[str, Any]:
    """What a completed run answers; it may be of a day to come."""
    answer = await client.payments.post(RUN, {"as_of": str(as_of), "allow_future": True}, **headers)
    body: dict[str, Any] = answer.json
    if answer.status == 202:
        body = (await client.payments.outcome(answer, within_s=120))["outcome"]
    else:
        assert answer.status == 200, answer
        assert answer.headers["Location"] == f"/api/v1/collections/runs/{body['run_id']}"
    assert body["as_of"] == str(as_of)
    return body


def counts(body: dict[str, Any]) -> dict[str, int]:
    """What was done, without the zeros."""
    return {name: body[name] for name in COUNTS if body[name]}


async def payment(client: Client, lease: dict[str, Any], number: int = 1) -> dict[str, Any]:
    """An instalment as it stands."""
    answer = await client.payments.get(f"/api/v1/payments/{lease['schedule'][number - 1]['payment_id']}")
    body: dict[str, Any] = answer.json
    return body


async def told(client: Client, lease: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The ledger's entries of a lease, once there are so many."""
    async with asyncio.timeout(20):
        while True:
            url = f"/api/v1/audit/leases/{lease['lease_id']}?limit=200"
            answer = await client.ledger.get(url)
            items: list[dict[str, Any]] = answer.json["items"] if answer.status == 200 else []
            if len(items) >= count:
                return items
            await asyncio.sleep(0.05)
