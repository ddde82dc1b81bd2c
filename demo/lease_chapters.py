"""The first chapters: who is there, a lease is made, and fifty impatient clients make one more, not fifty."""

import asyncio
import os
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from demo.client import Answer, Client
from demo.presentation import Stage, money

DUPLICATES = 50
START_DAYS_AGO = 75  # two instalments have fallen due, the third has not

_ROLES = {
    "lease": "creates leases, keeps each one's schedule, status and balance",
    "payment": "collects instalments through the card gateway, pays leases off early",
    "ledger": "keeps every event for ever, sealed in a Merkle tree",
    "gateway": "a sandbox that plays the bank: it has its own record of every charge",
}


class Story(msgspec.Struct):
    """What one chapter leaves to the next."""

    customer_id: str
    lease: dict[str, Any]
    token: dict[str, str]  # of the last write: a read that carries it sees that write
    attempts: list[str] = []  # all attempts, by id

    @property
    def lease_id(self) -> str:
        """The lease this is all about."""
        return str(self.lease["lease_id"])

    def money(self, amount: int) -> str:
        """An amount of the lease's currency."""
        return money(amount, self.lease["currency"])


async def introduce(client: Client, stage: Stage) -> None:
    """Where the services are, and that they are ready."""
    stage.chapter("Who is there")
    rows = []
    for service, role in _ROLES.items():
        health = await client.call(service, "GET", "/health", quiet=True)
        rows.append((service, client.urls[service], health.body.get("status", health.status), role))
        if health.status != 200:
            stage.check(f"the {service} service is ready", False, health.body)
    stage.table(("service", "address", "health", "what it does"), rows)
    stage.say(
        "A request to change something becomes a [bold]command[/] in RabbitMQ, a worker carries it out in "
        "one PostgreSQL transaction, and what happened is told as [bold]events[/], which the ledger keeps."
    )


async def create(client: Client, stage: Stage) -> Story:
    """A lease with its schedule, readable at once in every service."""
    stage.chapter("A lease is made")
    customer_id = f"demo-{os.urandom(5).hex()}"
    made = await client.call("lease", "POST", "/api/v1/leases", body=_terms(customer_id), expect=201)
    lease = made.body
    story = Story(customer_id=customer_id, lease=lease, token=made.token)
    stage.say(
        f"[bold]{story.money(lease['principal'])}[/] at {float(lease['annual_rate']):.1%} a year, "
        f"{lease['term']} {lease['frequency']} instalments of {story.money(lease['instalment'])} from "
        f"{lease['start_date']} on ({lease['day_count']}). Lease [bold]{story.lease_id}[/]"
    )
    stage.table(
        ("#", "due", "amount", "fees", "interest", "principal", "principal left"),
        [
            (
                row["number"],
                row["due_date"],
                *(
                    money(row[name], lease["currency"]).split()[0]
                    for name in ("amount", "fees", "interest", "principal", "principal_balance")
                ),
            )
            for row in lease["schedule"]
        ],
        right=(0, 2, 3, 4, 5, 6),
    )
    rows = lease["schedule"]
    stage.equal(
        "the schedule repays the principal to the cent",
        sum(row["principal"] for row in rows),
        lease["principal"],
    )
    stage.equal(
        f"all instalments together are {story.money(lease['total_payable'])}, as the lease says",
        sum(row["amount"] for row in rows),
        lease["total_payable"],
    )
    stage.say(
        "The payment service heard of it through the broker. A [bold]Consistency-Token[/] from the first "
        "answer lets a read anywhere else wait until it has caught up:"
    )
    payments = await client.call(
        "payment", "GET", f"/api/v1/leases/{story.lease_id}/payments", headers=story.token, expect=200
    )
    stage.equal(
        f"the payment service knows all {lease['term']} instalments",
        [(each["payment_id"], each["amount_due"]) for each in payments.body["items"]],
        [(row["payment_id"], row["amount"]) for row in rows],
    )
    return story


async def fifty_at_once(client: Client, stage: Stage) -> None:
    """Many POSTs with one Idempotency-Key are one lease."""
    stage.chapter(f"{DUPLICATES} impatient clients")
    stage.say(
        f"A client that got no answer tries again. Here {DUPLICATES} identical requests with one "
        "[bold]Idempotency-Key[/] arrive at the same moment:"
    )
    customer_id = f"demo-{os.urandom(5).hex()}"
    key = {"Idempotency-Key": f"order-{customer_id}"}

    async def one() -> Answer:
        return await client.call(
            "lease", "POST", "/api/v1/leases", body=_terms(customer_id), headers=key, quiet=True
        )

    started = stage.seconds
    answers = await asyncio.gather(*(one() for _ in range(DUPLICATES)))
    took_s = stage.seconds - started
    statuses = sorted({answer.status for answer in answers})
    ids = {answer.body.get("lease_id") for answer in answers}
    replayed = sum(answer.headers.get("Idempotency-Replayed") == "true" for answer in answers)
    stage.say(f"{DUPLICATES} × POST /api/v1/leases → {statuses} in {took_s * 1000:.0f} ms altogether")
    stage.check(
        f"all {DUPLICATES} got 201 with the same lease", statuses == [201] and len(ids) == 1, (statuses, ids)
    )
    stage.equal("one of them made it, the others say Idempotency-Replayed: true", replayed, DUPLICATES - 1)
    listed = await client.get("lease", f"/api/v1/leases?customer_id={customer_id}")
    stage.equal("the customer has exactly one lease", len(listed["items"]), 1)
    other = _terms(customer_id) | {"principal": 1_000_000}
    reused = await client.call("lease", "POST", "/api/v1/leases", body=other, headers=key)
    stage.equal("the same key with another body is refused", reused.status, 422)


def _terms(customer_id: str) -> dict[str, Any]:
    start: date = datetime.now(UTC).date() - timedelta(days=START_DAYS_AGO)
    return {
        "customer_id": customer_id,
        "currency": "USD",
        "principal": 2_400_000,
        "annual_rate": "0.089",
        "term": 12,
        "frequency": "monthly",
        "start_date": start.isoformat(),
        "fees": [{"code": "origination", "amount": 15_000}],
        "metadata": {"what": "espresso machine, three groups"},
    }
