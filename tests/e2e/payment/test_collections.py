"""Collections over HTTP: what falls due is collected, tried again, charged a late fee, once and not twice.

Each test has a year of its own, so that its runs have to do with its leases only.
"""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from payment_svc.application.collection_run import run_id_of
from tests.support.oracles.invariants import check, come_to_rest
from tests.support.system.client import Client, fresh_key
from tests.support.system.collections import RUN, counts, falls_due, payment, run, told
from tests.support.system.system import System
from tests.support.waiting import eventually

LATE_FEE = {"grace_days": 5, "amount": 1500}


def days(first: date, *numbers: int) -> list[date]:
    return [first + timedelta(days=number) for number in numbers]


def _ahead(day: date) -> dict[str, Any]:
    return {"as_of": str(day), "allow_future": True}


async def _lease(client: Client, lease: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = (await client.leases.get(f"/api/v1/leases/{lease['lease_id']}")).json
    return body


async def test_what_falls_due_is_collected(collections: System, client_of_collections: Client) -> None:
    """Due, attempted, paid, paid off; and a second run of the day has the same id and counts."""
    client, due = client_of_collections, date(2030, 3, 1)
    lease = await falls_due(client, due, "pm_card_ok")
    by_hand = await falls_due(client, due, None)
    early = await run(client, due - timedelta(days=1))
    assert counts(early) == {}
    done = await run(client, due)
    assert counts(done) == {"due": 2, "attempted": 1, "succeeded": 1}
    assert done["leases"] == 2
    paid = await payment(client, lease)
    assert (paid["status"], paid["amount_paid"], paid["attempts"]) == ("paid", 10_000, 1)
    assert (await payment(client, by_hand))["status"] == "due"
    assert len(await client.charges(lease_id=lease["lease_id"])) == 1
    assert await run(client, due) == done
    shown = (await client.payments.get(f"/api/v1/collections/runs/{done['run_id']}")).json
    assert {name: shown[name] for name in done} == done
    assert (shown["status"], shown["remaining"]) == ("completed", 0)
    assert shown["started_at"] < shown["completed_at"]
    types = [entry["type"] for entry in await told(client, lease, 4)]
    assert sorted(types) == [
        "lease.created",
        "lease.paid_off",
        "payment.attempt_started",
        "payment.succeeded",
    ]
    assert (await _lease(client, lease))["status"] == "paid_off"
    await check(collections, client)


async def test_soft_declines_are_tried_on_days_1_3_and_5(client_of_collections: Client) -> None:
    """A run every day for ten days: four attempts, each announced by the one before; then no more."""
    client, due = client_of_collections, date(2031, 3, 1)
    lease = await falls_due(
        client, due, "pm_card_insufficient_funds", late_fee={**LATE_FEE, "grace_days": 90}
    )
    tried, announced = [], []
    for day in days(due, *range(10)):
        done = await run(client, day)
        if done["attempted"]:
            assert done["declined"] == 1
            tried.append(day)
            announced.append((await payment(client, lease))["next_retry_at"])
    assert tried == days(due, 0, 1, 3, 5)
    assert announced == [*(f"{day}T00:00:00.000000Z" for day in days(due, 1, 3, 5)), None]
    entries = await told(client, lease, 12)
    retries = [entry["data"] for entry in entries if entry["type"] == "payment.retry_scheduled"]
    assert [(each["retry_at"], each["attempts"]) for each in retries] == [
        (str(day), number) for number, day in enumerate(days(due, 1, 3, 5), 1)
    ]
    declines = [entry["data"]["decline"] for entry in entries if entry["type"] == "payment.declined"]
    assert [each["retry_at"] for each in declines] == announced
    assert len(await client.charges(lease_id=lease["lease_id"])) == 4


async def test_third_time_lucky(client_of_collections: Client) -> None:
    """Two soft declines, then the card has money: the instalment is paid, and left alone."""
    client, due = client_of_collections, date(2032, 3, 1)
    lease = await falls_due(client, due, "pm_card_ok_on_third")
    for day in days(due, *range(6)):
        await run(client, day)
    paid = await payment(client, lease)
    assert (paid["status"], paid["attempts"], paid["next_retry_at"]) == ("paid", 3, None)
    assert len(await client.charges(lease_id=lease["lease_id"])) == 3


async def test_a_lost_card_is_charged_once(collections: System, client_of_collections: Client) -> None:
    """Two due days, one charge; paying by hand goes on, and a new method takes up the rest."""
    client, due = client_of_collections, date(2033, 3, 1)
    lease = await falls_due(client, due, "pm_card_lost", term=2)
    assert counts(await run(client, due)) == {"due": 1, "attempted": 1, "declined": 1}
    for day in days(due, 1, 3, 5, 31):
        assert (await run(client, day))["attempted"] == 0
    [charge] = await client.charges(lease_id=lease["lease_id"])
    stopped = (await payment(client, lease, 2))["autopay_stopped"]
    assert stopped["reason"] == "hard_decline"
    assert stopped["attempt_id"] == charge["metadata"]["attempt_id"]
    assert (await client.attempt((await payment(client, lease))["payment_id"])).status == 201
    await come_to_rest(collections)
    seen = await _lease(client, lease)
    assert (seen["autopay"], seen["payment_method"]) == (True, "pm_card_lost")
    assert seen["autopay_stopped"] == stopped
    url = f"/api/v1/leases/{lease['lease_id']}/autopay"
    changed = await client.payments.post(url, {"autopay": True, "payment_method": "pm_card_ok"})
    assert (changed.status, changed.json["autopay_stopped"]) == (200, None)
    assert counts(await run(client, due + timedelta(days=32)))["succeeded"] == 1
    assert (await payment(client, lease, 2))["status"] == "paid"
    await come_to_rest(collections)
    assert (await _lease(client, lease))["payment_method"] == "pm_card_ok"
    entries = await told(client, lease, 9)
    changes = [entry["data"] for entry in entries if entry["type"] == "lease.autopay_changed"]
    assert [each["reason"] for each in changes] == ["hard_decline", "requested"]


async def test_a_part_paid_early_and_refunded(client_of_collections: Client) -> None:
    """Autopay collects the whole instalment on its due date, and no late fee comes."""
    client, due = client_of_collections, date(2033, 9, 1)
    lease = await falls_due(client, due, "pm_card_ok", late_fee=LATE_FEE)
    early = await client.attempt(lease["schedule"][0]["payment_id"], amount=100)
    refund = f"/api/v1/attempts/{early.json['attempt_id']}/refund"
    assert (await client.payments.post(refund, {"reason": "by mistake"})).status == 201
    assert (await payment(client, lease))["autopay_stopped"] is None
    assert counts(await run(client, due)) == {"due": 1, "attempted": 1, "succeeded": 1}
    for day in days(due, 1, 6, 7):
        assert (await run(client, day))["late_fees"] == 0
    paid = await payment(client, lease)
    assert (paid["status"], paid["amount_paid"]) == ("paid", 10_000)


async def test_late_fee_once_then_delinquent_then_cured(
    collections: System, client_of_collections: Client
) -> None:
    """After the grace the fee is owed, once in many runs, and the lease is delinquent until it is paid."""
    client, due = client_of_collections, date(2034, 3, 1)
    lease = await falls_due(client, due, None, term=2, principal=20_000, late_fee=LATE_FEE)
    for day in days(due, *range(6)):
        done = await run(client, day)
        assert (done["late_fees"], done["delinquent"]) == (0, 0)
    assert (await payment(client, lease))["status"] == "late"
    done = await run(client, due + timedelta(days=6))
    assert counts(done) == {"late_fees": 1, "delinquent": 1}
    for day in days(due, 6, 7, 8, 20):
        done = await run(client, day)
        assert (done["late_fees"], done["delinquent"]) == (
            (1, 1) if day == due + timedelta(days=6) else (0, 0)
        )
    owed = await payment(client, lease)
    assert (owed["status"], owed["amount"], owed["amount_due"]) == ("late", 11_500, 11_500)
    await come_to_rest(collections)
    seen = await _lease(client, lease)
    assert (seen["status"], seen["balance"], seen["total_payable"]) == ("delinquent", 21_500, 20_000)
    assert seen["schedule"][0]["amount"] == 10_000
    listed = await client.leases.get(f"/api/v1/leases?status=delinquent&customer_id={lease['customer_id']}")
    assert [each["lease_id"] for each in listed.json["items"]] == [lease["lease_id"]]
    paid = await client.attempt(owed["payment_id"], amount=11_000)
    assert paid.json["payment"]["status"] == "late"
    assert (await run(client, due + timedelta(days=21)))["cured"] == 0
    assert (await client.attempt(owed["payment_id"])).status == 201
    assert counts(await run(client, due + timedelta(days=21))) == {}  # it was cured with the payment
    await come_to_rest(collections)
    seen = await _lease(client, lease)
    assert (seen["status"], seen["balance"], seen["payments_made"]) == ("active", 10_000, 1)
    history = (await client.leases.get(f"/api/v1/leases/{lease['lease_id']}/history")).json["items"]
    assert [(each["type"], each["status_after"], each["balance"]) for each in history] == [
        ("lease.created", "active", 20_000),
        ("lease.late_fee_assessed", "active", 21_500),
        ("lease.delinquent", "delinquent", 21_500),
        ("payment.succeeded", "delinquent", 10_500),
        ("payment.succeeded", "delinquent", 10_000),
        ("lease.cured", "active", 10_000),
    ]
    titles = (await client.ledger.get(f"/api/v1/audit/leases/{lease['lease_id']}/timeline")).json["items"]
    assert {"Late fee", "Lease delinquent", "Lease cured"} <= {each["title"] for each in titles}
    assert (await client.attempt(lease["schedule"][1]["payment_id"])).status == 201
    await check(collections, client)


async def test_a_delinquent_lease_that_is_paid_off_is_cured(
    collections: System, client_of_collections: Client
) -> None:
    """The last payment ends delinquency without waiting for a run; the lease is paid off and stays so."""
    client, due = client_of_collections, date(2035, 3, 1)
    lease = await falls_due(client, due, None)
    assert counts(await run(client, due + timedelta(days=1))) == {"due": 1, "delinquent": 1}
    assert (await client.attempt(lease["schedule"][0]["payment_id"])).status == 201
    entries = await told(client, lease, 6)
    assert {"lease.paid_off", "lease.cured"} <= {entry["type"] for entry in entries}
    await check(collections, client)
    assert (await _lease(client, lease))["status"] == "paid_off"
    assert counts(await run(client, due + timedelta(days=2))) == {}


async def test_what_is_settled_or_under_way_is_left_alone(client_of_collections: Client) -> None:
    """Nothing is attempted on a lease that was paid off, nor while another attempt is unknown."""
    client, due = client_of_collections, date(2036, 3, 1)
    paid_off = await falls_due(client, due, "pm_card_ok")
    under_way = await falls_due(client, due, "pm_card_ok")
    paid = await client.attempt(paid_off["schedule"][0]["payment_id"])
    assert paid.status == 201
    unknown = await client.attempt(under_way["schedule"][0]["payment_id"], "pm_timeout_then_ok")
    assert unknown.status == 202
    assert (await run(client, due))["attempted"] == 0

    async def known() -> bool:
        return (await payment(client, under_way))["status"] == "paid"

    await eventually(known, "the gateway is asked", within_s=30)
    assert (await run(client, due + timedelta(days=1)))["attempted"] == 0
    for lease in (paid_off, under_way):
        assert len(await client.charges(lease_id=lease["lease_id"])) == 1


async def test_an_unknown_attempt_of_a_run_is_resolved(
    collections: System, client_of_collections: Client
) -> None:
    """The run ends with it unknown; the gateway is asked, and it is never charged twice."""
    client, due = client_of_collections, date(2037, 3, 1)
    ok = await falls_due(client, due, "pm_timeout_then_ok")
    declined = await falls_due(client, due, "pm_timeout_then_declined")
    done = await run(client, due)
    assert counts(done) == {"due": 2, "attempted": 2, "unknown": 2}

    async def known() -> bool:
        return [(await payment(client, each))["status"] for each in (ok, declined)] == ["paid", "due"]

    await eventually(known, "the gateway is asked", within_s=30)
    now = await run(client, due)  # nothing is tried again; its attempts are counted as they are by now
    assert counts(now) == {"due": 2, "attempted": 2, "succeeded": 1, "declined": 1}
    await check(collections, client)
    for lease in (ok, declined):
        assert len(await client.charges(lease_id=lease["lease_id"])) == 1
    assert (await client.attempt(declined["schedule"][0]["payment_id"])).status == 201


async def test_runs_at_once_and_again(collections: System, client_of_collections: Client) -> None:
    """Asked for five times at once, with keys and without, a day has one run; nothing is attempted twice."""
    client, due = client_of_collections, date(2038, 3, 1)
    leases = await asyncio.gather(*(falls_due(client, due, "pm_card_ok") for _ in range(20)))
    key = fresh_key()
    keys = [{"Idempotency_Key": key}, {"Idempotency_Key": key}, {"Idempotency_Key": fresh_key()}, {}, {}]
    bodies = await asyncio.gather(*(run(client, due, **headers) for headers in keys))
    assert all(body == bodies[0] for body in bodies)
    assert counts(bodies[0]) == {"due": 20, "attempted": 20, "succeeded": 20}
    replayed = await client.payments.post(RUN, _ahead(due), Idempotency_Key=key)
    assert (replayed.json, replayed.headers["Idempotency-Replayed"]) == (bodies[0], "true")
    other = await client.payments.post(RUN, _ahead(due + timedelta(days=1)), Idempotency_Key=key)
    assert other.status == 422
    for lease in leases:
        assert len(await client.charges(lease_id=lease["lease_id"])) == 1
    await check(collections, client)


async def test_a_days_run_goes_on_for_leases_that_come_later(client_of_collections: Client) -> None:
    """The same run, asked for again, has the new lease in its counts; the old one is not tried again."""
    client, due = client_of_collections, date(2039, 3, 1)
    await falls_due(client, due, "pm_card_ok")
    first = await run(client, due)
    await falls_due(client, due, "pm_card_ok")
    second = await run(client, due)
    assert second["run_id"] == first["run_id"]
    assert counts(second) == {"due": 2, "attempted": 2, "succeeded": 2}


async def test_not_waiting_for_a_run(client_of_collections: Client) -> None:
    """202 says where the run can be watched, before anybody has begun it."""
    client, due = client_of_collections, date(2040, 3, 1)
    await falls_due(client, due, "pm_card_ok")
    asked = await client.payments.post(RUN, _ahead(due), Prefer="respond-async")
    assert asked.status == 202
    outcome = await client.payments.outcome(asked)
    assert (outcome["http_status"], counts(outcome["outcome"])["succeeded"]) == (200, 1)
    shown = await client.payments.get(asked.json["resource_url"])
    assert shown.json["run_id"] == outcome["outcome"]["run_id"]


async def test_a_gateway_that_is_down_is_tried_the_next_day(client_of_collections: Client) -> None:
    """What was certainly not attempted does not count among the four."""
    client, due = client_of_collections, date(2041, 3, 1)
    lease = await falls_due(client, due, "pm_gateway_down")
    assert counts(await run(client, due)) == {"due": 1, "attempted": 1}
    for day in days(due, *range(1, 6)):
        assert (await run(client, day))["attempted"] == 1
    assert await client.charges(lease_id=lease["lease_id"]) == []
    assert (await client.attempt(lease["schedule"][0]["payment_id"])).status == 201


async def test_runs_that_nobody_asked_for(client_of_collections: Client) -> None:
    """404; and a day that no run can have is 422 with its pointer."""
    client = client_of_collections
    url = "/api/v1/collections/runs/01890a5d-ac96-774b-8bce-b302099a8057"
    assert (await client.payments.get(url)).status == 404
    for wrong in ("1969-12-31", "2200-01-01", "2027-02-29", 20270101, None):
        answer = await client.payments.post(RUN, {"as_of": wrong})
        assert answer.status == 422
        assert [each["pointer"] for each in answer.json["errors"]] == ["/as_of"]


async def test_a_mistyped_day_charges_nobody(client_of_collections: Client) -> None:
    """2062 for 2026: 422, no run, no charge; a dry run of that day says what it would have cost."""
    client = client_of_collections
    lease = await falls_due(client, date(2062, 11, 1), "pm_card_ok")
    answer = await client.payments.post(RUN, {"as_of": "2062-11-28"})
    assert answer.status == 422
    [wrong] = answer.json["errors"]
    assert wrong["pointer"] == "/as_of"
    assert "after today" in wrong["detail"]
    no_run = await client.payments.get(f"/api/v1/collections/runs/{run_id_of(date(2062, 11, 28))}")
    assert no_run.status == 404
    dry = await client.payments.post(RUN, {"as_of": "2062-11-28", "dry_run": True}, Prefer="wait=30")
    assert (dry.status, dry.json["run_id"]) == (200, None)
    assert dry.json["attempted"] >= 1
    assert [each["currency"] for each in dry.json["charges"]] == ["USD"]
    assert (await payment(client, lease))["attempts"] == 0
    assert await client.charges(lease_id=lease["lease_id"]) == []


async def test_a_dry_run_and_then_the_run(collections: System, client_of_collections: Client) -> None:
    """The same counts and sums; asked for again with its key, a dry run is answered as before."""
    client, due = client_of_collections, date(2045, 3, 1)
    for method in ("pm_card_ok", "pm_card_ok", None):
        await falls_due(client, due, method, late_fee=LATE_FEE)
    as_of, key = due + timedelta(days=9), fresh_key()
    asked = {"as_of": str(as_of), "dry_run": True}
    dry = (await client.payments.post(RUN, asked, Idempotency_Key=key, Prefer="wait=30")).json
    done = await run(client, as_of)
    assert counts(dry) == counts(done)
    assert counts(done) == {"due": 3, "attempted": 2, "succeeded": 2, "late_fees": 1, "delinquent": 1}
    assert dry["charges"] == [{"currency": "USD", "count": 2, "amount": 20_000}]
    assert dry["fees"] == [{"currency": "USD", "count": 1, "amount": 1_500}]
    again = await client.payments.post(RUN, asked, Idempotency_Key=key)
    assert (again.json, again.headers["Idempotency-Replayed"]) == (dry, "true")
    now = (await client.payments.post(RUN, asked, Prefer="wait=30")).json
    assert (counts(now), now["charges"], now["fees"]) == ({}, [], [])
    await check(collections, client)


async def test_a_first_run_that_comes_late(collections: System, client_of_collections: Client) -> None:
    """Seven days late with five of grace: a good card pays 34002 as agreed, no fee, never delinquent."""
    client, due = client_of_collections, date(2046, 3, 1)
    terms = {"term": 3, "principal": 100_000, "annual_rate": "0.12", "start_date": "2046-02-01"}
    lease = await falls_due(client, due, "pm_card_ok", late_fee=LATE_FEE, **terms)
    done = await run(client, due + timedelta(days=7))
    assert counts(done) == {"due": 1, "attempted": 1, "succeeded": 1}
    assert [each["amount"] for each in await client.charges(lease_id=lease["lease_id"])] == [34_002]
    assert counts(await run(client, due + timedelta(days=8))) == {}
    await come_to_rest(collections)
    history = (await client.leases.get(f"/api/v1/leases/{lease['lease_id']}/history")).json["items"]
    assert [each["type"] for each in history] == ["lease.created", "payment.succeeded"]
    assert counts(await run(client, date(2046, 5, 1))) == {"due": 2, "attempted": 2, "succeeded": 2}
    await check(collections, client)


async def test_back_dated_with_six_past_instalments(
    collections: System, client_of_collections: Client
) -> None:
    """The first run collects them all, without a late fee: nobody had tried the card before."""
    client, due = client_of_collections, date(2047, 3, 1)
    lease = await falls_due(client, due, "pm_card_ok", term=6, principal=60_000, late_fee=LATE_FEE)
    done = await run(client, date(2047, 8, 20))
    assert counts(done) == {"due": 6, "attempted": 6, "succeeded": 6}
    charges = await client.charges(lease_id=lease["lease_id"])
    assert sorted(each["amount"] for each in charges) == [10_000] * 6
    await check(collections, client)


async def test_paid_on_the_day_and_run_again(collections: System, client_of_collections: Client) -> None:
    """Delinquent on D, paid on D, run on D again: active, and the run has nothing to do."""
    client, due = client_of_collections, date(2048, 3, 1)
    lease = await falls_due(client, due, None, term=2, principal=20_000)
    day = due + timedelta(days=1)
    assert counts(await run(client, day)) == {"due": 1, "delinquent": 1}
    assert (await client.attempt(lease["schedule"][0]["payment_id"])).status == 201
    assert counts(await run(client, day)) == {"due": 1, "delinquent": 1}
    await come_to_rest(collections)
    assert (await _lease(client, lease))["status"] == "active"
    [cured] = [each for each in await told(client, lease, 5) if each["type"] == "lease.cured"]
    assert cured["data"]["as_of"] == str(day)
    assert (await client.attempt(lease["schedule"][1]["payment_id"])).status == 201
    await check(collections, client)


async def test_what_is_open_again_goes_by_the_leases_day(
    collections: System, client_of_collections: Client
) -> None:
    """Paid when it was due, given back a week later: `late` at once, also in the ledger's state."""
    client, due = client_of_collections, date(2049, 3, 1)
    lease = await falls_due(
        client, due, "pm_card_ok", term=2, principal=20_000, frequency="weekly", late_fee=LATE_FEE
    )
    await run(client, due)
    collected = (await payment(client, lease))["last_attempt_id"]
    await run(client, due + timedelta(days=7))
    answer = await client.payments.post(
        f"/api/v1/attempts/{collected}/refund", {"amount": 4_000, "reason": "a complaint"}
    )
    assert answer.status == 201
    open_again = await payment(client, lease)
    assert (open_again["status"], open_again["amount_due"]) == ("late", 4_000)
    await come_to_rest(collections)
    entries = await told(client, lease, 6)
    url = f"/api/v1/audit/leases/{lease['lease_id']}/state-at-point"
    state = (await client.ledger.post(url, {"seq": entries[-1]["seq"]})).json["state"]
    assert [each["status"] for each in state["payments"]] == ["late", "paid"]
    assert counts(await run(client, due + timedelta(days=7)))["late_fees"] == 1  # as of the same day
    assert (await client.attempt(open_again["payment_id"])).status == 201
    await check(collections, client)


@pytest.mark.parametrize(("method", "charged"), [("pm_card_lost", 1), ("pm_card_insufficient_funds", 6)])
async def test_back_dated_with_a_card_that_is_declined(
    collections: System, client_of_collections: Client, method: str, charged: int
) -> None:
    """A lost card is charged once, whatever is due; no money today is found out for each instalment, once."""
    client, due = client_of_collections, date(2049 + charged, 3, 1)
    lease = await falls_due(client, due, method, term=6, principal=60_000)
    done = await run(client, due + timedelta(days=170))
    assert (done["attempted"], done["declined"]) == (charged, charged)
    assert len(await client.charges(lease_id=lease["lease_id"])) == charged
    await check(collections, client)
