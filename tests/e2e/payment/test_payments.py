"""Collecting instalments over HTTP: what each end of an attempt answers and leaves behind."""

import asyncio
from typing import Any

import pytest

from tests.support.builders.lease_terms import terms
from tests.support.system.client import Answer, Client, fresh_key
from tests.support.waiting import eventually


async def _payment(client: Client, payment_id: str) -> dict[str, Any]:
    answer = await client.payments.get(f"/api/v1/payments/{payment_id}")
    assert answer.status == 200
    payment: dict[str, Any] = answer.json
    return payment


async def _new_lease(client: Client, **changes: Any) -> tuple[dict[str, Any], list[str]]:
    """A lease that has reached the payment service, and the ids of its payments."""
    lease, answer = await client.create(terms(**changes))
    arrived = await client.payments.get(f"/api/v1/leases/{lease['lease_id']}/payments", **answer.token)
    assert arrived.status == 200
    return lease, [row["payment_id"] for row in lease["schedule"]]


async def test_payments_of_a_new_lease(client: Client) -> None:
    """The payments are the schedule's rows, all to be paid; each can be read alone."""
    lease, answer = await client.create(terms())
    listed = await client.payments.get(f"/api/v1/leases/{lease['lease_id']}/payments", **answer.token)
    assert listed.json["lease_id"] == lease["lease_id"]
    assert listed.json["currency"] == "USD"
    assert listed.json["items"] == [
        {
            "payment_id": row["payment_id"],
            "lease_id": lease["lease_id"],
            "number": row["number"],
            "due_date": row["due_date"],
            "currency": "USD",
            "amount": row["amount"],
            "amount_paid": 0,
            "amount_due": row["amount"],
            "status": "scheduled",
            "attempts": 0,
            "next_retry_at": None,
            "last_attempt_id": None,
            "autopay_stopped": None,
        }
        for row in lease["schedule"]
    ]
    second = listed.json["items"][1]
    assert await _payment(client, second["payment_id"]) == second


async def test_attempt_that_succeeds(client: Client) -> None:
    """A whole payment is 201, the attempt can be read where Location says, and the gateway has one charge."""
    lease, (payment_id, *_) = await _new_lease(client)
    answer = await client.attempt(payment_id)
    assert answer.status == 201
    attempt = answer.json
    due = lease["schedule"][0]["amount"]
    assert (attempt["kind"], attempt["status"], attempt["amount"]) == ("instalment", "succeeded", due)
    assert (attempt["lease_id"], attempt["payment_id"]) == (lease["lease_id"], payment_id)
    assert attempt["decline"] is None
    assert attempt["created_at"] <= attempt["settled_at"]
    paid = attempt["payment"]
    assert (paid["status"], paid["amount_paid"], paid["amount_due"], paid["attempts"]) == ("paid", due, 0, 1)
    assert (await client.payments.get(answer.headers["Location"])).json == attempt
    assert await _payment(client, payment_id) == paid
    [charge] = await client.charges(payment_id=payment_id)
    assert (charge["charge_id"], charge["status"]) == (attempt["gateway_reference"], "succeeded")
    assert (charge["amount"], charge["currency"]) == (due, "USD")
    assert charge["metadata"]["attempt_id"] == charge["idempotency_key"] == attempt["attempt_id"]
    again = await client.attempt(payment_id)
    assert again.status == 409


async def test_partial_payments(client: Client) -> None:
    """Parts add up; more than what is left is 422 naming the amount; nothing more is charged."""
    lease, (payment_id, *_) = await _new_lease(client)
    due = lease["schedule"][0]["amount"]
    first = await client.attempt(payment_id, amount=1)
    assert first.status == 201
    assert (first.json["payment"]["status"], first.json["payment"]["amount_due"]) == ("scheduled", due - 1)
    too_much = await client.attempt(payment_id, amount=due)
    assert too_much.status == 422
    assert [error["pointer"] for error in too_much.json["errors"]] == ["/amount"]
    rest = await client.attempt(payment_id)
    assert rest.status == 201
    assert (rest.json["amount"], rest.json["payment"]["status"]) == (due - 1, "paid")
    attempts = (await client.payments.get(f"/api/v1/payments/{payment_id}/attempts?limit=1")).json
    more = f"/api/v1/payments/{payment_id}/attempts?limit=1&cursor={attempts['next_cursor']}"
    both = attempts["items"] + (await client.payments.get(more)).json["items"]
    assert [each["attempt_id"] for each in both] == [first.json["attempt_id"], rest.json["attempt_id"]]
    charges = await client.charges(payment_id=payment_id)
    assert [charge["amount"] for charge in charges] == [1, due - 1]


@pytest.mark.parametrize(
    ("method", "code", "class_", "advice"),
    [
        ("pm_card_insufficient_funds", "insufficient_funds", "soft", "retry_later"),
        ("pm_card_do_not_honor", "do_not_honor", "soft", "retry_later"),
        ("pm_card_lost", "lost_card", "hard", "update_instrument"),
        ("pm_card_expired", "expired_card", "hard", "update_instrument"),
        ("pm_card_suspected_fraud", "suspected_fraud", "hard", "do_not_retry"),
        ("pm_never_heard_of", "invalid_payment_method", "hard", "update_instrument"),
    ],
)
async def test_declines(client: Client, method: str, code: str, class_: str, advice: str) -> None:
    """A decline is 402 with its class and advice; the payment stays open, and another card pays it."""
    _, (payment_id, *_) = await _new_lease(client)
    answer = await client.attempt(payment_id, method)
    assert answer.status == 402
    assert answer.json["decline"] == {"code": code, "class": class_, "advice": advice, "retry_at": None}
    attempt = (await client.payments.get(f"/api/v1/attempts/{answer.json['attempt_id']}")).json
    assert (attempt["status"], attempt["decline"]) == ("declined", answer.json["decline"])
    payment = await _payment(client, payment_id)
    assert (payment["status"], payment["amount_paid"], payment["attempts"]) == ("scheduled", 0, 1)
    assert payment["last_attempt_id"] == attempt["attempt_id"]
    assert (await client.attempt(payment_id)).status == 201


async def test_card_that_works_the_third_time(client: Client) -> None:
    """Two soft declines, then money, are three attempts and one successful charge."""
    _, (payment_id, *_) = await _new_lease(client)
    statuses = [(await client.attempt(payment_id, "pm_card_ok_on_third")).status for _ in range(3)]
    assert statuses == [402, 402, 201]
    assert (await _payment(client, payment_id))["attempts"] == 3
    charged = [charge["status"] for charge in await client.charges(payment_id=payment_id)]
    assert charged == ["declined", "declined", "succeeded"]


async def test_gateway_that_is_down(client: Client) -> None:
    """502 with Retry-After: certainly nothing was charged, and it may be tried again at once."""
    _, (payment_id, *_) = await _new_lease(client)
    answer = await client.attempt(payment_id, "pm_gateway_down")
    assert answer.status == 502  # that Retry-After is there is checked of every answer
    attempt = (await client.payments.get(f"/api/v1/attempts/{answer.json['attempt_id']}")).json
    assert (attempt["status"], attempt["gateway_reference"]) == ("failed", None)
    assert await client.charges(payment_id=payment_id) == []
    assert (await _payment(client, payment_id))["status"] == "scheduled"
    assert (await client.attempt(payment_id)).status == 201


async def test_attempts_at_once_on_one_payment(client: Client) -> None:
    """Of many attempts at once on one payment one is carried out, and the others are 409: one charge."""
    _, (payment_id, *_) = await _new_lease(client)
    answers = await asyncio.gather(*(client.attempt(payment_id) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 19
    assert len(await client.charges(payment_id=payment_id)) == 1


async def test_attempt_without_an_answer(client: Client) -> None:
    """No answer from the gateway is 202 `unknown`: nothing more is tried until the gateway has been asked.

    Meanwhile the payment is `processing`, and neither it nor a payoff can be paid (409); other payments can.
    Then the truth comes in by itself: the money that moved is there, what was declined is open again.
    """
    lease, (took, refused, other) = await _new_lease(client)
    keys = [{"Idempotency-Key": fresh_key()} for _ in range(2)]
    methods = ("pm_timeout_then_ok", "pm_timeout_then_declined")
    answers = await asyncio.gather(
        client.attempt(took, methods[0], None, **keys[0]),
        client.attempt(refused, methods[1], None, **keys[1]),
    )
    for payment_id, answer in zip((took, refused), answers, strict=True):
        assert answer.status == 202
        assert (answer.json["status"], answer.json["settled_at"]) == ("unknown", None)
        assert answer.headers["Location"] == f"/api/v1/attempts/{answer.json['attempt_id']}"
        assert (await _payment(client, payment_id))["status"] == "processing"
        assert (await client.attempt(payment_id)).status == 409
    payoff = await client.payments.post(
        f"/api/v1/leases/{lease['lease_id']}/payoff", {"payment_method": "pm_card_ok"}
    )
    assert payoff.status == 409
    assert (await client.attempt(other, amount=100)).status == 201

    settled = [await _settled(client, answer) for answer in answers]
    assert [attempt["status"] for attempt in settled] == ["succeeded", "declined"]
    assert settled[1]["decline"]["code"] == "insufficient_funds"
    assert (await _payment(client, took))["status"] == "paid"
    assert (await _payment(client, refused))["status"] == "scheduled"
    for payment_id, status in ((took, "succeeded"), (refused, "declined")):
        assert [charge["status"] for charge in await client.charges(payment_id=payment_id)] == [status]
    for payment_id, method, key, attempt, status in zip(
        (took, refused), methods, keys, settled, (201, 402), strict=True
    ):
        again = await client.attempt(payment_id, method, None, **key)
        assert (again.status, again.json["attempt_id"]) == (status, attempt["attempt_id"])
        assert again.headers["Idempotency-Replayed"] == "true"
    last = await client.attempt(refused)
    assert last.status == 201
    await _told_in_order(client, lease["lease_id"], settled, after=last)


@pytest.mark.parametrize(
    ("method", "status", "http_status"),
    [("pm_timeout_then_declined", "rejected", 402), ("pm_timeout_then_ok", "succeeded", 201)],
)
async def test_a_command_is_pending_while_its_attempt_is_unknown(
    client: Client, method: str, status: str, http_status: int
) -> None:
    """Asked for with `respond-async`: `/commands/{id}` shows the attempt so far, and then how it ended.

    Whoever repeats the request meanwhile, also with `wait=30`, is told at once what is known so far.
    """
    _, (payment_id, *_) = await _new_lease(client)
    key = {"Idempotency-Key": fresh_key()}
    asked = await client.attempt(payment_id, method, None, Prefer="respond-async", **key)
    assert (asked.status, asked.json["status"]) == (202, "pending")

    async def unknown() -> dict[str, Any] | None:
        found: dict[str, Any] = (await client.payments.get(asked.json["status_url"])).json
        assert found["status"] == "pending"
        return found if found["outcome"] else None

    so_far = await eventually(unknown, "the gateway has not answered")
    assert so_far is not None
    assert (so_far["http_status"], so_far["completed_at"]) == (202, None)
    assert so_far["outcome"]["status"] == "unknown"
    repeated = await client.attempt(payment_id, method, None, Prefer="wait=30", **key)
    if repeated.status == 202:  # the resolver has not been faster
        assert repeated.json == so_far["outcome"]
    outcome = await client.payments.outcome(asked)
    assert (outcome["status"], outcome["http_status"]) == (status, http_status)
    assert outcome["outcome"]["attempt_id"] == so_far["outcome"]["attempt_id"]
    assert outcome["completed_at"] is not None
    again = await client.attempt(payment_id, method, None, **key)
    assert (again.status, again.json) == (http_status, outcome["outcome"])


async def _settled(client: Client, answer: Answer) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        attempt: dict[str, Any] = (await client.payments.get(answer.headers["Location"])).json
        return attempt if attempt["settled_at"] else None

    found = await eventually(look, "the resolver has asked the gateway", within_s=60)
    assert found is not None
    return found


async def _told_in_order(client: Client, lease_id: str, settled: list[dict[str, Any]], after: Answer) -> None:
    """The ledger has: started, unknown, resolved, and at once what it was resolved to."""
    url = f"/api/v1/audit/leases/{lease_id}?limit=200"
    trail = (await client.ledger.get(url, **after.token)).json["items"]
    for attempt in settled:
        told = [entry for entry in trail if entry["data"].get("attempt_id") == attempt["attempt_id"]]
        assert [entry["type"] for entry in told] == [
            "payment.attempt_started",
            "payment.unknown",
            "payment.resolved",
            f"payment.{attempt['status']}",
        ]
        assert told[2]["data"]["outcome"] == attempt["status"]
        assert told[3]["sequence"] == told[2]["sequence"] + 1
