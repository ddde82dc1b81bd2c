"""A lease over HTTP: made, read, listed, and its history."""

from typing import Any

import pytest

from tests.support.builders.lease_terms import EXAMPLE, customer, terms
from tests.support.system.client import Client


async def test_the_contracts_own_example(client: Client) -> None:
    """The contract's example gives the figures printed there, at once, where Location says."""
    lease, answer = await client.create(EXAMPLE, X_Request_Id="example-1")
    assert answer.headers["X-Request-Id"] == "example-1"
    assert answer.headers["Location"] == f"/api/v1/leases/{lease['lease_id']}"
    expected = {
        **{name: value for name, value in EXAMPLE.items() if name not in ("fees", "late_fee")},
        "status": "active",
        "version": 1,
        "maturity_date": "2027-12-01",
        "instalment": 10662,
        "total_interest": 7942,
        "total_fees": 2500,
        "total_payable": 130442,
        "amount_paid": 0,
        "balance": 130442,
        "next_due_date": "2027-01-01",
        "payments_made": 0,
    }
    assert {name: lease[name] for name in expected} == expected
    first = lease["schedule"][0]
    assert {name: first[name] for name in first if name != "payment_id"} == {
        "number": 1,
        "due_date": "2027-01-01",
        "amount": 13162,
        "principal": 9462,
        "interest": 1200,
        "fees": 2500,
        "principal_balance": 110538,
    }
    assert lease["schedule"][-1]["principal_balance"] == 0
    read = await client.leases.get(answer.headers["Location"])
    assert read.status == 200
    assert read.json == lease


@pytest.mark.parametrize("service", ["leases", "payments", "ledger"])
async def test_what_nobody_made_is_404(client: Client, service: str) -> None:
    """An id that was never given is 404 on every service, and so is what hangs below it."""
    stranger = "00000000-0000-7000-8000-000000000001"
    paths = {
        "leases": [f"/api/v1/leases/{stranger}", f"/api/v1/leases/{stranger}/history"],
        "payments": [
            f"/api/v1/leases/{stranger}/payments",
            f"/api/v1/payments/{stranger}",
            f"/api/v1/payments/{stranger}/attempts",
            f"/api/v1/attempts/{stranger}",
        ],
        "ledger": [
            f"/api/v1/audit/leases/{stranger}",
            f"/api/v1/audit/leases/{stranger}/timeline",
            f"/api/v1/audit/leases/{stranger}/export",
            f"/api/v1/audit/events/{stranger}",
        ],
    }
    for path in paths[service]:
        assert (await getattr(client, service).get(path)).status == 404
    if service == "payments":
        assert (await client.attempt(stranger)).status == 404
        payoff = await client.payments.post(f"/api/v1/leases/{stranger}/payoff", {"payment_method": "pm"})
        assert payoff.status == 404


async def test_list_is_filtered(client: Client) -> None:
    """Customer and status filter the list; items have no schedule."""
    one, other = customer(), customer()
    mine, _ = await client.create(terms(customer_id=one))
    await client.create(terms(customer_id=other))
    listed = (await client.leases.get(f"/api/v1/leases?customer_id={one}")).json
    assert listed["items"] == [{name: mine[name] for name in mine if name != "schedule"}]
    assert listed["next_cursor"] is None
    active = (await client.leases.get(f"/api/v1/leases?customer_id={one}&status=active")).json
    assert [each["lease_id"] for each in active["items"]] == [mine["lease_id"]]
    paid_off = (await client.leases.get(f"/api/v1/leases?customer_id={one}&status=paid_off")).json
    assert paid_off == {"items": [], "next_cursor": None}


async def test_cursor_is_stable_while_rows_are_added(client: Client) -> None:
    """Pages newest first never repeat or leave out a lease, though new ones come in between."""
    whose = customer()
    before = [(await client.create(terms(customer_id=whose)))[0]["lease_id"] for _ in range(7)]
    path = f"/api/v1/leases?customer_id={whose}&limit=3"
    page = (await client.leases.get(path)).json
    seen = [each["lease_id"] for each in page["items"]]
    while page["next_cursor"]:
        await client.create(terms(customer_id=whose))
        page = (await client.leases.get(f"{path}&cursor={page['next_cursor']}")).json
        seen += [each["lease_id"] for each in page["items"]]
    assert seen == before[::-1]


async def test_history_tells_every_change(client: Client) -> None:
    """History has each change with the status and balance before and after, in pages, oldest first."""
    lease, _ = await client.create(terms(term=2))
    path = f"/api/v1/leases/{lease['lease_id']}/history"
    one, two = lease["schedule"]
    first = one["amount"]
    amounts = [(one, 100), (one, first - 100), (two, two["amount"])]
    for row, amount in amounts:
        answer = await client.attempt(row["payment_id"], amount=amount)
        assert answer.status == 201
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = (await client.leases.get(f"{path}?limit=2{cursor}", **answer.token)).json
        items += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    total = lease["balance"]
    shown = [
        (each["version"], each["type"], each["status_before"], each["status_after"], each["balance"])
        for each in items
    ]
    assert shown == [
        (1, "lease.created", None, "active", total),
        (2, "payment.succeeded", "active", "active", total - 100),
        (3, "payment.succeeded", "active", "active", total - first),
        (4, "payment.succeeded", "active", "active", 0),
        (5, "lease.paid_off", "active", "paid_off", 0),
    ]
    assert [each["data"].get("amount") for each in items[1:4]] == [amount for _, amount in amounts]
    read = (await client.leases.get(f"/api/v1/leases/{lease['lease_id']}")).json
    assert (read["status"], read["balance"], read["amount_paid"]) == ("paid_off", 0, total)
    assert (read["payments_made"], read["next_due_date"], read["version"]) == (2, None, 5)
