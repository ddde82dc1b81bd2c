"""Late fees and delinquency together with refunds and closings; every book agrees in the end.

Each test has a year of its own, so that its runs have to do with its leases only.
"""

from datetime import date, timedelta
from typing import Any

from tests.support.oracles.invariants import check, come_to_rest
from tests.support.system.client import Client
from tests.support.system.collections import counts, falls_due, payment, run
from tests.support.system.system import System

LATE_FEE = {"grace_days": 5, "amount": 1500}


async def _late(client: Client, due: date, **changes: Any) -> dict[str, Any]:
    """A lease that is delinquent, with a late fee on its first instalment."""
    lease = await falls_due(client, due, None, late_fee=LATE_FEE, **changes)
    assert counts(await run(client, due + timedelta(days=6)))["late_fees"] == 1
    return lease


async def _status(client: Client, lease: dict[str, Any]) -> tuple[str, int]:
    body = (await client.leases.get(f"/api/v1/leases/{lease['lease_id']}")).json
    return body["status"], body["balance"]


async def test_a_late_fee_that_was_paid_and_given_back(
    collections: System, client_of_collections: Client
) -> None:
    """What went back is owed again, the fee with it; late again, the lease is charged no second fee."""
    client, due = client_of_collections, date(2042, 3, 1)
    lease = await _late(client, due)
    paid = await client.attempt(lease["schedule"][0]["payment_id"])
    assert (paid.status, paid.json["amount"]) == (201, 11_500)
    await come_to_rest(collections)
    assert await _status(client, lease) == ("paid_off", 0)
    assert (await client.refund(paid.json["attempt_id"])).status == 201
    await come_to_rest(collections)
    assert await _status(client, lease) == ("active", 11_500)
    await check(collections, client)
    again = await run(client, due + timedelta(days=8))
    assert counts(again) == {"delinquent": 1}  # it was late when it was open again
    owed = await payment(client, lease)
    assert (owed["status"], owed["amount"], owed["amount_due"]) == ("late", 11_500, 11_500)
    await come_to_rest(collections)
    assert await _status(client, lease) == ("delinquent", 11_500)
    assert (await client.attempt(owed["payment_id"])).status == 201
    await check(collections, client)


async def test_a_delinquent_lease_that_is_closed(collections: System, client_of_collections: Client) -> None:
    """Nothing of it is owed, late fee or not, and no run has to do with it any more."""
    client, due = client_of_collections, date(2043, 3, 1)
    lease = await _late(client, due, term=2, principal=20_000)
    await come_to_rest(collections)
    assert await _status(client, lease) == ("delinquent", 21_500)
    closed = await client.leases.post(
        f"/api/v1/leases/{lease['lease_id']}/charge-off", {"reason": "customer is insolvent"}
    )
    assert (closed.status, closed.json["status"], closed.json["balance"]) == (200, "charged_off", 0)
    await come_to_rest(collections)
    assert counts(await run(client, due + timedelta(days=60))) == {}
    assert await _status(client, lease) == ("charged_off", 0)
    assert (await payment(client, lease))["status"] == "cancelled"
    await check(collections, client)
