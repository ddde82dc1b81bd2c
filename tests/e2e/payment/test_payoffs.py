"""Paying a lease off early, over HTTP."""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from tests.support.builders.lease_terms import days_ago, terms, today
from tests.support.oracles.payoff import payoff
from tests.support.system.client import Client

METHOD = {"payment_method": "pm_card_ok"}


@pytest.mark.parametrize("day_count", ["30/360", "actual/365", "actual/360"])
async def test_payoff_of_a_lease_that_has_started(client: Client, day_count: str) -> None:
    """Everything is settled for the amount the rules give: arrears, days run so far, interest paid ahead."""
    lease, answer = await client.create(
        terms(
            principal=1_200_000,
            term=12,
            start_date=days_ago(100),
            day_count=day_count,
            fees=[{"code": "origination", "amount": 2500}],
        )
    )
    lease_id = lease["lease_id"]
    url = f"/api/v1/leases/{lease_id}"
    rows = lease["schedule"]
    await client.payments.get(f"{url}/payments", **answer.token)
    # The first in full, the second in part, and one that is not due for long.
    for row, amount in ((rows[0], rows[0]["amount"]), (rows[1], 15_000), (rows[8], rows[8]["amount"])):
        assert (await client.attempt(row["payment_id"], amount=amount)).status == 201
    payments = (await client.payments.get(f"{url}/payments")).json["items"]
    balance = lease["balance"] - sum(payment["amount_paid"] for payment in payments)

    day_before = today()
    paid_off = await client.payments.post(f"{url}/payoff", METHOD)
    expected = [payoff(lease, payments, day) for day in {day_before, today()}]  # midnight may lie between
    assert paid_off.status == 201
    attempt = paid_off.json
    assert {**attempt["breakdown"], "amount": attempt["amount"]} in expected
    assert (attempt["kind"], attempt["status"]) == ("payoff", "succeeded")
    assert attempt["payment_id"] is None
    assert attempt["breakdown"]["credits"] == rows[8]["interest"]
    [charge] = await client.charges(attempt_id=attempt["attempt_id"])
    assert (charge["amount"], charge["charge_id"]) == (attempt["amount"], attempt["gateway_reference"])

    after = (await client.payments.get(f"{url}/payments")).json["items"]
    for row, before, payment in zip(rows, payments, after, strict=True):
        if before["status"] == "paid":
            assert payment == before
        elif date.fromisoformat(row["due_date"]) <= today():
            assert (payment["status"], payment["amount_paid"]) == ("paid", row["amount"])
        else:
            assert (payment["status"], payment["amount_paid"]) == ("cancelled", before["amount_paid"])
        assert payment["amount_due"] == 0
    read = (await client.leases.get(url, **paid_off.token)).json
    assert (read["status"], read["balance"], read["next_due_date"]) == ("paid_off", 0, None)
    assert read["amount_paid"] == lease["balance"] - balance + attempt["amount"]

    assert (await client.payments.post(f"{url}/payoff", METHOD)).status == 409
    assert (await client.attempt(rows[11]["payment_id"])).status == 409
    trail = (await client.ledger.get(f"/api/v1/audit/leases/{lease_id}", **paid_off.token)).json["items"]
    [told] = [entry["data"] for entry in trail if entry["type"] == "payoff.succeeded"]
    assert told["interest_saved"] == balance - attempt["amount"] > 0
    assert sum(told["allocation"].values()) == attempt["amount"]


async def test_payoff_that_is_declined(client: Client) -> None:
    """A declined payoff is 402 and leaves the lease as it was; another card then pays it off."""
    lease, answer = await client.create(terms(start_date=days_ago(40)))
    url = f"/api/v1/leases/{lease['lease_id']}"
    await client.payments.get(f"{url}/payments", **answer.token)
    declined = await client.payments.post(f"{url}/payoff", {"payment_method": "pm_card_lost"})
    assert declined.status == 402
    assert declined.json["decline"]["class"] == "hard"
    payments = (await client.payments.get(f"{url}/payments")).json["items"]
    assert {payment["status"] for payment in payments} == {"scheduled"}
    read = (await client.leases.get(url, **declined.token)).json
    assert (read["status"], read["balance"]) == ("active", lease["balance"])
    assert (await client.payments.post(f"{url}/payoff", METHOD)).status == 201


async def test_payoff_before_the_lease_starts(client: Client) -> None:
    """A lease that has not started cannot be paid off: 422, and nothing is charged."""
    start = (today() + timedelta(days=20)).isoformat()
    lease, answer = await client.create(terms(start_date=start))
    url = f"/api/v1/leases/{lease['lease_id']}"
    await client.payments.get(f"{url}/payments", **answer.token)
    assert (await client.payments.post(f"{url}/payoff", METHOD)).status == 422
    assert await client.charges(lease_id=lease["lease_id"]) == []


async def test_payoffs_and_attempts_at_once(client: Client) -> None:
    """However payoffs and attempts race, the lease ends paid off, and no money is taken twice."""
    lease, answer = await client.create(terms(start_date=days_ago(40)))
    url = f"/api/v1/leases/{lease['lease_id']}"
    await client.payments.get(f"{url}/payments", **answer.token)
    answers = await asyncio.gather(
        *(client.attempt(row["payment_id"]) for row in lease["schedule"]),
        *(client.payments.post(f"{url}/payoff", METHOD) for _ in range(5)),
    )
    assert {each.status for each in answers} <= {201, 409}
    last = await client.payments.post(f"{url}/payoff", METHOD)
    assert last.status in (201, 409)  # 409: one of the five has won, or all instalments were paid
    read: dict[str, Any] = (await client.leases.get(url, **last.token)).json
    assert (read["status"], read["balance"]) == ("paid_off", 0)
    charges = await client.charges(lease_id=lease["lease_id"])
    assert sum(charge["amount"] for charge in charges) == read["amount_paid"] <= lease["balance"]
