"""Look-ups that a table grown large must not slow down: each reads the rows it is about, by an index."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from common.kernel.ids import uuid7
from common.postgres.pool import Pool
from ledger_svc.log import repository as ledger_repository
from payment_svc.adapters.postgres import account_repository, collection_run_repository
from payment_svc.application.workers import automatic_refund_worker
from payment_svc.domain.declines import NO_RECORD
from payment_svc.entrypoints.http import webhook_routes
from tests.support.servers.database import empty, owner, pools
from tests.support.servers.servers import Servers

NOW = datetime(2027, 1, 1, tzinfo=UTC)
SOME = [uuid7()]
ROWS = 3000

_FILL = f"""
INSERT INTO payment.attempts (attempt_id, command_id, lease_id, payment_id, kind, amount, currency,
                              payment_method, status, created_at, gateway_reference, refunds)
SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
       (ARRAY['instalment', 'payoff', 'refund'])[n % 3 + 1], 100, 'USD', 'pm', 'succeeded', now(), 'ch_' || n,
       CASE WHEN n % 3 = 2 THEN gen_random_uuid() END
  FROM generate_series(1, {ROWS}) AS n;
INSERT INTO payment.quotes (quote_id, lease_id, as_of, amount, payoff, formula, state, created_at,
                            expires_at, used_by)
SELECT gen_random_uuid(), gen_random_uuid(), '2027-01-01', 1, '{{}}', 'payoff/1', '', now(),
       '2027-02-01', CASE WHEN n % 2 = 0 THEN gen_random_uuid() END
  FROM generate_series(1, {ROWS}) AS n;
INSERT INTO payment.accounts (lease_id, currency, principal, annual_rate, day_count, start_date,
                              lease_sequence, next_look_on)
SELECT gen_random_uuid(), 'USD', 1, '0', '30/360', '2026-12-01', 1, date '2027-01-01' + n % 300
  FROM generate_series(1, {ROWS}) AS n;
ANALYZE payment.attempts, payment.quotes, payment.accounts
"""


@pytest.fixture
async def pool(servers: Servers) -> AsyncIterator[Pool]:
    async with owner(servers) as connection:
        await empty(connection, "payment")
        await connection.execute(_FILL)
        async with pools(servers, "payment") as [opened]:
            yield opened
        await empty(connection, "payment")


QUERIES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "given_back": (webhook_routes.queries.given_back, ("ch_78",)),
    "to_give_back": (automatic_refund_worker.queries.to_give_back, (SOME, SOME, SOME, NO_RECORD)),
    "asked_for": (automatic_refund_worker.queries.asked_for, (SOME, NO_RECORD)),
    "with_money": (automatic_refund_worker.queries.with_money, (SOME, SOME, NO_RECORD)),
    "find_given": (account_repository.queries.find_given, (SOME,)),
    "prune_quotes": (account_repository.queries.prune_quotes, (NOW - timedelta(days=30), 5000)),
    "count_unknown": (account_repository.queries.count_unknown, (NOW,)),
    "take_accounts": (collection_run_repository.queries.take_accounts, (NOW.date(), 20)),
    "look_ahead": (
        collection_run_repository.queries.look_ahead,
        (date(2027, 9, 1), date(2027, 8, 1), SOME[0], 20),
    ),
    "claim_unknown": (account_repository.queries.claim_unknown, (NOW, NOW, 50)),
}


async def test_indexes(pool: Pool) -> None:
    """No statement reads the whole table, or throws away more than a few rows that it has read."""
    async with pool.acquire() as connection:
        for name, (statement, arguments) in QUERIES.items():
            plan = await _plan(connection, statement, arguments)
            assert "Seq Scan on attempts" not in plan, (name, plan)
            assert "Seq Scan on quotes" not in plan, (name, plan)
            assert "Seq Scan on accounts" not in plan, (name, plan)
            removed = sum(map(int, re.findall(r"Rows Removed by (?:Filter|Index Recheck): (\d+)", plan)))
            assert removed < 10, (name, plan)


_FILL_LEDGER = f"""
INSERT INTO ledger.entries
SELECT n, gen_random_uuid(), 'payment.succeeded', '/payment-svc', 1, gen_random_uuid(), now(), now(), '', ''
  FROM generate_series(1, {ROWS}) AS n;
INSERT INTO ledger.places SELECT lease_id, seq, sequence, source FROM ledger.entries;
INSERT INTO ledger.correlations
SELECT CASE WHEN seq % 1000 = 0 THEN '{SOME[0]}' ELSE event_id END, seq FROM ledger.entries;
ANALYZE ledger.entries, ledger.places, ledger.correlations
"""


@pytest.fixture
async def ledger(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    async with owner(servers) as connection:
        await empty(connection, "ledger")
        await connection.execute(_FILL_LEDGER)
        async with pools(servers, "ledger", role="ledger_reader") as [opened], opened.acquire() as its:
            yield its
        await empty(connection, "ledger")


async def test_events_of_a_correlation(ledger: asyncpg.Connection) -> None:
    """A page of what came of one command is read by its index, of a lease as well."""
    queries = ledger_repository.queries
    lease_id = await ledger.fetchval("SELECT lease_id::text FROM entries WHERE seq = 2000")
    for after, kind, statement, more in (
        (0, None, queries.events_of_correlation, (SOME[0],)),
        (1500, "payment.succeeded", queries.events_of_correlation, (SOME[0],)),
        (0, None, queries.events_of_lease, (lease_id, SOME[0])),
    ):
        plan = await _plan(ledger, statement, (after, kind, 51, *more))
        assert not re.search(r"Seq Scan on (entries_1 |places|correlations)", plan), plan
        assert re.search(r"correlations_\d_pkey", plan), plan
        removed = sum(map(int, re.findall(r"Rows Removed by (?:Filter|Index Recheck): (\d+)", plan)))
        assert removed < 10, plan


async def _plan(connection: asyncpg.Connection, statement: str, arguments: tuple[Any, ...]) -> str:
    undone = connection.transaction()
    await undone.start()
    rows = await connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {statement}", *arguments)
    await undone.rollback()
    return "\n".join(row[0] for row in rows)
