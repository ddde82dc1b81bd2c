"""Migrations and grants: the schema is what the code needs, and each role reaches its own part alone."""

import asyncpg
import psycopg
import pytest

from common.migrations import migrate
from tests.integration.conftest import MIGRATIONS
from tests.integration.database import owner
from tests.servers import Servers

TABLES = {
    "lease": {"commands", "outbox", "outbox_pending", "leases", "history"},
    "payment": {
        *("commands", "outbox", "outbox_pending", "accounts", "payments", "attempts"),
        *("quotes", "returns", "collection_runs", "collection_waiters"),
    },
    "ledger": {"entries", "nodes", "batches"},
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
        }
    },
    "ledger_writer": {"ledger": {table: {"SELECT", "INSERT"} for table in TABLES["ledger"]}},
    "ledger_reader": {"ledger": {table: {"SELECT"} for table in TABLES["ledger"]}},
}
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


@pytest.mark.parametrize("schema", TABLES)
async def test_tables(servers: Servers, schema: str) -> None:
    """Exactly the tables that are needed, beside the migrations' own."""
    async with owner(servers) as connection:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    assert {row["tablename"] for row in rows if "yoyo" not in row["tablename"]} == TABLES[schema]


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
