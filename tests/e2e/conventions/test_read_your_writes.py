"""Consistency-Token: who has written reads it, on whichever service."""

import asyncio
import base64

import pytest

from tests.support.builders.lease_terms import terms
from tests.support.system.client import Client

LEASES = 100


async def test_new_lease_is_everywhere(client: Client) -> None:
    """Right after a lease is made, by a hundred at once, no service denies it to who shows the token."""

    async def one() -> None:
        lease, answer = await client.create(terms())
        url = f"/leases/{lease['lease_id']}"
        payments, trail = await asyncio.gather(
            client.payments.get(f"/api/v1{url}/payments", **answer.token),
            client.ledger.get(f"/api/v1/audit{url}", **answer.token),
        )
        assert (payments.status, trail.status) == (200, 200)
        assert [payment["payment_id"] for payment in payments.json["items"]] == [
            row["payment_id"] for row in lease["schedule"]
        ]
        assert [entry["type"] for entry in trail.json["items"]] == ["lease.created"]

    await asyncio.gather(*(one() for _ in range(LEASES)))


async def test_payment_is_everywhere(client: Client) -> None:
    """Right after an attempt, paid or declined, the lease's balance and the ledger show it."""

    async def one(number: int) -> None:
        lease, created = await client.create(terms())
        url = f"/leases/{lease['lease_id']}"
        await client.payments.get(f"/api/v1{url}/payments", **created.token)
        method = "pm_card_lost" if number % 4 == 0 else "pm_card_ok"
        answer = await client.attempt(lease["schedule"][0]["payment_id"], method, amount=100)
        read, trail = await asyncio.gather(
            client.leases.get(f"/api/v1{url}", **answer.token),
            client.ledger.get(f"/api/v1/audit{url}", **answer.token),
        )
        paid, last = (0, "payment.declined") if number % 4 == 0 else (100, "payment.succeeded")
        assert (read.status, read.json["balance"]) == (200, lease["balance"] - paid)
        assert trail.json["items"][-1]["type"] == last

    await asyncio.gather(*(one(number) for number in range(LEASES)))


async def test_attempt_without_reading_first(client: Client) -> None:
    """A payment of a lease just made can be paid at once: its id was in the answer."""

    async def one() -> None:
        lease, _ = await client.create(terms())
        assert (await client.attempt(lease["schedule"][0]["payment_id"])).status == 201

    await asyncio.gather(*(one() for _ in range(30)))


@pytest.mark.parametrize("service", ["leases", "payments", "ledger"])
async def test_token_that_is_none(client: Client, service: str) -> None:
    """A token that nobody gave is refused by every service, whatever it looks like."""
    lease, created = await client.create(terms())
    paths = {
        "leases": f"/api/v1/leases/{lease['lease_id']}",
        "payments": f"/api/v1/leases/{lease['lease_id']}/payments",
        "ledger": f"/api/v1/audit/leases/{lease['lease_id']}",
    }
    good = created.headers["Consistency-Token"]
    beyond = _token(f"/lease-svc:9999999999:{lease['lease_id']}")
    for token in ("garbage", "", "=", good[:-2], good + "AAAA", "%00", "A" * 5000, "schlüssel", beyond):
        answer = await getattr(client, service).get(paths[service], Consistency_Token=token)
        assert answer.status == 422, token


@pytest.mark.parametrize(
    ("service", "source"), [("payments", "lease"), ("ledger", "lease"), ("leases", "payment")]
)
async def test_token_of_the_future(client: Client, service: str, source: str) -> None:
    """What has not caught up by then is 503 with Retry-After, after the time the client wants to wait."""
    lease, created = await client.create(terms())
    paths = {
        "leases": f"/api/v1/leases/{lease['lease_id']}",
        "payments": f"/api/v1/leases/{lease['lease_id']}/payments",
        "ledger": f"/api/v1/audit/leases/{lease['lease_id']}",
    }
    await getattr(client, service).get(paths[service], **created.token)
    future = _token(f"/{source}-svc:1000000:{lease['lease_id']}")
    loop = asyncio.get_running_loop()
    for wait_s in (0, 1):
        began = loop.time()
        headers = {"Consistency-Token": future, "Prefer": f"wait={wait_s}"}
        answer = await getattr(client, service).get(paths[service], **headers)
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        assert wait_s - 0.1 <= loop.time() - began < wait_s + 1


def _token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
