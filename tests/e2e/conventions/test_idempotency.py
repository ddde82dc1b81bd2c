"""Idempotency-Key: the first answer again, however often, from whomever, also after a crash."""

import asyncio
from typing import Any

import pytest

from tests.support.builders.lease_terms import customer, terms
from tests.support.system.client import Answer, Client, fresh_key
from tests.support.system.system import System

REPLAYED = "Idempotency-Replayed"


async def _payable(client: Client) -> str:
    """Path of a new payment's attempts that the payment service knows."""
    lease, answer = await client.create(terms())
    await client.payments.get(f"/api/v1/leases/{lease['lease_id']}/payments", **answer.token)
    return f"/api/v1/payments/{lease['schedule'][0]['payment_id']}/attempt"


def _same(answers: list[Answer]) -> Answer:
    """The one answer that all of them are; at most one of them may not be marked as replayed."""
    assert len({(answer.status, answer.body) for answer in answers}) == 1
    assert [answer.headers.get(REPLAYED) for answer in answers].count(None) <= 1
    for name in ("Location", "Consistency-Token"):
        assert len({answer.headers.get(name) for answer in answers}) == 1
    return answers[0]


async def test_fifty_at_once(client: Client) -> None:
    """Fifty at once with one key make one lease, with one answer for all, 49 of them marked as replayed."""
    whose, key = customer(), fresh_key()
    body = terms(customer_id=whose)
    answers = await asyncio.gather(
        *(client.leases.post("/api/v1/leases", body, Idempotency_Key=key) for _ in range(50))
    )
    first = _same(answers)
    assert first.status == 201
    assert [answer.headers.get(REPLAYED) for answer in answers].count("true") == 49
    listed = (await client.leases.get(f"/api/v1/leases?customer_id={whose}")).json["items"]
    assert [each["lease_id"] for each in listed] == [first.json["lease_id"]]


async def test_fifty_payments_at_once(client: Client) -> None:
    """Fifty attempts at once with one key are one attempt, and one charge at the gateway."""
    url, key = await _payable(client), fresh_key()
    body = {"payment_method": "pm_card_ok"}
    answers = await asyncio.gather(*(client.payments.post(url, body, Idempotency_Key=key) for _ in range(50)))
    assert _same(answers).status == 201
    assert [answer.headers.get(REPLAYED) for answer in answers].count("true") == 49
    [charge] = await client.charges(payment_id=url.split("/")[4])
    assert charge["idempotency_key"] == answers[0].json["attempt_id"]


async def test_same_key_asynchronously_and_not(client: Client) -> None:
    """A duplicate that does not wait gets the first one's command, and the outcome when there is one."""
    key, body = fresh_key(), terms()
    headers = {"Idempotency-Key": key, "Prefer": "respond-async"}
    answers = await asyncio.gather(
        *(client.leases.post("/api/v1/leases", body, **headers) for _ in range(10)),
        *(client.leases.post("/api/v1/leases", body, Idempotency_Key=key) for _ in range(10)),
    )
    made = {answer.body for answer in answers if answer.status == 201}
    promised = {answer.json["resource_url"] for answer in answers if answer.status == 202}
    assert len(made) == 1
    lease_id = next(answer.json for answer in answers if answer.status == 201)["lease_id"]
    for answer in answers:
        if answer.status == 202:
            assert (await client.leases.outcome(answer))["outcome"]["lease_id"] == lease_id
    assert promised <= {f"/api/v1/leases/{lease_id}"}
    later = await client.leases.post("/api/v1/leases", body, **headers)
    assert (later.status, later.headers[REPLAYED]) == (201, "true")
    assert later.body in made


@pytest.mark.parametrize(
    ("method", "amount", "status"),
    [("pm_card_insufficient_funds", None, 402), ("pm_card_ok", 10**9, 422), ("pm_gateway_down", None, 502)],
)
async def test_refusals_are_replayed(client: Client, method: str, amount: int | None, status: int) -> None:
    """What was declined, refused or not attempted stays so under its key; another key tries anew."""
    url, key = await _payable(client), fresh_key()
    body: dict[str, Any] = {"payment_method": method, "amount": amount}
    answers = [await client.payments.post(url, body, Idempotency_Key=key) for _ in range(3)]
    assert _same(answers).status == status
    payment = (await client.payments.get(url.removesuffix("/attempt"))).json
    assert payment["attempts"] == (0 if status == 422 else 1)
    anew = await client.payments.post(url, {"payment_method": "pm_card_ok"}, Idempotency_Key=fresh_key())
    assert anew.status == 201
    assert (await client.payments.post(url, body, Idempotency_Key=key)).body == answers[0].body


async def test_conflicts_are_replayed(client: Client) -> None:
    """409 under a key stays 409, and so does the 422 of terms that give no schedule."""
    url = await _payable(client)
    body = {"payment_method": "pm_card_ok"}
    await client.payments.post(url, body)
    key = fresh_key()
    assert _same([await client.payments.post(url, body, Idempotency_Key=key) for _ in range(3)]).status == 409
    key, hopeless = fresh_key(), terms(principal=10, term=500, annual_rate="5")
    refused = [await client.leases.post("/api/v1/leases", hopeless, Idempotency_Key=key) for _ in range(3)]
    assert _same(refused).status == 422
    assert [error["pointer"] for error in refused[0].json["errors"]] == ["/term"]


async def test_key_with_another_request(client: Client) -> None:
    """The key with another body or at another path is 422, at once and later, and changes nothing."""
    whose, key = customer(), fresh_key()
    body = terms(customer_id=whose)
    first, other = await asyncio.gather(
        client.leases.post("/api/v1/leases", body, Idempotency_Key=key),
        client.leases.post("/api/v1/leases", {**body, "principal": 70000}, Idempotency_Key=key),
    )
    assert sorted((first.status, other.status)) == [201, 422]
    kept = body if first.status == 201 else {**body, "principal": 70000}
    later = await client.leases.post("/api/v1/leases", {**kept, "term": 4}, Idempotency_Key=key)
    assert later.status == 422
    reordered = dict(reversed(kept.items()))
    again = await client.leases.post("/api/v1/leases", reordered, Idempotency_Key=key)
    assert (again.status, again.headers[REPLAYED]) == (201, "true")
    assert len((await client.leases.get(f"/api/v1/leases?customer_id={whose}")).json["items"]) == 1
    one, two = await _payable(client), await _payable(client)
    paying = {"payment_method": "pm_card_ok"}
    assert (await client.payments.post(one, paying, Idempotency_Key=key)).status == 201
    assert (await client.payments.post(two, paying, Idempotency_Key=key)).status == 422


@pytest.mark.parametrize("key", ["k" * 256, "schlüssel", ""], ids=["too long", "not ASCII", "empty"])
async def test_keys_that_are_none(client: Client, key: str) -> None:
    """A key of 256 characters, of none, or beyond ASCII is 422, and nothing is made."""
    whose = customer()
    answer = await client.leases.post("/api/v1/leases", terms(customer_id=whose), Idempotency_Key=key)
    assert answer.status == 422
    assert [error["pointer"] for error in answer.json["errors"]] == ["/Idempotency-Key"]
    assert (await client.leases.get(f"/api/v1/leases?customer_id={whose}")).json["items"] == []


async def test_longest_key(client: Client) -> None:
    """A key of 255 printable characters, spaces inside included, is taken and replayed."""
    key = ("~ !" * 85)[:254] + "!"
    body = terms()
    answers = [await client.leases.post("/api/v1/leases", body, Idempotency_Key=key) for _ in range(2)]
    assert _same(answers).status == 201


async def test_after_a_crash_of_the_front(client: Client, system: System) -> None:
    """A front killed and started again gives the same answers; a command it was waiting for is not lost."""
    key, body = fresh_key(), terms()
    first = await client.leases.post("/api/v1/leases", body, Idempotency_Key=key)
    whose = [customer() for _ in range(20)]
    sent = [
        asyncio.create_task(client.leases.send("/api/v1/leases", terms(customer_id=each), fresh_key()))
        for each in whose
    ]
    await asyncio.sleep(0)
    pid = await system.kill("lease-api")
    await asyncio.gather(*sent)
    await system.back("lease-api", pid)
    again = await client.leases.post("/api/v1/leases", body, Idempotency_Key=key)
    assert (again.status, again.body, again.headers[REPLAYED]) == (201, first.body, "true")
    for command in client.leases.sent:
        await client.leases.until_known(command)
        listed = await client.leases.get(f"/api/v1/leases?customer_id={command.body['customer_id']}")
        assert len(listed.json["items"]) == 1
