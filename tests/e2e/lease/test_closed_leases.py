"""Closing a lease before it is paid, over HTTP: nothing more is collected, and all books agree."""

import asyncio
from typing import Any

import pytest

from tests.support.builders.lease_terms import customer, terms
from tests.support.oracles.invariants import check, come_to_rest
from tests.support.system.client import Answer, Client, fresh_key
from tests.support.system.system import System
from tests.support.waiting import eventually

WHY = {"reason": "returned unused"}
HOW = {"cancelled": "cancel", "charged_off": "charge-off"}


async def _new_lease(client: Client, **changes: Any) -> tuple[dict[str, Any], str]:
    """A lease that has reached the payment service, and its address."""
    lease, answer = await client.create(terms(**changes))
    url = f"/api/v1/leases/{lease['lease_id']}"
    assert (await client.payments.get(f"{url}/payments", **answer.token)).status == 200
    return lease, url


async def _payments(client: Client, url: str, **headers: str) -> list[tuple[str, int, int]]:
    """Status, paid and due of each, once the payment service has what the token names."""
    answer = await client.payments.get(f"{url}/payments", **headers)
    assert answer.status == 200
    return [(each["status"], each["amount_paid"], each["amount_due"]) for each in answer.json["items"]]


async def _outstanding(client: Client) -> int:
    amounts = (await client.ledger.get("/api/v1/audit/metrics")).json["amounts"]
    return int(amounts.get("USD", {"outstanding": 0})["outstanding"])


async def test_cancel_an_untouched_lease(client: Client, system: System) -> None:
    """200 with the lease as GET shows it; all three services show it closed, and the ledger says why."""
    await come_to_rest(system)
    before = await _outstanding(client)
    lease, url = await _new_lease(client)
    answer = await client.leases.post(f"{url}/cancel", WHY)
    assert answer.status == 200
    closed = answer.json
    assert (closed["status"], closed["balance"], closed["next_due_date"]) == ("cancelled", 0, None)
    assert (closed["version"], closed["amount_paid"], closed["payments_made"]) == (2, 0, 0)
    assert closed["schedule"] == lease["schedule"]
    assert (await client.leases.get(url)).json == closed
    assert await _payments(client, url, **answer.token) == [("cancelled", 0, 0)] * 3

    history = (await client.leases.get(f"{url}/history")).json["items"]
    assert [
        (each["type"], each["status_before"], each["status_after"], each["balance"]) for each in history
    ] == [
        ("lease.created", None, "active", lease["balance"]),
        ("lease.cancelled", "active", "cancelled", 0),
    ]
    assert history[1]["data"]["reason"] == WHY["reason"]
    trail = f"/api/v1/audit/leases/{lease['lease_id']}"
    recorded = (await client.ledger.get(trail, **answer.token)).json["items"]
    assert recorded[-1]["type"] == "lease.cancelled"
    assert recorded[-1]["data"] == {
        "lease_id": lease["lease_id"],
        "currency": "USD",
        "reason": WHY["reason"],
        "balance": lease["balance"],
        "left": {
            "late_fees": 0,
            "fees": 0,
            "interest": lease["total_interest"],
            "principal": lease["principal"],
        },
        "payment_sequence": 0,
    }
    line = (await client.ledger.get(f"{trail}/timeline")).json["items"][-1]
    assert (line["title"], line["balance_after"]) == ("Lease cancelled", 0)
    state = (await client.ledger.post(f"{trail}/state-at-point", {"seq": recorded[-1]["seq"]})).json["state"]
    assert (state["status"], state["balance"]) == ("cancelled", 0)
    assert {each["status"] for each in state["payments"]} == {"cancelled"}
    state = (await client.ledger.post(f"{trail}/state-at-point", {"seq": recorded[0]["seq"]})).json["state"]
    assert (state["status"], state["balance"]) == ("active", lease["balance"])
    assert await _outstanding(client) == before
    await check(system, client)


@pytest.mark.parametrize("how", HOW)
async def test_nothing_is_collected_on_a_closed_lease(client: Client, how: str) -> None:
    """An attempt, a payoff and another closing are 409 and say why; the gateway hears of none of it."""
    lease, url = await _new_lease(client)
    closed = await client.leases.post(f"{url}/{HOW[how]}", WHY)
    assert (closed.status, closed.json["status"]) == (200, how)
    await _payments(client, url, **closed.token)
    refused = [
        await client.attempt(lease["schedule"][0]["payment_id"]),
        await client.payments.post(f"{url}/payoff", {"payment_method": "pm_card_ok"}),
        await client.leases.post(f"{url}/cancel", WHY),
        await client.leases.post(f"{url}/charge-off", WHY),
    ]
    assert [answer.status for answer in refused] == [409] * 4
    assert all(how.replace("_", " ") in answer.json["detail"] for answer in refused)
    assert await client.charges(lease_id=lease["lease_id"]) == []


async def test_money_collected_cannot_be_cancelled(client: Client, system: System) -> None:
    """After a payment cancelling is 409; charging off keeps what was paid and gives up the rest."""
    await come_to_rest(system)
    before = await _outstanding(client)
    lease, url = await _new_lease(client)
    first, second, _ = lease["schedule"]
    assert (await client.attempt(first["payment_id"])).status == 201
    paid = await client.attempt(second["payment_id"], amount=100)
    amount_paid = first["amount"] + 100
    await client.leases.get(url, **paid.token)
    refused = await client.leases.post(f"{url}/cancel", WHY)
    assert refused.status == 409
    assert "collected" in refused.json["detail"]
    answer = await client.leases.post(f"{url}/charge-off", {"reason": "customer is insolvent"})
    assert answer.status == 200
    closed = answer.json
    assert (closed["status"], closed["balance"], closed["amount_paid"]) == ("charged_off", 0, amount_paid)
    assert (closed["next_due_date"], closed["payments_made"]) == (None, 1)
    assert await _payments(client, url, **answer.token) == [
        ("paid", first["amount"], 0),
        ("cancelled", 100, 0),
        ("cancelled", 0, 0),
    ]
    trail = f"/api/v1/audit/leases/{lease['lease_id']}"
    recorded = (await client.ledger.get(trail, **answer.token)).json["items"][-1]
    assert (recorded["type"], recorded["data"]["amount"]) == (
        "lease.charged_off",
        lease["balance"] - amount_paid,
    )
    assert await _outstanding(client) == before
    await check(system, client)


async def test_paid_off_cannot_be_closed(client: Client) -> None:
    """A lease that is paid off is neither cancelled nor charged off."""
    lease, url = await _new_lease(client, term=1)
    paid = await client.attempt(lease["schedule"][0]["payment_id"])

    async def paid_off() -> bool:
        return bool((await client.leases.get(url, **paid.token)).json["status"] == "paid_off")

    await eventually(paid_off, "it is paid off")
    for way in HOW.values():
        answer = await client.leases.post(f"{url}/{way}", WHY)
        assert (answer.status, "paid off" in answer.json["detail"]) == (409, True)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("method", ["pm_slow", "pm_timeout_then_ok", "pm_timeout_then_declined"])
async def test_closing_with_a_payment_in_flight(
    client: Client, system: System, how: str, method: str
) -> None:
    """What is in flight then ends as the gateway says: money that moved is recorded, and goes back by itself.

    The payment is `processing` until then, and cancelled afterwards.
    """
    await come_to_rest(system)
    before = await _outstanding(client)
    lease, url = await _new_lease(client)
    row = lease["schedule"][0]
    paying = asyncio.create_task(client.attempt(row["payment_id"], method))

    async def processing() -> bool:
        return (await _payments(client, url))[0][0] == "processing"

    await eventually(processing, "the payment is in flight")
    closed = await client.leases.post(f"{url}/{HOW[how]}", WHY)
    assert (closed.status, closed.json["status"]) == (200, how)
    payments = await _payments(client, url, **closed.token)
    assert [status for status, _, _ in payments] == ["processing", "cancelled", "cancelled"]
    answer: Answer = await paying
    assert answer.status == 202  # the gateway took longer than it is waited for, or never answered
    await come_to_rest(system)

    amount = 0 if method.endswith("declined") else row["amount"]
    assert await _payments(client, url) == [("cancelled", 0, 0)] * 3
    read = (await client.leases.get(url)).json
    assert (read["status"], read["balance"], read["amount_paid"]) == (how, 0, 0)
    charges = await client.charges(lease_id=lease["lease_id"])
    assert sum(each["amount"] for each in charges if each["status"] == "succeeded") == amount
    assert sum(each["amount_refunded"] for each in charges) == amount
    history = (await client.leases.get(f"{url}/history")).json["items"]
    assert [each["type"] for each in history] == [
        "lease.created",
        f"lease.{how}",
        *(["payment.succeeded", "payment.refunded"] if amount else []),
    ]
    assert (history[-1]["status_after"], history[-1]["balance"]) == (how, 0)
    if amount:
        assert (history[2]["status_before"], history[2]["data"]["payment_status"]) == (how, "cancelled")
        assert history[3]["data"]["reason"] == "the lease was closed before the payment came in"
        attempts = (await client.payments.get(f"/api/v1/payments/{row['payment_id']}/attempts")).json
        assert [(each["kind"], each["status"]) for each in attempts["items"]] == [
            ("instalment", "succeeded"),
            ("refund", "succeeded"),
        ]
    assert await _outstanding(client) == before
    await check(system, client)


async def test_closing_with_a_payoff_in_flight(client: Client, system: System) -> None:
    """The payoff's money goes back by itself; the lease stays cancelled and its instalments too."""
    await come_to_rest(system)
    before = await _outstanding(client)
    lease, url = await _new_lease(client)
    paying = asyncio.create_task(
        client.payments.post(f"{url}/payoff", {"payment_method": "pm_timeout_then_ok"})
    )

    async def in_flight() -> bool:
        return bool(await client.charges(lease_id=lease["lease_id"]))

    await eventually(in_flight, "the payoff is in flight")
    closed = await client.leases.post(f"{url}/cancel", WHY)
    assert closed.status == 200
    await _payments(client, url, **closed.token)
    amount = (await paying).json["amount"]
    await come_to_rest(system)
    assert await _payments(client, url) == [("cancelled", 0, 0)] * 3
    read = (await client.leases.get(url)).json
    assert (read["status"], read["balance"], read["amount_paid"]) == ("cancelled", 0, 0)
    [refund] = await client.refunds(lease_id=lease["lease_id"])
    assert (refund["status"], refund["amount"]) == ("succeeded", amount)
    assert await _outstanding(client) == before
    await check(system, client)


async def test_payments_and_closings_at_once(client: Client, system: System) -> None:
    """Paying and closing race on many leases: whoever comes first, all books agree in the end.

    What came in for a cancelled lease has gone back; of one charged off it has where it came afterwards.
    """
    await come_to_rest(system)
    before = await _outstanding(client)
    made = [await _new_lease(client, term=1 + number % 2) for number in range(20)]

    async def race(number: int, lease: dict[str, Any], url: str) -> tuple[Answer, Answer]:
        way = ("cancel", "charge-off")[number // 2 % 2]
        return await asyncio.gather(
            client.attempt(lease["schedule"][0]["payment_id"]), client.leases.post(f"{url}/{way}", WHY)
        )

    raced = await asyncio.gather(*(race(number, *each) for number, each in enumerate(made)))
    await check(system, client)
    owed = 0
    for (lease, url), (paid, closed) in zip(made, raced, strict=True):
        assert paid.status in (201, 409)
        read = (await client.leases.get(url)).json
        collected = lease["schedule"][0]["amount"] if paid.status == 201 else 0
        if closed.status == 200:
            stays = {0} if closed.json["status"] == "cancelled" else {0, collected}
            assert read["amount_paid"] in stays
            assert (read["status"], read["balance"]) == (closed.json["status"], 0)
        else:
            assert (closed.status, read["amount_paid"]) == (409, collected)
            assert (read["status"], read["balance"]) == (
                ("paid_off", 0) if lease["term"] == 1 else ("active", lease["balance"] - collected)
            )
        owed += read["balance"]
    assert await _outstanding(client) == before + owed


@pytest.mark.parametrize("at_once", [2, 10])
async def test_many_closings_at_once(client: Client, at_once: int) -> None:
    """One of them closes the lease, the others are 409; there is one event of it."""
    lease, url = await _new_lease(client)
    ways = [list(HOW.values())[number % 2] for number in range(at_once)]
    answers = await asyncio.gather(*(client.leases.post(f"{url}/{way}", WHY) for way in ways))
    assert sorted(answer.status for answer in answers) == [200] + [409] * (at_once - 1)
    [closed] = [answer for answer in answers if answer.status == 200]
    recorded = (await client.ledger.get(f"/api/v1/audit/leases/{lease['lease_id']}", **closed.token)).json
    assert [each["type"] for each in recorded["items"]] == ["lease.created", f"lease.{closed.json['status']}"]


async def test_same_key(client: Client) -> None:
    """The same key gives the first answer again, also a refusal; with other words it is 422."""
    _, url = await _new_lease(client)
    key = fresh_key()
    at_once = await asyncio.gather(
        *(client.leases.post(f"{url}/cancel", WHY, Idempotency_Key=key) for _ in range(5))
    )
    later = await client.leases.post(f"{url}/cancel", WHY, Idempotency_Key=key)
    assert {(answer.status, answer.body) for answer in [*at_once, later]} == {(200, at_once[0].body)}
    assert later.headers["Idempotency-Replayed"] == "true"
    assert later.token == at_once[0].token
    other = await client.leases.post(f"{url}/cancel", {"reason": "another"}, Idempotency_Key=key)
    elsewhere = await client.leases.post(f"{url}/charge-off", WHY, Idempotency_Key=key)
    assert (other.status, elsewhere.status) == (422, 422)
    key = fresh_key()
    refused = [await client.leases.post(f"{url}/cancel", WHY, Idempotency_Key=key) for _ in range(2)]
    assert [answer.status for answer in refused] == [409, 409]
    assert refused[0].body == refused[1].body


async def test_right_after_a_creation_that_is_not_waited_for(client: Client) -> None:
    """A lease that is still in the queue can be closed: its id was in the answer; a stranger's is 404."""
    made = await asyncio.gather(
        *(client.leases.post("/api/v1/leases", terms(), Prefer="respond-async") for _ in range(10))
    )
    closed = await asyncio.gather(
        *(client.leases.post(f"{answer.json['resource_url']}/cancel", WHY) for answer in made)
    )
    assert {answer.status for answer in closed} == {200}
    stranger = "00000000-0000-7000-8000-000000000001"
    for way in HOW.values():
        answer = await client.leases.post(f"/api/v1/leases/{stranger}/{way}", WHY)
        assert answer.status == 404


async def test_closed_leases_are_listed(client: Client) -> None:
    """The filter knows every status."""
    whose = customer()
    made = [await _new_lease(client, customer_id=whose) for _ in range(3)]
    for (_, url), way in zip(made, HOW.values(), strict=False):
        assert (await client.leases.post(f"{url}/{way}", WHY)).status == 200
    expected = {"cancelled": 0, "charged_off": 1, "active": 2, "delinquent": None, "paid_off": None}
    for status, index in expected.items():
        listed = (await client.leases.get(f"/api/v1/leases?customer_id={whose}&status={status}")).json
        wanted = [] if index is None else [made[index][0]["lease_id"]]
        assert [each["lease_id"] for each in listed["items"]] == wanted
