"""Payoff quotes in Postgres: kept whole, used once whatever races, expired by the clock, free again."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from common.kernel.ids import payment_id, uuid7
from common.messaging.envelope import Command, Event, Outcome, encode
from common.postgres.pool import Pool, transaction
from payment_svc.adapters.postgres import account_repository, quote_repository
from payment_svc.application.collection_run import Counts, Run, run_id_of, work_through
from payment_svc.application.command_handlers import PaymentUnit, load, save
from payment_svc.application.gateway import Charged, ChargeResult, Declined, NoAnswer
from payment_svc.application.settlement import settle
from payment_svc.application.workers.retention import prune_quotes
from payment_svc.contracts.commands import PayOffLease, QuotePayoff
from payment_svc.domain.payoff_quote import first_state_of
from tests.support.servers.database import empty, owner, pools
from tests.support.servers.servers import Servers

NOON = datetime(2027, 1, 16, 12, tzinfo=UTC)
TODAY = NOON.date()


class Clock:
    """What the worker takes for the present."""

    now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("payment_svc.application.command_handlers.utcnow", clock)
    return clock


@pytest.fixture
async def its(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    async with owner(servers) as connection:
        await empty(connection, "payment")
        yield connection
        await empty(connection, "payment")


@pytest.fixture
async def two(servers: Servers, its: asyncpg.Connection) -> AsyncIterator[list[Pool]]:
    async with pools(servers, "payment", 2) as opened:
        yield opened


@pytest.fixture
def pool(two: list[Pool]) -> Pool:
    return two[0]


async def new_lease(pool: Pool) -> str:
    """A lease of three instalments that this service has been told of."""
    lease_id = uuid7()
    rows = [(date(2027, month, 1), 40_000, 800, 120_000 - 40_000 * month) for month in (1, 2, 3)]
    schedule = [
        {
            "number": number,
            "payment_id": payment_id(lease_id, number),
            "due_date": due,
            "principal": principal,
            "interest": interest,
            "fees": 0,
            "principal_balance": left,
        }
        for number, (due, principal, interest, left) in enumerate(rows, 1)
    ]
    terms = {"lease_id": lease_id, "currency": "USD", "principal": 120_000, "annual_rate": "0.12"}
    more = {"day_count": "30/360", "start_date": "2026-12-01", "schedule": schedule}
    more |= {"payment_method": None, "autopay": False, "late_fee": None}
    created = Event(
        id=uuid7(),
        source="/lease-svc",
        type="lease.created",
        subject=lease_id,
        time="2026-12-01T08:00:00.000000Z",
        sequence=1,
        correlationid=uuid7(),
        causationid=uuid7(),
        data=msgspec.Raw(encode(terms | more)),
    )
    async with transaction(pool) as connection:
        await PaymentUnit().project(connection, [created])
    return lease_id


async def carry_out(pool: Pool, asked: QuotePayoff | PayOffLease) -> Outcome:
    data = msgspec.Raw(encode(asked))
    command = Command(command_id=uuid7(), type=type(asked).__name__, submitted_at=NOON, data=data)
    async with transaction(pool) as connection:
        [outcome], _ = await PaymentUnit().carry_out(connection, [command])
    return outcome


async def quoted(pool: Pool, lease_id: str, as_of: date = TODAY) -> dict[str, Any]:
    outcome = await carry_out(pool, QuotePayoff(quote_id=uuid7(), lease_id=lease_id, as_of=as_of))
    assert outcome.http_status == 201, bytes(outcome.body)
    quote: dict[str, Any] = json.loads(bytes(outcome.body))
    return quote


async def pay(pool: Pool, lease_id: str, quote: dict[str, Any], attempt_id: str | None = None) -> Outcome:
    """Begin a payoff that cites the quote."""
    asked = PayOffLease(
        attempt_id=attempt_id or uuid7(),
        lease_id=lease_id,
        payment_method="pm_card_ok",
        quote_id=quote["quote_id"],
    )
    return await carry_out(pool, asked)


async def answer(pool: Pool, attempt_id: str, result: ChargeResult) -> None:
    """The gateway has said this of an attempt."""
    async with transaction(pool) as connection:
        [attempt] = await account_repository.attempts(connection, ids=[attempt_id])
        batch = await load(connection, {attempt.lease_id}, payoff_leases=[attempt.lease_id])
        settle(batch, attempt, result)
        await save(connection, batch)


async def used_by(its: asyncpg.Connection) -> str | None:
    """What the only quote is used by."""
    [row] = await its.fetch("SELECT used_by::text FROM payment.quotes")
    found: str | None = row["used_by"]
    return found


def detail(outcome: Outcome) -> str:
    assert outcome.status == "rejected"
    words: str = json.loads(bytes(outcome.body))["detail"]
    return words


async def test_kept_whole(pool: Pool, its: asyncpg.Connection, clock: Clock) -> None:
    """The row says by itself what was promised, and what is read back is the payoff that was worked out."""
    lease_id = await new_lease(pool)
    quote = await quoted(pool, lease_id, TODAY + timedelta(days=1))
    [row] = await its.fetch("SELECT *, quote_id::text AS id, lease_id::text AS lease FROM payment.quotes")
    assert (row["id"], row["lease"], row["amount"]) == (quote["quote_id"], lease_id, quote["amount"])
    assert (row["as_of"], row["formula"], row["used_by"]) == (date(2027, 1, 17), "payoff/2", None)
    assert (row["created_at"], row["expires_at"]) == (NOON, datetime(2027, 1, 18, tzinfo=UTC))
    async with transaction(pool) as connection:
        [kept] = (await quote_repository.get(connection, [quote["quote_id"]])).values()
    assert (kept.payoff.amount, kept.payoff.as_of) == (quote["amount"], date(2027, 1, 17))
    assert msgspec.to_builtins(kept.payoff.breakdown) == quote["breakdown"]
    assert [(each.number, each.status) for each in kept.payoff.instalments] == [
        (1, "paid"),
        (2, "cancelled"),
        (3, "cancelled"),
    ]


async def test_expired_by_the_clock(pool: Pool, clock: Clock) -> None:
    """Good until the midnight that ends its day and not a microsecond longer; then that day is not quoted."""
    lease_id = await new_lease(pool)
    quote = await quoted(pool, lease_id)
    clock.now = datetime(2027, 1, 17, tzinfo=UTC)
    assert "has expired" in detail(await pay(pool, lease_id, quote))
    outcome = await carry_out(pool, QuotePayoff(quote_id=uuid7(), lease_id=lease_id, as_of=TODAY))
    assert outcome.http_status == 422
    clock.now -= timedelta(microseconds=1)
    assert (await pay(pool, lease_id, quote)).status == "pending"


async def assess(pool: Pool, lease_id: str, as_of: date) -> None:
    """A run of collections finds the first instalment late beyond the grace."""
    async with transaction(pool) as connection:
        batch = await load(connection, {lease_id}, payoff_leases=[lease_id])
        [account] = batch.accounts.values()
        account.late_fee = 1500
        run = Run(
            run_id=run_id_of(as_of),
            as_of=as_of,
            status="running",
            command_id=uuid7(),
            traceparent=None,
            started_at=NOON,
            completed_at=None,
            counts=Counts(),
        )
        reached = [each for each in batch.payments.values() if each.due_date <= as_of]
        work_through(batch, run, account, reached, None)
        await save(connection, batch)


@pytest.mark.parametrize("of_before", [False, True])
async def test_the_lender_breaks_no_quote(
    pool: Pool, its: asyncpg.Connection, clock: Clock, of_before: bool
) -> None:
    """A late fee is assessed after the quote: the lease is settled for the quoted amount, the fee is waived.

    Also where the quote's row is one of the version before. What was waived is kept with the attempt.
    """
    lease_id, attempt_id = await new_lease(pool), uuid7()
    quote = await quoted(pool, lease_id, TODAY + timedelta(days=20))
    if of_before:
        async with transaction(pool) as connection:
            [kept] = (await quote_repository.get(connection, [quote["quote_id"]])).values()
            state = first_state_of(
                await account_repository.payments(connection, lease_ids=[lease_id]), kept.payoff
            )
        await its.execute("UPDATE payment.quotes SET state = $1", state)
    await assess(pool, lease_id, TODAY)
    assert await its.fetchval("SELECT sum(late_fees)::int FROM payment.payments") == 1500
    assert (await pay(pool, lease_id, quote, attempt_id)).status == "pending"
    await answer(pool, attempt_id, Charged(reference="ch_1"))
    async with transaction(pool) as connection:
        [attempt] = await account_repository.attempts(connection, ids=[attempt_id])
    assert (attempt.amount, attempt.late_fees_waived) == (quote["amount"], 1500)
    row = await its.fetchrow(
        "SELECT sum(late_fees)::int AS late_fees, sum(late_fees_waived)::int AS waived,"
        " bool_and(status IN ('paid', 'cancelled')) AS settled FROM payment.payments"
    )
    assert tuple(row) == (0, 1500, True)


async def test_two_workers_at_once(two: list[Pool], its: asyncpg.Connection, clock: Clock) -> None:
    """Two workers with the same quote: one begins, the other is refused."""
    for _ in range(5):
        lease_id = await new_lease(two[0])
        quote = await quoted(two[0], lease_id)
        outcomes = await asyncio.gather(*(pay(pool, lease_id, quote) for pool in two))
        assert sorted(outcome.status for outcome in outcomes) == ["pending", "rejected"]
    begun = await its.fetch("SELECT used_by FROM payment.quotes WHERE used_by IS NOT NULL")
    attempts = await its.fetch("SELECT attempt_id FROM payment.attempts")
    assert len(begun) == len(attempts) == 5


async def test_used_once_by_the_table_itself(pool: Pool, its: asyncpg.Connection, clock: Clock) -> None:
    """Code that believes a used quote to be free gets an error, and the first attempt keeps the quote."""
    lease_id, first = await new_lease(pool), uuid7()
    quote = await quoted(pool, lease_id)
    await pay(pool, lease_id, quote, first)
    async with transaction(pool) as connection:
        [kept] = (await quote_repository.get(connection, [quote["quote_id"]])).values()
    assert kept.used_by == first
    kept.used_by = uuid7()
    with pytest.raises(RuntimeError, match="in use already"):
        async with transaction(pool) as connection:
            await quote_repository.claim(connection, [kept])
    assert await used_by(its) == first


async def test_freed_when_no_money_moved(pool: Pool, its: asyncpg.Connection, clock: Clock) -> None:
    """Unknown keeps it, the decline that follows frees it, success keeps it for good."""
    lease_id, first, second = await new_lease(pool), uuid7(), uuid7()
    quote = await quoted(pool, lease_id)
    await pay(pool, lease_id, quote, first)
    await answer(pool, first, NoAnswer(reason="timeout"))
    assert await used_by(its) == first
    assert "in flight" in detail(await pay(pool, lease_id, quote))
    await answer(pool, first, Declined(code="lost_card", reference="ch_1"))
    assert await used_by(its) is None
    await pay(pool, lease_id, quote, second)
    await answer(pool, second, Charged(reference="ch_2"))
    assert await used_by(its) == second
    assert "has been used" in detail(await pay(pool, lease_id, quote))
    settled = await its.fetch("SELECT status, amount FROM payment.attempts ORDER BY attempt_id")
    assert [tuple(row) for row in settled] == [
        ("declined", quote["amount"]),
        ("succeeded", quote["amount"]),
    ]


async def test_quote_and_payoff_in_one_batch(pool: Pool, its: asyncpg.Connection, clock: Clock) -> None:
    """A quote that is made and cited in the same transaction is good for one payoff of the two."""
    lease_id, quote_id = await new_lease(pool), uuid7()
    asked = [
        QuotePayoff(quote_id=quote_id, lease_id=lease_id, as_of=TODAY),
        *(
            PayOffLease(attempt_id=uuid7(), lease_id=lease_id, payment_method="pm_card_ok", quote_id=quote_id)
            for _ in range(2)
        ),
    ]
    commands = [
        Command(
            command_id=uuid7(),
            type=type(each).__name__,
            submitted_at=NOON,
            data=msgspec.Raw(encode(each)),
        )
        for each in asked
    ]
    async with transaction(pool) as connection:
        outcomes, events = await PaymentUnit().carry_out(connection, commands)
    assert [outcome.status for outcome in outcomes] == ["succeeded", "pending", "rejected"]
    assert [event.type for event in events] == ["payoff.quoted", "payment.attempt_started"]
    assert await used_by(its) is not None


async def test_forgotten_after_the_horizon(
    pool: Pool, its: asyncpg.Connection, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expired ones that nobody used go, in bites; what was paid stays, and so does what has just expired."""
    lease_id, other = await new_lease(pool), await new_lease(pool)
    for _ in range(3):
        await quoted(pool, lease_id)
    used = await quoted(pool, lease_id)
    assert (await pay(pool, lease_id, used)).status == "pending"
    fresh = await quoted(pool, other)
    old = "UPDATE payment.quotes SET expires_at = now() - make_interval(days => $1) WHERE lease_id = $2"
    await its.execute(old, 31, lease_id)
    await its.execute(old, 29, other)
    monkeypatch.setattr("payment_svc.application.workers.retention.PRUNE_AT_ONCE", 2)
    async with pool.acquire() as connection:
        assert [await prune_quotes(connection) for _ in range(3)] == [True, False, False]
    rows = await its.fetch("SELECT quote_id::text FROM payment.quotes")
    assert {row[0] for row in rows} == {used["quote_id"], fresh["quote_id"]}
