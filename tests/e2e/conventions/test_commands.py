"""Commands over HTTP: waiting for the outcome, not waiting, and asking for it later."""

import asyncio
import time
import uuid

from common.kernel.ids import uuid7
from tests.support.builders.lease_terms import terms
from tests.support.system.client import Client


async def test_synchronous_by_default(client: Client) -> None:
    """Without a preference the answer is the outcome: 201 with Location and Consistency-Token."""
    lease, answer = await client.create(terms())
    assert answer.headers["Location"].endswith(lease["lease_id"])
    assert answer.headers["Consistency-Token"].isprintable()
    assert "Preference-Applied" not in answer.headers
    assert "Idempotency-Replayed" not in answer.headers


async def test_respond_async(client: Client) -> None:
    """202 at once, `pending` wherever it is asked, then exactly what the synchronous answer would be."""
    answer = await client.leases.post("/api/v1/leases", terms(), Prefer="respond-async")
    assert answer.status == 202
    assert answer.headers["Preference-Applied"] == "respond-async"
    body = answer.json
    assert body["status"] == "pending"
    assert body["status_url"] == answer.headers["Location"] == f"/api/v1/commands/{body['command_id']}"
    status = await client.leases.outcome(answer)
    assert (status["command_id"], status["status"], status["http_status"]) == (
        body["command_id"],
        "succeeded",
        201,
    )
    assert status["submitted_at"] <= status["completed_at"]
    assert status["outcome"] == (await client.leases.get(body["resource_url"])).json
    told = await client.leases.get(body["status_url"])
    read = await client.payments.get(f"{body['resource_url']}/payments", **told.token)
    assert read.status == 200


async def test_respond_async_of_a_rejection(client: Client) -> None:
    """What is declined or refused later is `rejected`, with the problem that the synchronous answer is."""
    lease, created = await client.create(terms())
    await client.payments.get(f"/api/v1/leases/{lease['lease_id']}/payments", **created.token)
    url = f"/api/v1/payments/{lease['schedule'][0]['payment_id']}/attempt"
    later = {"Prefer": "respond-async"}
    declined = await client.payments.post(url, {"payment_method": "pm_card_lost"}, **later)
    status = await client.payments.outcome(declined)
    assert (status["status"], status["http_status"]) == ("rejected", 402)
    attempt = (await client.payments.get(declined.json["resource_url"])).json
    assert status["outcome"]["attempt_id"] == attempt["attempt_id"]
    assert status["outcome"]["decline"] == attempt["decline"]
    too_much = await client.payments.post(url, {"payment_method": "pm_card_ok", "amount": 10**9}, **later)
    assert (await client.payments.outcome(too_much))["http_status"] == 422


async def test_wait_of_no_time(client: Client) -> None:
    """`Prefer: wait=0` answers 201 or 202 at once, and either way the lease is made once."""
    answers = await asyncio.gather(
        *(client.leases.post("/api/v1/leases", terms(), Prefer="wait=0") for _ in range(10))
    )
    assert {answer.status for answer in answers} <= {201, 202}
    assert 202 in {answer.status for answer in answers}
    for answer in answers:
        if answer.status == 202:
            status = await client.leases.outcome(answer)
            assert status["outcome"]["lease_id"] == answer.json["resource_url"].rpartition("/")[2]


async def test_command_nobody_sent(client: Client) -> None:
    """A well-formed young id may still be in a queue: pending. An old one, or no UUIDv7, is 404."""
    for front in (client.leases, client.payments):
        young = await front.get(f"/api/v1/commands/{uuid7()}")
        assert (young.status, young.json["status"], young.json["outcome"]) == (200, "pending", None)
        month_ago_ms = int((time.time() - 30 * 86_400) * 1000)
        digits = f"{month_ago_ms:012x}"
        old = f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"
        for never in (old, str(uuid.uuid4())):
            assert (await front.get(f"/api/v1/commands/{never}")).status == 404


async def test_command_is_known_to_its_service_alone(client: Client) -> None:
    """A confirmed id is never 404 at its service, from the moment of its 202 on."""
    answer = await client.leases.post("/api/v1/leases", terms(), Prefer="respond-async")
    reads = await asyncio.gather(*(client.leases.get(answer.json["status_url"]) for _ in range(20)))
    assert {read.status for read in reads} == {200}
