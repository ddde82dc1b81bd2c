"""Migrations and grants: the schema is what the code needs, and each role reaches its own part alone."""

import json
import shutil
from pathlib import Path

import asyncpg
import psycopg
import pytest

from common.postgres.migrations import migrate
from payment_svc.adapters.postgres.account_repository import decode_stop, encode
from tests.integration.conftest import MIGRATIONS
from tests.support.servers.database import owner
from tests.support.servers.servers import Servers

TABLES = {
    "lease": {"commands", "outbox", "outbox_pending", "leases", "history"},
    "payment": {
        *("commands", "outbox", "outbox_pending", "accounts", "payments", "attempts"),
        *("quotes", "returns", "collection_runs", "collection_waiters", "gateway_health"),
    },
    "ledger": {
        *("entries", "batches", "nodes", "places", "event_ids", "correlations", "closings"),
        *("keys", "openings"),
        *("anomalies", "anomaly_notes", "reconciled", "compared", "cursors"),
    },
}
# role → schema → privileges on its tables
GRANTS: dict[str, dict[str, dict[str, set[str]]]] = {
    "lease_svc": {
        "lease": {
            "commands": {"SELECT", "INSERT", "UPDATE", "DELETE"},
            "outbox": {"SELECT", "INSERT", "UPDATE", "DELETE"},
            "outbox_pending": {"SELECT", "INSERT", "UPDATE", "DELETE"},
            "leases": {"SELECT", "INSERT", "UPDATE"},
            "history": {"SELECT", "INSERT"},
        }
    },
    "payment_svc": {
        "payment": {
            "commands": {"SELECT", "INSERT", "UPDATE", "DELETE"},
            "outbox": {"SELECT", "INSERT", "UPDATE", "DELETE"},
            "outbox_pending": {"SELECT", "INSERT", "UPDATE", "DELETE"},
            "accounts": {"SELECT", "INSERT", "UPDATE"},
            "payments": {"SELECT", "INSERT", "UPDATE"},
            "attempts": {"SELECT", "INSERT", "UPDATE"},
            "quotes": {"SELECT", "INSERT", "UPDATE", "DELETE"},
            "collection_runs": {"SELECT", "INSERT", "UPDATE"},
            "collection_waiters": {"SELECT", "INSERT", "UPDATE", "DELETE"},
            "returns": {"SELECT", "INSERT", "UPDATE"},
            "gateway_health": {"SELECT", "INSERT", "UPDATE"},
        }
    },
    "ledger_writer": {"ledger": {table: {"SELECT", "INSERT"} for table in TABLES["ledger"]}},
    "ledger_reader": {"ledger": {table: {"SELECT"} for table in TABLES["ledger"]}},
}
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


@pytest.mark.parametrize("schema", TABLES)
async def test_tables(servers: Servers, schema: str) -> None:
    """Exactly the tables that are needed, beside the migrations' own; partitions are parts of theirs."""
    async with owner(servers) as connection:
        rows = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition",
            schema,
        )
    assert {row["relname"] for row in rows if "yoyo" not in row["relname"]} == TABLES[schema]


@pytest.mark.parametrize("schema", TABLES)
def test_migrating_again_changes_nothing(servers: Servers, schema: str) -> None:
    """A second run applies nothing."""
    assert migrate(servers.database_url, schema, *MIGRATIONS[schema]) == 0


@pytest.mark.parametrize("schema", TABLES)
def test_migrations_give_the_same_schema_anywhere(servers: Servers, schema: str) -> None:
    """Applied to an empty schema they give what the session's has, column by column and index by index."""
    again = f"{schema}_again"
    try:
        assert migrate(servers.database_url, again, *MIGRATIONS[schema]) == len(
            [path for folder in MIGRATIONS[schema] for path in folder.glob("*.sql")]
        )
        assert shape(servers, again) == shape(servers, schema)
    finally:
        with psycopg.connect(servers.database_url) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {again} CASCADE")


def test_what_a_balance_is_made_of_comes_from_the_history(servers: Servers, tmp_path: Path) -> None:
    """Leases of before get the principal, fees and late fees left by what was paid and given back."""
    messaging, folder = MIGRATIONS["lease"]
    for path in folder.glob("000[1-4]*.sql"):
        shutil.copy(path, tmp_path)
    paid, back = (
        {"allocation": {"late_fees": late_fees, "fees": fees, "interest": 9, "principal": principal}}
        for late_fees, fees, principal in ((1500, 2500, 700), (1000, 0, 600))
    )
    history: list[tuple[str, object]] = [
        ("lease.created", {"principal": 5}),
        ("lease.late_fee_assessed", {"amount": 1500}),
        ("payment.succeeded", paid),
        ("payment.refunded", back),
        ("payoff.succeeded", paid),
        ("payment.charged_back", paid),
        ("lease.late_fee_assessed", {"amount": 200}),
    ]
    try:
        migrate(servers.database_url, "lease_before", messaging, tmp_path)
        with psycopg.connect(servers.database_url, options="-c search_path=lease_before") as connection:
            for number in (1, 2):  # the second has only been created
                contract = json.dumps({"principal": 120_000, "total_fees": 4_000})
                connection.execute(
                    "INSERT INTO leases (lease_id, customer_id, status, version, amount_paid, balance,"
                    " payments_made, paid, contract, schedule, event_sequence, payment_sequence, created_at,"
                    " updated_at) VALUES (%s, 'c', 'active', 1, 0, 0, 0, '{}', %s, '[]', 1, 0, now(), now())",
                    (f"00000000-0000-0000-0000-00000000000{number}", contract),
                )
                for version, (type_, data) in enumerate(history[: None if number == 1 else 1], 1):
                    connection.execute(
                        "INSERT INTO history (lease_id, version, type, occurred_at, status_after, balance,"
                        " data) VALUES (%s, %s, %s, now(), 'active', 0, %s)",
                        (f"00000000-0000-0000-0000-00000000000{number}", version, type_, json.dumps(data)),
                    )
        migrate(servers.database_url, "lease_before", messaging, folder)
        with psycopg.connect(servers.database_url, options="-c search_path=lease_before") as connection:
            left = "SELECT principal_left, fees_left, late_fees_left FROM leases ORDER BY lease_id"
            assert connection.execute(left).fetchall() == [
                (120_000 - 700 + 600, 4_000 - 2_500, 1_500 - 1_500 + 1_000 + 200),
                (120_000, 4_000, 0),
            ]
    finally:
        with psycopg.connect(servers.database_url) as connection:
            connection.execute("DROP SCHEMA IF EXISTS lease_before CASCADE")


def test_what_autopay_was_over_for_comes_from_the_attempts(servers: Servers, tmp_path: Path) -> None:
    """Instalments of before say why nothing tries them; closed ones, and those without autopay, do not."""
    messaging, folder = MIGRATIONS["payment"]
    for path in folder.glob("000*.sql"):
        shutil.copy(path, tmp_path)
    settled = "2026-11-01T08:00:00.000007Z"
    cases: list[tuple[str, int, int, bool, str | None]] = [  # status, declines, failures, autopay, the reason
        ("late", 4, 0, True, "last_decline"),
        ("due", 0, 4, True, "cannot_be_made"),
        ("due", 1, 0, True, "hard_decline"),
        ("scheduled", 0, 0, True, "money_taken_back"),
        ("late", 0, 0, True, "before_upgrade"),
        ("late", 4, 0, False, None),
        ("paid", 4, 0, True, None),
    ]
    attempts = {1: ("declined", "soft", 4), 2: ("failed", None, 4), 3: ("declined", "hard", 1)}
    try:
        migrate(servers.database_url, "payment_before", messaging, tmp_path)
        with psycopg.connect(servers.database_url, options="-c search_path=payment_before") as connection:
            for number, (status, declines, failures, autopay, _) in enumerate(cases, 1):
                lease_id = f"00000000-0000-0000-0000-00000000000{number}"
                connection.execute(
                    "INSERT INTO accounts (lease_id, currency, principal, annual_rate, day_count, start_date,"
                    " lease_sequence, payment_method, autopay) VALUES (%s, 'USD', 1, '0', '30/360', now(), 1,"
                    " 'pm_1', %s)",
                    (lease_id, autopay),
                )
                connection.execute(
                    "INSERT INTO payments (payment_id, lease_id, number, due_date, principal, interest, fees,"
                    " principal_balance, status, autopay_since, autopay_declines, autopay_failures,"
                    " autopay_over) VALUES (%s, %s, 1, now(), 1, 0, 0, 0, %s, '2026-10-01', %s, %s, true)",
                    (lease_id, lease_id, status, declines, failures),
                )
                ended, class_, times = attempts.get(number, ("succeeded", None, 0))
                money_back = ["refund"] if number == 4 else []
                for place, kind in enumerate(["instalment"] * times + money_back):
                    attempt_id = f"00000000-0000-0000-000{place}-00000000000{number}"
                    connection.execute(
                        "INSERT INTO attempts (attempt_id, command_id, lease_id, payment_id, kind,"
                        " amount, currency, payment_method, status, decline, created_at, settled_at,"
                        " run_id, as_of, refunds) VALUES (%s, gen_random_uuid(), %s, %s, %s, 1, 'USD',"
                        " 'pm_1', %s, %s, now(), %s::timestamptz - make_interval(days => %s), %s, %s, %s)",
                        (
                            *(attempt_id, lease_id, lease_id, kind, ended),
                            json.dumps({"class": class_}) if class_ else None,
                            *(settled, times - place - 1 if times else 0),
                            *((None, None, lease_id) if kind == "refund" else (lease_id, "2026-10-01", None)),
                        ),
                    )
        migrate(servers.database_url, "payment_before", messaging, folder)
        with psycopg.connect(servers.database_url, options="-c search_path=payment_before") as connection:
            rows = connection.execute(
                "SELECT autopay_stopped::text FROM payments ORDER BY payment_id"
            ).fetchall()
        stops = [decode_stop(stop) if stop else None for (stop,) in rows]
        assert [stop and stop.reason for stop in stops] == [reason for *_, reason in cases]
        assert [encode(stop).decode() if stop else None for stop in stops] == [stop for (stop,) in rows]
        last = [
            f"00000000-0000-0000-000{place}-00000000000{number}"
            for number, place in enumerate((3, 3, 0, 0), 1)
        ]
        assert [(stop.since, stop.attempt_id) for stop in stops[:4] if stop] == [
            (settled, each) for each in last
        ]
        assert stops[4] is not None
        assert stops[4].attempt_id is None
    finally:
        with psycopg.connect(servers.database_url) as connection:
            connection.execute("DROP SCHEMA IF EXISTS payment_before CASCADE")


def shape(servers: Servers, schema: str) -> list[tuple[object, ...]]:
    with psycopg.connect(servers.database_url) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable, column_default"
            " FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name NOT LIKE '%%yoyo%%' ORDER BY 1, 2",
            (schema,),
        ).fetchall()
        indexes = connection.execute(
            "SELECT tablename, indexname, replace(indexdef, %s || '.', '') FROM pg_indexes"
            " WHERE schemaname = %s AND tablename NOT LIKE '%%yoyo%%' ORDER BY 1, 2",
            (schema, schema),
        ).fetchall()
    assert columns
    return [*columns, *indexes]


@pytest.mark.parametrize("role", GRANTS)
async def test_grants(servers: Servers, role: str) -> None:
    """Of all tables of all schemas, a role may do what is listed above and nothing else."""
    async with owner(servers) as connection:
        for schema, tables in TABLES.items():
            for table in tables:
                held = {
                    privilege
                    for privilege in PRIVILEGES
                    if await connection.fetchval(
                        "SELECT has_table_privilege($1, $2, $3)", role, f"{schema}.{table}", privilege
                    )
                }
                assert held == GRANTS[role].get(schema, {}).get(table, set()), table
            usage = await connection.fetchval("SELECT has_schema_privilege($1, $2, 'USAGE')", role, schema)
            assert usage == (schema in GRANTS[role])
            assert not await connection.fetchval(
                "SELECT has_schema_privilege($1, $2, 'CREATE')", role, schema
            )
        may = await connection.fetchrow(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles"
            " WHERE rolname = $1",
            role,
        )
        assert not any(may.values())


@pytest.mark.parametrize("role", GRANTS)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {schema}.entries SET raw = ''",
        "DELETE FROM {schema}.entries",
        "TRUNCATE {schema}.entries",
        "UPDATE {schema}.batches SET last_seq = 0",
        "DROP TABLE {schema}.nodes",
        "ALTER TABLE {schema}.entries ADD COLUMN more text",
        "CREATE TABLE {schema}.more (id int)",
        "CREATE TABLE public.more (id int)",
        'DELETE FROM {schema}."_yoyo_migration"',
    ],
)
async def test_nobody_rewrites_the_ledger(servers: Servers, role: str, statement: str) -> None:
    """Tried, not only looked up: no service's role can change or drop what is in the ledger."""
    connection = await asyncpg.connect(servers.dsn(role))
    try:
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError)):
            await connection.execute(statement.format(schema="ledger"))
    finally:
        await connection.close()
