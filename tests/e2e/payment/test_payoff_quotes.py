"""Payoff quotes over HTTP: an estimate, a promise, and what is paid for it."""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from tests.support.builders.lease_terms import days_ago, terms, today
from tests.support.oracles.invariants import check
from tests.support.oracles.payoff import payoff
from tests.support.system.client import Answer, Client, fresh_key
from tests.support.system.collections import payment, run
from tests.support.system.system import System
from tests.support.waiting import eventually

METHOD = {"payment_method": "pm_card_ok"}


async def _lease(client: Client, **changes: Any) -> tuple[dict[str, Any], str]:
    """A lease in its second period that has reached the payment service, and its path."""
    lease, answer = await client.create(
        terms(principal=1_200_000, term=12, start_date=days_ago(40)) | changes
    )
    url = f"/api/v1/leases/{lease['lease_id']}"
    await client.payments.get(f"{url}/payments", **answer.token)
    return lease, url


async def _quote(client: Client, url: str, ahead: int = 10) -> dict[str, Any]:
    as_of = (today() + timedelta(days=ahead)).isoformat()
    answer = await client.payments.post(f"{url}/payoff-quotes", {"as_of": as_of})
    assert answer.status == 201, answer
    quote: dict[str, Any] = answer.json
    return quote


async def _pay(client: Client, url: str, quote: dict[str, Any], method: str = "pm_card_ok") -> Answer:
    body = {"payment_method": method, "quote_id": quote["quote_id"]}
    return await client.payments.post(f"{url}/payoff", body)


def _says(answer: Answer, status: int, words: str) -> None:
    assert (answer.status, words in answer.json["detail"]) == (status, True), answer


async def test_quoted_and_paid(client: Client) -> None:
    """Estimate and quote are what the rules give; it is paid to the cent, and closes as of the quoted day."""
    lease, url = await _lease(client, fees=[{"code": "origination", "amount": 2500}])
    rows = lease["schedule"]
    for row, amount in ((rows[0], 15_000), (rows[5], rows[5]["amount"])):  # in part, and long before its time
        assert (await client.attempt(row["payment_id"], amount=amount)).status == 201
    before = (await client.payments.get(f"{url}/payments")).json["items"]
    as_of = today() + timedelta(days=35)  # beyond a due date that is still to come
    estimate = (await client.payments.get(f"{url}/payoff-quote?as_of={as_of}")).json
    answer = await client.payments.post(f"{url}/payoff-quotes", {"as_of": as_of.isoformat()})
    assert answer.status == 201
    quote = answer.json
    by_hand = payoff(lease, before, as_of)
    balance = sum(payment["amount_due"] for payment in before)
    amount = by_hand.pop("amount")
    assert estimate == {
        "lease_id": lease["lease_id"],
        "as_of": as_of.isoformat(),
        "amount": amount,
        "currency": "USD",
        "breakdown": by_hand,
        "interest_saved": balance - amount,
        "refund_due": 0,
    }
    quote_id = quote["quote_id"]
    expires_at = f"{as_of + timedelta(days=1)}T00:00:00.000000Z"
    assert quote == estimate | {"quote_id": quote_id, "expires_at": expires_at}
    assert (await client.payments.get(answer.headers["Location"])).json["outcome"] == quote
    assert await client.charges(lease_id=lease["lease_id"], attempt_id=quote_id) == []
    read = (await client.leases.get(url, **answer.token)).json
    assert (read["status"], read["balance"], read["version"]) == ("active", balance, 3)

    paid = await _pay(client, url, {"quote_id": quote_id.upper()})
    assert paid.status == 201
    attempt = paid.json
    assert (attempt["amount"], attempt["breakdown"]) == (amount, by_hand)
    assert (attempt["quote_id"], attempt["kind"]) == (quote_id, "payoff")
    [charge] = await client.charges(attempt_id=attempt["attempt_id"])
    assert charge["amount"] == amount
    assert (await client.payments.get(paid.headers["Location"])).json == attempt
    after = (await client.payments.get(f"{url}/payments")).json["items"]
    for old, new in zip(before, after, strict=True):
        has_come = date.fromisoformat(old["due_date"]) <= as_of
        assert new["amount_due"] == 0
        assert new["status"] == ("paid" if has_come or old["status"] == "paid" else "cancelled")
    read = (await client.leases.get(url, **paid.token)).json
    assert (read["status"], read["balance"]) == ("paid_off", 0)
    _says(await _pay(client, url, quote), 409, "has been used")

    trail = (await client.ledger.get(f"/api/v1/audit/leases/{lease['lease_id']}", **paid.token)).json["items"]
    told = {entry["type"]: entry["data"] for entry in trail}
    assert told["payoff.quoted"] == quote | {"formula": "payoff/2"}
    settled = told["payoff.succeeded"]
    for name in ("quote_id", "amount", "breakdown", "interest_saved", "as_of", "formula"):
        assert settled[name] == told["payoff.quoted"][name]
    story = (await client.ledger.get(f"/api/v1/audit/leases/{lease['lease_id']}/timeline")).json["items"]
    [line] = [item for item in story if item["type"] == "payoff.quoted"]
    assert (line["title"], line["amount"], line["balance_after"]) == ("Payoff quoted", amount, balance)


async def test_two_payoffs_with_one_quote_at_once(client: Client) -> None:
    """One of them pays, the other is 409: one charge."""
    lease, url = await _lease(client)
    quote = await _quote(client, url)
    answers = await asyncio.gather(*(_pay(client, url, quote) for _ in range(2)))
    assert sorted(answer.status for answer in answers) == [201, 409]
    [charge] = await client.charges(lease_id=lease["lease_id"])
    assert charge["amount"] == quote["amount"]


async def test_stale_after_a_payment(client: Client) -> None:
    """A payment since makes the quote worthless: 409, nothing is charged; a new quote is right."""
    lease, url = await _lease(client)
    quote = await _quote(client, url)
    assert (await client.attempt(lease["schedule"][0]["payment_id"], amount=100)).status == 201
    _says(await _pay(client, url, quote), 409, "A new quote is needed")
    assert len(await client.charges(lease_id=lease["lease_id"])) == 1
    fresh = await _quote(client, url)
    assert fresh["amount"] == quote["amount"] - 100
    assert (await _pay(client, url, fresh)).json["amount"] == fresh["amount"]


async def test_a_late_fee_after_the_quote(client: Client) -> None:
    """The lender breaks no promise: paid off for the quoted amount, and the fee assessed since is waived.

    It is owed again, with the rest of the schedule, once all of the payoff has been given back.
    """
    late_fee = {"grace_days": 5, "amount": 1500}
    lease, url = await _lease(client, start_date=days_ago(46), late_fee=late_fee)
    lease_id = lease["lease_id"]
    quote = await _quote(client, url, 5)
    await run(client, today())
    late = await payment(client, lease)
    assert (late["status"], late["amount_due"]) == ("late", lease["schedule"][0]["amount"] + 1500)
    paid = await _pay(client, url, quote)
    assert (paid.status, paid.json["amount"]) == (201, quote["amount"])
    assert (paid.json["waived"], paid.json["refund_due"]) == ({"late_fees": 1500}, 0)
    [charge] = await client.charges(lease_id=lease_id)
    assert charge["amount"] == quote["amount"]
    assert await payment(client, lease) == late | {
        "status": "paid",
        "amount": lease["schedule"][0]["amount"],
        "amount_paid": lease["schedule"][0]["amount"],
        "amount_due": 0,
    }
    read = (await client.leases.get(url, **paid.token)).json
    assert (read["status"], read["balance"], read["amount_paid"]) == ("paid_off", 0, quote["amount"])
    journal = (await client.ledger.get(f"/api/v1/audit/leases/{lease_id}/journal", **paid.token)).json
    [booked] = [each for each in journal["items"] if each["type"] == "payoff.succeeded"]
    lines = {(each["account"], each["side"]): each["amount"] for each in booked["postings"]}
    assert lines["income:late_fees", "debit"] == lines["receivable:fees", "credit"] == 1500
    assert lines["cash", "debit"] == quote["amount"]

    back = await client.refund(paid.json["attempt_id"])
    read = (await client.leases.get(url, **back.token)).json
    assert (read["status"], read["balance"]) == ("active", lease["total_payable"] + 1500)


async def test_a_payoff_below_zero(client: Client) -> None:
    """100,000 at 24 % in two, from today: number 2 is paid, number 1 but for one cent.

    1 + 0 - (2000 + 1010) = -3009: nothing is charged, the lease is closed, and 3009 go back by themselves.
    Then a part of what was collected is given back by hand: the schedule is owed, but not that interest.
    """
    lease, url = await _lease(client, principal=100_000, annual_rate="0.24", term=2, start_date=days_ago(0))
    lease_id, (one, two) = lease["lease_id"], lease["schedule"]
    assert (one["interest"], two["interest"]) == (2000, 1010)
    first = await client.attempt(two["payment_id"])
    last = await client.attempt(one["payment_id"], amount=one["amount"] - 1)
    as_of = lease["start_date"]
    estimate = (await client.payments.get(f"{url}/payoff-quote?as_of={as_of}")).json
    parts = {"principal": 1, "accrued_interest": 0, "fees": 0, "late_fees": 0, "credits": 3010}
    assert estimate == {
        "lease_id": lease_id,
        "as_of": as_of,
        "amount": 0,
        "refund_due": 3009,
        "currency": "USD",
        "breakdown": parts,
        "interest_saved": 3010,
    }
    quote = (await client.payments.post(f"{url}/payoff-quotes", {"as_of": as_of})).json
    assert (quote["amount"], quote["refund_due"], quote["breakdown"]) == (0, 3009, parts)
    paid = await _pay(client, url, quote)
    assert (paid.status, paid.json["amount"], paid.json["refund_due"]) == (201, 0, 3009)
    assert (paid.json["gateway_reference"], paid.json["breakdown"]) == (None, parts)
    assert await client.charges(attempt_id=paid.json["attempt_id"]) == []

    async def given_back() -> list[dict[str, Any]] | None:
        refunds = await client.refunds(lease_id=lease_id)
        read = (await client.leases.get(url)).json
        return refunds if read["amount_paid"] == 100_000 else None

    found = await eventually(given_back, "what is due back has gone back")
    assert found is not None
    [refund] = found
    assert (refund["amount"], refund["charge_id"]) == (3009, last.json["gateway_reference"])
    read = (await client.leases.get(url)).json
    assert (read["status"], read["balance"]) == ("paid_off", 0)
    attempt = (await client.payments.get(f"/api/v1/attempts/{refund['metadata']['attempt_id']}")).json
    assert (attempt["kind"], attempt["reason"], attempt["refunds"]) == (
        "refund",
        "refund_due",
        last.json["attempt_id"],
    )

    back = await client.refund(first.json["attempt_id"], 100)
    assert back.status == 201
    read = (await client.leases.get(url, **back.token)).json
    assert (read["status"], read["balance"], read["amount_paid"]) == ("active", 1 + 100, 99_900)
    state = await client.ledger.get(f"/api/v1/audit/leases/{lease_id}/journal?limit=200", **back.token)
    accounts = {each["account"]: each["balance"] for each in state.json["balances"]["USD"]["accounts"]}
    assert (accounts["payable:refunds"], accounts["receivable:principal"]) == (0, 101)


async def test_payment_in_flight(client: Client) -> None:
    """While a payment's outcome is to come, no quote and no payoff; if it moved nothing, the quote holds."""
    lease, url = await _lease(client)
    quote = await _quote(client, url)
    lost = await client.attempt(lease["schedule"][0]["payment_id"], "pm_timeout_then_declined")
    assert lost.json["status"] == "unknown"
    _says(await _pay(client, url, quote), 409, "in flight")
    refused = await client.payments.post(f"{url}/payoff-quotes", {"as_of": today().isoformat()})
    _says(refused, 409, "in flight")
    assert (await client.payments.get(f"{url}/payoff-quote?as_of={quote['as_of']}")).status == 200
    await _settled(client, lost)
    assert (await _pay(client, url, quote)).json["amount"] == quote["amount"]


@pytest.mark.parametrize(("method", "status"), [("pm_card_lost", 402), ("pm_gateway_down", 502)])
async def test_payoff_that_moved_nothing_frees_the_quote(client: Client, method: str, status: int) -> None:
    """Declined or never reached: the same quote is good for another try, and then used up."""
    _, url = await _lease(client)
    quote = await _quote(client, url)
    refused = await _pay(client, url, quote, method)
    assert refused.status == status
    attempt = (await client.payments.get(f"/api/v1/attempts/{refused.json['attempt_id']}")).json
    assert (attempt["quote_id"], attempt["amount"]) == (quote["quote_id"], quote["amount"])
    paid = await _pay(client, url, quote)
    assert (paid.status, paid.json["amount"]) == (201, quote["amount"])


async def test_unknown_payoff_keeps_the_quote(client: Client, system: System) -> None:
    """Nobody knows whether the money moved: the quote is held, and used up once it is known to have."""
    lease, url = await _lease(client)
    quote = await _quote(client, url)
    lost = await _pay(client, url, quote, "pm_timeout_then_ok")
    assert (lost.status, lost.json["status"]) == (202, "unknown")
    _says(await _pay(client, url, quote), 409, "in flight")
    used_by = await system.value(
        "SELECT used_by::text FROM payment.quotes WHERE quote_id = $1::text::uuid", quote["quote_id"]
    )
    assert used_by == lost.json["attempt_id"]
    assert (await _settled(client, lost))["status"] == "succeeded"
    _says(await _pay(client, url, quote), 409, "has been used")
    [charge] = await client.charges(lease_id=lease["lease_id"])
    assert charge["amount"] == quote["amount"]


async def test_expired(client: Client, system: System) -> None:
    """After the midnight that ends its day a quote is 409; here the midnight is moved, not waited for."""
    _, url = await _lease(client)
    quote = await _quote(client, url)
    await system.rows(
        "UPDATE payment.quotes SET expires_at = now() WHERE quote_id = $1::text::uuid", quote["quote_id"]
    )
    _says(await _pay(client, url, quote), 409, "has expired")


async def test_quotes_of_nothing_and_of_others(client: Client) -> None:
    """A quote that is not there or another lease's is 422 on its field, and that quote stays good."""
    _, url = await _lease(client)
    _, other = await _lease(client)
    quote = await _quote(client, other)
    for quote_id in (quote["quote_id"], "01890a5d-ac96-774b-8bce-b302099a8057"):
        answer = await _pay(client, url, {"quote_id": quote_id})
        assert (answer.status, answer.json["errors"]) == (
            422,
            [{"pointer": "/quote_id", "detail": "is no quote of this lease"}],
        )
    assert (await _pay(client, other, quote)).status == 201


async def test_days_that_cannot_be_quoted(client: Client) -> None:
    """Over, too far ahead, before the lease starts: 422 on the day; a lease that is not there: 404."""
    _, url = await _lease(client)
    for ahead in (-1, 61, -20_000):
        body = {"as_of": (today() + timedelta(days=ahead)).isoformat()}
        answer = await client.payments.post(f"{url}/payoff-quotes", body)
        assert (answer.status, [error["pointer"] for error in answer.json["errors"]]) == (422, ["/as_of"])
    starts = today() + timedelta(days=20)
    _, future = await _lease(client, start_date=starts.isoformat())
    body = {"as_of": (starts - timedelta(days=1)).isoformat()}
    for answer in (
        await client.payments.post(f"{future}/payoff-quotes", body),
        await client.payments.get(f"{future}/payoff-quote?as_of={body['as_of']}"),
        await client.payments.get(f"{future}/payoff-quote"),
    ):
        assert answer.status == 422
        assert [error["pointer"] for error in answer.json["errors"]] == ["/as_of"]
    assert (await client.payments.get(f"{future}/payoff-quote?as_of={starts}")).json["amount"] == 1_200_000
    nowhere = "/api/v1/leases/01890a5d-ac96-774b-8bce-b302099a8057"
    assert (await client.payments.get(f"{nowhere}/payoff-quote")).status == 404
    assert (await client.payments.post(f"{nowhere}/payoff-quotes", {"as_of": str(today())})).status == 404


async def test_estimate(client: Client) -> None:
    """Today where no day is given, any day from the start on; at maturity nothing is saved; paid is 409."""
    lease, answer = await client.create(terms(principal=1_200_000, term=12, start_date=days_ago(40)))
    url = f"/api/v1/leases/{lease['lease_id']}"
    day_before = today()
    estimate = (await client.payments.get(f"{url}/payoff-quote", **answer.token)).json
    assert estimate["as_of"] in {str(day_before), str(today())}  # midnight may lie between
    past = (await client.payments.get(f"{url}/payoff-quote?as_of={days_ago(40)}")).json
    assert (past["amount"], past["interest_saved"]) == (1_200_000, lease["total_interest"])
    for as_of in (lease["maturity_date"], "9999-12-31"):
        late = (await client.payments.get(f"{url}/payoff-quote?as_of={as_of}")).json
        assert (late["amount"], late["interest_saved"]) == (lease["balance"], 0)
    assert (await client.payments.post(f"{url}/payoff", METHOD)).status == 201
    _says(await client.payments.get(f"{url}/payoff-quote"), 409, "Nothing is left")
    body = {"as_of": today().isoformat()}
    _says(await client.payments.post(f"{url}/payoff-quotes", body), 409, "Nothing is left")


async def test_one_key_is_one_quote(client: Client) -> None:
    """A repeated request gets its first quote again; for who does not wait it is the command's outcome."""
    lease, url = await _lease(client)
    body, key = {"as_of": today().isoformat()}, fresh_key()
    pending = await client.payments.post(
        f"{url}/payoff-quotes", body, Idempotency_Key=key, Prefer="respond-async"
    )
    assert pending.status == 202
    assert pending.json["resource_url"] == pending.json["status_url"]
    outcome = await client.payments.outcome(pending)
    again = await client.payments.post(f"{url}/payoff-quotes", body, Idempotency_Key=key)
    assert (again.status, again.json, again.headers["Idempotency-Replayed"]) == (
        201,
        outcome["outcome"],
        "true",
    )
    trail = (await client.ledger.get(f"/api/v1/audit/leases/{lease['lease_id']}", **again.token)).json[
        "items"
    ]
    assert [entry["type"] for entry in trail] == ["lease.created", "payoff.quoted"]


async def test_books_agree(client: Client, system: System) -> None:
    """After all of this every book of the system says the same, to the cent."""
    await check(system, client)


async def _settled(client: Client, answer: Answer) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        attempt: dict[str, Any] = (await client.payments.get(answer.headers["Location"])).json
        return attempt if attempt["settled_at"] else None

    found = await eventually(look, "the resolver has asked the gateway", within_s=60)
    assert found is not None
    return found
