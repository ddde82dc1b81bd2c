"""Giving money back over HTTP: wholly, in parts, twice at once, and what that does to the lease."""

import asyncio
from random import Random
from typing import Any

from tests.support.builders.lease_terms import days_ago, terms
from tests.support.oracles.invariants import check
from tests.support.system.client import Answer, Client, fresh_key
from tests.support.system.system import System
from tests.support.waiting import eventually

METHOD = {"payment_method": "pm_card_ok"}


async def new_lease(client: Client, **changes: Any) -> dict[str, Any]:
    """A lease that has arrived at the payment service."""
    lease, answer = await client.create(terms(**changes))
    await client.payments.get(f"/api/v1/leases/{lease['lease_id']}/payments", **answer.token)
    return lease


async def paid(client: Client, row: dict[str, Any], amount: int | None = None) -> dict[str, Any]:
    """An attempt that has collected an instalment or a part of it."""
    answer = await client.attempt(row["payment_id"], amount=amount)
    assert answer.status == 201, answer
    attempt: dict[str, Any] = answer.json
    return attempt


async def paid_off(client: Client, lease: dict[str, Any]) -> dict[str, Any]:
    """The attempt that has paid all that was left."""
    answer = await client.payments.post(f"/api/v1/leases/{lease['lease_id']}/payoff", METHOD)
    assert answer.status == 201, answer
    attempt: dict[str, Any] = answer.json
    return attempt


async def payments(client: Client, lease: dict[str, Any]) -> list[dict[str, Any]]:
    """The lease's instalments, without what counts tries."""
    answer = await client.payments.get(f"/api/v1/leases/{lease['lease_id']}/payments")
    return [
        {name: each[name] for name in ("number", "amount", "amount_paid", "amount_due", "status")}
        for each in answer.json["items"]
    ]


async def read(client: Client, lease: dict[str, Any], after: Answer) -> dict[str, Any]:
    """The lease, once it has caught up with an answer."""
    found: dict[str, Any] = (
        await client.leases.get(f"/api/v1/leases/{lease['lease_id']}", **after.token)
    ).json
    return found


async def test_an_instalment_given_back(client: Client, system: System) -> None:
    """All of it: the instalment is open again, everywhere, and can be paid once more."""
    lease = await new_lease(client)
    row = lease["schedule"][0]
    attempt = await paid(client, row)
    refund = await client.refund(attempt["attempt_id"])
    assert refund.status == 201
    assert (refund.json["kind"], refund.json["status"], refund.json["amount"]) == (
        "refund",
        "succeeded",
        row["amount"],
    )
    assert (refund.json["refunds"], refund.json["reason"]) == (attempt["attempt_id"], "returned")
    assert refund.headers["Location"] == f"/api/v1/attempts/{refund.json['attempt_id']}"
    payment = refund.json["payment"]
    assert (payment["status"], payment["amount_paid"], payment["amount_due"]) == (
        "scheduled",
        0,
        row["amount"],
    )
    after = await read(client, lease, refund)
    assert (after["balance"], after["amount_paid"], after["payments_made"]) == (lease["balance"], 0, 0)
    assert after["next_due_date"] == row["due_date"]
    original = (await client.payments.get(f"/api/v1/attempts/{attempt['attempt_id']}")).json
    assert (original["status"], original["amount_refunded"]) == ("succeeded", row["amount"])
    [charge] = await client.charges(attempt_id=attempt["attempt_id"])
    assert charge["amount_refunded"] == charge["amount"]
    [given_back] = await client.refunds(attempt_id=refund.json["attempt_id"])
    assert given_back["refund_id"] == refund.json["gateway_reference"]
    made = (await client.payments.get(f"/api/v1/payments/{row['payment_id']}/attempts")).json["items"]
    assert [each["kind"] for each in made] == ["instalment", "refund"]
    await paid(client, row)
    await check(system, client)


async def test_parts_to_the_cent(client: Client, system: System) -> None:
    """Repeated refunds add up to the cent; one cent too much is 422, and when nothing is left 409."""
    lease = await new_lease(client)
    row = lease["schedule"][0]
    attempt = await paid(client, row)
    given_back = 0
    for amount in (1, 999, 10_000):
        refund = await client.refund(attempt["attempt_id"], amount)
        given_back += amount
        assert (refund.status, refund.json["amount"]) == (201, amount)
        after = await read(client, lease, refund)
        assert after["balance"] == lease["balance"] - row["amount"] + given_back
    too_much = await client.refund(attempt["attempt_id"], row["amount"] - given_back + 1)
    assert too_much.status == 422
    assert too_much.json["errors"][0]["pointer"] == "/amount"
    rest = await client.refund(attempt["attempt_id"])
    assert (rest.status, rest.json["amount"]) == (201, row["amount"] - given_back)
    assert (await client.refund(attempt["attempt_id"])).status == 409
    assert (await client.refund(attempt["attempt_id"], 1)).status == 422
    refunds = await client.refunds(charge_id=attempt["gateway_reference"])
    assert sum(each["amount"] for each in refunds) == row["amount"]
    await check(system, client)


async def test_at_once_under_one_key(client: Client) -> None:
    """However often it is sent, one key gives back once, and every answer is the same."""
    lease = await new_lease(client)
    attempt = await paid(client, lease["schedule"][0])
    key = {"Idempotency-Key": fresh_key()}
    answers = await asyncio.gather(*(client.refund(attempt["attempt_id"], 500, **key) for _ in range(10)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert [each["amount"] for each in await client.refunds(charge_id=attempt["gateway_reference"])] == [500]


async def test_at_once_under_different_keys(client: Client, system: System) -> None:
    """One after another or not at all: never more goes back than was collected, in no interleaving."""
    lease = await new_lease(client)
    attempt = await paid(client, lease["schedule"][0])
    amount = attempt["amount"] // 3
    answers = await asyncio.gather(
        *(
            client.refund(attempt["attempt_id"], amount, **{"Idempotency-Key": fresh_key()})
            for _ in range(20)
        ),
        client.attempt(lease["schedule"][0]["payment_id"]),
    )
    made = [answer.status for answer in answers].count(201)
    assert {answer.status for answer in answers} <= {201, 409, 422}
    assert made >= 1
    original = (await client.payments.get(f"/api/v1/attempts/{attempt['attempt_id']}")).json
    refunds = await client.refunds(charge_id=attempt["gateway_reference"])
    assert original["amount_refunded"] == sum(each["amount"] for each in refunds) <= attempt["amount"]
    await check(system, client)


async def test_what_cannot_be_given_back(client: Client) -> None:
    """No such attempt is 404; one that collected nothing, or is a refund itself, is 409."""
    assert (await client.refund("01890a5d-ac96-774b-8bce-b302099a8057")).status == 404
    lease = await new_lease(client)
    declined = await client.attempt(lease["schedule"][0]["payment_id"], "pm_card_lost")
    assert (await client.refund(declined.json["attempt_id"])).status == 409
    attempt = await paid(client, lease["schedule"][0])
    refund = await client.refund(attempt["attempt_id"], 100)
    assert (await client.refund(refund.json["attempt_id"], 1)).status == 409


async def test_a_refund_that_the_gateway_declines(client: Client) -> None:
    """Money that went back without the service cannot go back again: 402, and nothing is owed for it."""
    lease = await new_lease(client)
    row = lease["schedule"][0]
    attempt = await paid(client, row)
    [charge] = await client.charges(attempt_id=attempt["attempt_id"])
    await client.refund_elsewhere(charge, charge["amount"])
    declined = await client.refund(attempt["attempt_id"], 1)
    assert (declined.status, declined.json["decline"]["code"]) == (402, "refund_exceeds_charge")
    refund = (await client.payments.get(f"/api/v1/attempts/{declined.json['attempt_id']}")).json
    assert (refund["kind"], refund["status"]) == ("refund", "declined")
    assert (await payments(client, lease))[0]["status"] == "paid"
    after = await read(client, lease, declined)
    assert after["amount_paid"] == row["amount"]


async def test_a_refund_without_an_answer(client: Client, system: System) -> None:
    """202 `unknown`: nothing else begins until the gateway has been asked; it is never given back twice."""
    lease = await new_lease(client)
    row = lease["schedule"][0]
    asked = await client.attempt(row["payment_id"], "pm_timeout_then_ok")
    attempt = await settled(client, asked)
    refund = await client.refund(attempt["attempt_id"], 700)
    assert (refund.status, refund.json["status"]) == (202, "unknown")
    assert (await payments(client, lease))[0]["status"] == "processing"
    assert (await client.refund(attempt["attempt_id"], 1)).status == 409
    assert (await client.attempt(row["payment_id"])).status == 409
    payoff = f"/api/v1/leases/{lease['lease_id']}/payoff"
    assert (await client.payments.post(payoff, METHOD)).status == 409
    found = await settled(client, refund)
    assert (found["status"], found["payment"]["amount_due"]) == ("succeeded", 700)
    assert [each["amount"] for each in await client.refunds(charge_id=attempt["gateway_reference"])] == [700]
    await check(system, client)


async def settled(client: Client, answer: Answer) -> dict[str, Any]:
    """The attempt of a 202, once the resolver has learnt what became of it."""

    async def look() -> dict[str, Any] | None:
        attempt: dict[str, Any] = (await client.payments.get(answer.headers["Location"])).json
        return attempt if attempt["settled_at"] else None

    found = await eventually(look, "the resolver has asked the gateway", within_s=60)
    assert found is not None
    return found


async def test_a_lease_paid_off_is_open_again(client: Client, system: System) -> None:
    """By its last instalment; given back, the lease is active again and can be paid off once more."""
    lease = await new_lease(client)
    attempts = [await paid(client, row) for row in lease["schedule"]]
    refund = await client.refund(attempts[1]["attempt_id"], 5000)
    after = await read(client, lease, refund)
    assert (after["status"], after["balance"], after["payments_made"]) == ("active", 5000, 2)
    assert after["next_due_date"] == lease["schedule"][1]["due_date"]
    again = await client.attempt(lease["schedule"][1]["payment_id"])
    assert again.json["amount"] == 5000
    after = await read(client, lease, again)
    assert (after["status"], after["balance"], after["payments_made"]) == ("paid_off", 0, 3)
    history = (await client.leases.get(f"/api/v1/leases/{lease['lease_id']}/history")).json["items"]
    assert [(each["type"], each["status_after"], each["balance"]) for each in history[-5:]] == [
        ("lease.paid_off", "paid_off", 0),
        ("payment.refunded", "paid_off", 5000),
        ("lease.reopened", "active", 5000),
        ("payment.succeeded", "active", 0),
        ("lease.paid_off", "paid_off", 0),
    ]
    await check(system, client)
    trail = (await client.ledger.get(f"/api/v1/audit/leases/{lease['lease_id']}?limit=200")).json["items"]
    [reopened] = [each["data"] for each in trail if each["type"] == "lease.reopened"]
    assert (reopened["balance"], reopened["cause"]) == (5000, "refund")
    assert reopened["attempt_id"] == refund.json["attempt_id"]


async def test_a_payoff_given_back_in_parts(client: Client, system: System) -> None:
    """Each part re-opens exactly its amount; with the last one everything is as it was before the payoff."""
    lease = await new_lease(client, start_date=days_ago(40), term=6)
    await paid(client, lease["schedule"][0])
    await paid(client, lease["schedule"][4], 1500)
    before = await payments(client, lease)
    attempt = await paid_off(client, lease)
    settled_as = await payments(client, lease)
    given_back = 0
    for amount in (1, 4000, attempt["amount"] // 2):
        refund = await client.refund(attempt["attempt_id"], amount)
        assert (refund.status, refund.json["payment"]) == (201, None)
        given_back += amount
        after = await read(client, lease, refund)
        assert (after["status"], after["balance"]) == ("active", given_back)
        open_ones = [each for each in await payments(client, lease) if each["amount_due"]]
        assert sum(each["amount_due"] for each in open_ones) == given_back
        assert {each["status"] for each in open_ones} == {"scheduled"}
    assert (await payments(client, lease))[0] == settled_as[0]
    last = await client.refund(attempt["attempt_id"])
    assert last.json["amount"] == attempt["amount"] - given_back
    assert await payments(client, lease) == before
    after = await read(client, lease, last)
    assert after["balance"] == sum(each["amount_due"] for each in before)
    assert after["amount_paid"] == sum(each["amount_paid"] for each in before)
    await check(system, client)


async def test_paying_again_what_went_back_of_a_payoff(client: Client, system: System) -> None:
    """By instalments or by another payoff: what is open is paid, and not a cent of interest more."""
    lease = await new_lease(client, start_date=days_ago(40), term=6)
    attempt = await paid_off(client, lease)
    assert (await client.refund(attempt["attempt_id"], 30_000)).status == 201
    open_ones = [each for each in await payments(client, lease) if each["amount_due"]]
    last = lease["schedule"][open_ones[-1]["number"] - 1]
    again = await paid(client, last)
    assert again["amount"] == open_ones[-1]["amount_due"]
    answer = await client.payments.post(f"/api/v1/leases/{lease['lease_id']}/payoff", METHOD)
    rest = answer.json
    assert rest["amount"] == 30_000 - again["amount"]
    after = await read(client, lease, answer)
    assert (after["status"], after["balance"]) == ("paid_off", 0)
    assert after["amount_paid"] == attempt["amount"]
    await client.refund(again["attempt_id"])
    await client.refund(rest["attempt_id"], 1)
    all_of_it = await client.refund(attempt["attempt_id"])
    after = await read(client, lease, all_of_it)
    assert after["amount_paid"] == rest["amount"] - 1
    assert after["balance"] == lease["balance"] - after["amount_paid"]
    await check(system, client)


async def test_an_instalment_paid_before_a_payoff(client: Client, system: System) -> None:
    """What was collected before the payoff can go back after it, and is all that is owed again."""
    lease = await new_lease(client, term=4)
    whole = await paid(client, lease["schedule"][0])
    part = await paid(client, lease["schedule"][3], 700)
    payoff = await paid_off(client, lease)
    await client.refund(part["attempt_id"])
    refund = await client.refund(whole["attempt_id"], 100)
    after = await read(client, lease, refund)
    assert (after["status"], after["balance"]) == ("active", 800)
    assert [each["amount_due"] for each in await payments(client, lease)] == [100, 0, 0, 700]
    last = await client.refund(payoff["attempt_id"])
    after = await read(client, lease, last)
    assert after["balance"] == lease["balance"] - whole["amount"] + 100
    await check(system, client)


async def test_money_given_back_on_a_closed_lease(client: Client, system: System) -> None:
    """What was paid goes down; the lease stays closed, nothing is owed again and nothing is open again."""
    lease = await new_lease(client, term=4)
    whole = await paid(client, lease["schedule"][0])
    part = await paid(client, lease["schedule"][1], 700)
    url = f"/api/v1/leases/{lease['lease_id']}"
    closed = await client.leases.post(f"{url}/charge-off", {"reason": "insolvent"})
    assert closed.status == 200
    await client.payments.get(f"{url}/payments", **closed.token)
    await client.refund(part["attempt_id"])
    answer = await client.refund(whole["attempt_id"], 100)
    assert answer.status == 201
    after = await read(client, lease, answer)
    assert (after["status"], after["balance"], after["next_due_date"]) == ("charged_off", 0, None)
    assert after["amount_paid"] == whole["amount"] - 100
    shown = [(each["status"], each["amount_paid"]) for each in await payments(client, lease)]
    assert shown[1:] == [("cancelled", 0)] * 3
    assert (shown[0][0] in ("paid", "cancelled"), shown[0][1]) == (True, whole["amount"] - 100)
    await check(system, client)


async def test_any_lives_agree_everywhere(client: Client, system: System) -> None:
    """Payments, payoffs, refunds, quotes and closings at random: all books agree to the cent in the end."""

    async def live(seed: int) -> None:
        random = Random(seed)
        lease = await new_lease(client, term=5, start_date=days_ago(40), principal=60_001 + seed)
        collected: list[str] = []
        url = f"/api/v1/leases/{lease['lease_id']}"
        for _ in range(14):
            if random.random() < 0.1:
                answer = await client.payments.post(f"{url}/payoff-quotes", {"as_of": days_ago(0)})
                assert answer.status in (201, 409, 422)
            if random.random() < 0.03:
                answer = await client.leases.post(f"{url}/charge-off", {"reason": "insolvent"})
                assert answer.status in (200, 409)
            if collected and random.random() < 0.5:
                amount = random.choice([None, random.randint(1, 15_000)])
                answer = await client.refund(random.choice(collected), amount)
                assert answer.status in (201, 409, 422)
                continue
            if random.random() < 0.3:
                answer = await client.payments.post(f"{url}/payoff", METHOD)
            else:
                row = random.choice(lease["schedule"])
                answer = await client.attempt(
                    row["payment_id"], amount=random.choice([None, random.randint(1, 6000)])
                )
            assert answer.status in (201, 409, 422)
            if answer.status == 201:
                collected.append(answer.json["attempt_id"])

    await asyncio.gather(*(live(seed) for seed in range(12)))
    await check(system, client)
