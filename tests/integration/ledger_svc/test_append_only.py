"""The ledger's tables: nothing in them changes, whoever tries, and there is always room for more."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from common.kernel.clock import utcnow
from common.postgres.migrations import migrate
from common.postgres.pool import Pool, open_pool
from ledger_svc.contracts import envelope
from ledger_svc.log import entry, repository
from ledger_svc.log.writer import LedgerWriter
from ledger_svc.transparency import signed_note
from tests.integration.conftest import MIGRATIONS
from tests.integration.ledger_svc.test_writer import a_life, fresh_stream, send, settled
from tests.support.oracles import merkle
from tests.support.servers.broker_client import channel, running
from tests.support.servers.database import owner
from tests.support.servers.servers import Servers

TABLES = (
    *("entries", "batches", "nodes", "places", "event_ids", "correlations", "closings", "keys"),
    *("openings", "anomalies", "anomaly_notes", "reconciled", "compared", "cursors"),
)
KEY = signed_note.generate("example.org/ledger-of-the-tests")
SCHEMA = "ledger_beside"  # one of these tests' own, which they may bend


@pytest.fixture
async def beside(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    """The owner in an empty schema, which is dropped afterwards."""
    connection = await asyncpg.connect(servers.database_url, server_settings={"search_path": SCHEMA})
    await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA};")
    await connection.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO ledger_writer, ledger_reader")
    try:
        yield connection
    finally:
        await connection.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
        await connection.close()


def writers_pool(servers: Servers) -> Pool:
    return open_pool(servers.dsn("ledger_writer"), SCHEMA, name="beside", size=3)


async def relations(connection: asyncpg.Connection, schema: str = "ledger") -> list[str]:
    """Every table of the ledger and every partition of one."""
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p')"
        " AND relname NOT LIKE '%yoyo%'",
        schema,
    )
    return [f"{schema}.{row['relname']}" for row in rows]


async def ends(connection: asyncpg.Connection, parent: str) -> list[int]:
    """The first number after each partition, in order."""
    rows = await connection.fetch(
        "SELECT pg_get_expr(relpartbound, oid) AS bound FROM pg_class JOIN pg_inherits ON inhrelid = oid"
        " WHERE inhparent = $1::regclass",
        parent,
    )
    return sorted(int(row["bound"].split("'")[3]) for row in rows)


@pytest.mark.parametrize("role", ["ledger_writer", "ledger_reader", "owner", "owner as a replica"])
async def test_nothing_changes(servers: Servers, role: str) -> None:
    """UPDATE, DELETE and TRUNCATE fail on every table and every partition, for the owner too."""
    url = servers.database_url if role.startswith("owner") else servers.dsn(role)
    connection = await asyncpg.connect(url)
    try:
        if role == "owner as a replica":
            await connection.execute("SET session_replication_role = replica")
        tried = await relations(connection)
        assert len(tried) >= len(TABLES) + 3 * 2 + 8 * 3
        for table in tried:
            column = await connection.fetchval(
                "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0"
                " AND attidentity = '' ORDER BY attnum LIMIT 1",
                table,
            )
            for statement in (
                f"UPDATE {table} SET {column} = {column}",
                f"UPDATE {table} SET {column} = {column} WHERE false",
                f"DELETE FROM {table}",
                f"DELETE FROM ONLY {table}",
                f"TRUNCATE {table} CASCADE",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(
                "INSERT INTO ledger.keys VALUES ('x', 1) ON CONFLICT (vkey) DO UPDATE SET first_size = 2"
            )
    finally:
        await connection.close()


@pytest.mark.parametrize("role", ["ledger_writer", "ledger_reader"])
async def test_roles_reach_the_whole_alone(servers: Servers, role: str) -> None:
    """Partitions are granted to nobody, the reader inserts nothing, and the owner's tools are the owner's."""
    connection = await asyncpg.connect(servers.dsn(role))
    refused = ["SELECT ledger.protect('ledger.keys')", "CREATE TEMP TABLE batches (last_seq bigint)"]
    if role == "ledger_reader":
        refused += [f"INSERT INTO ledger.{table} DEFAULT VALUES" for table in TABLES]
        refused += ["SELECT ledger.make_room()"]
    async with owner(servers) as its:
        parts = [table for table in await relations(its) if table.split(".")[1] not in TABLES]
    refused += [f"SELECT FROM {part}" for part in parts]
    refused += [f"INSERT INTO {part} SELECT * FROM {part}" for part in parts]
    try:
        for statement in refused:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        if role == "ledger_writer":
            with pytest.raises(asyncpg.InvalidParameterValueError):
                await connection.execute("SELECT ledger.make_room(0)")
    finally:
        await connection.close()


async def test_what_runs_as_the_owner_looks_in_one_place(servers: Servers) -> None:
    """make_room finds its tables in the ledger's schema whatever its caller's search path is."""
    async with owner(servers) as connection:
        rows = await connection.fetch(
            "SELECT proname, prosecdef, proconfig FROM pg_proc WHERE pronamespace = 'ledger'::regnamespace"
        )
    found = {row["proname"]: (row["prosecdef"], row["proconfig"]) for row in rows}
    assert found["make_room"] == (True, ["search_path=ledger, pg_temp"])
    assert not any(definer for name, (definer, _) in found.items() if name != "make_room")


async def test_there_are_always_two_partitions_ahead(
    servers: Servers, beside: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer crosses one border after the other, restarts, waits for no reader, and lacks no number."""
    migrate(servers.database_url, SCHEMA, *MIGRATIONS["ledger"])
    monkeypatch.setattr("ledger_svc.log.appender.PARTITION_SIZE", 5)
    for parent in ("entries", "batches"):  # as if the migration had made small ones
        await beside.execute(
            f"DROP TABLE {parent}_10000001, {parent}_20000001;"
            f"ALTER TABLE {parent} DETACH PARTITION {parent}_1;"
            f"ALTER TABLE {parent} ATTACH PARTITION {parent}_1 FOR VALUES FROM (1) TO (6);"
        )
    life = a_life(9)
    async with channel(servers.amqp_url) as its, writers_pool(servers) as pool, pool.acquire() as reader:
        await fresh_stream(servers, its)
        amid_a_read = reader.transaction()
        await amid_a_read.start()
        await reader.fetch("SELECT FROM entries, batches")
        for start, end in ((0, 4), (4, 14), (14, len(life.raws))):
            async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
                for raw in life.raws[start:end]:
                    await send(its, raw)
                await settled(beside, end, SCHEMA)
            for parent in ("entries", "batches"):
                # the one that the next entry goes into, and two more
                assert [after for after in await ends(beside, parent) if after > end + 1] == [
                    (end // 5 + number) * 5 + 1 for number in (1, 2, 3)
                ]
        await amid_a_read.rollback()
        rows = await beside.fetch("SELECT seq, raw FROM entries ORDER BY seq")
        assert [row["seq"] for row in rows] == list(range(1, len(life.raws) + 1))
        assert [bytes(row["raw"]) for row in rows] == life.raws
        assert [item.raw for item in await repository.trail(pool, life.lease_id, limit=200)] == life.raws
        assert len(await beside.fetch("SELECT FROM ONLY entries_11")) == 5
        assert await pool.fetchval("SELECT make_room(5)") == await pool.fetchval("SELECT make_room(5)")
        for table in ("entries_16", "batches_16"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await beside.execute(f"TRUNCATE {table}")


async def test_what_there_was_is_carried_over(
    servers: Servers, beside: asyncpg.Connection, tmp_path: Path
) -> None:
    """A ledger from before partitions and seals: everything is found, and it goes on, sealed from then on."""
    before = tmp_path / "before"
    before.mkdir()
    for path in sorted(MIGRATIONS["ledger"][0].glob("*.sql"))[:2]:
        shutil.copy(path, before)
    migrate(servers.database_url, SCHEMA, before)
    closed, other = a_life(5), a_life(2)
    closed.close("cancelled")
    old = [*other.raws[:2], *closed.raws]
    await as_before(beside, old)
    migrate(servers.database_url, SCHEMA, *MIGRATIONS["ledger"])

    async with channel(servers.amqp_url) as its, writers_pool(servers) as pool:
        await fresh_stream(servers, its)
        assert [row.raw for row in await repository.trail(pool, closed.lease_id, limit=200)] == closed.raws
        ids = [envelope.decode(raw).id for raw in old]
        assert set(await repository.places_of_ids(pool, ids)) == set(ids)
        assert [event.subject for event in await repository.closings(pool, [closed.lease_id])] == [
            closed.lease_id
        ]
        assert await repository.keys(pool) == []
        async with running(LedgerWriter(servers.amqp_url, pool, KEY).run()):
            await send(its, *old, *other.raws)
            await settled(beside, len(old) + len(other.raws) - 2, SCHEMA)
        found = await beside.fetch("SELECT correlation_id::text, seq FROM correlations ORDER BY seq")
        whole = [*old, *other.raws[2:]]
        assert [tuple(row) for row in found] == [
            (envelope.decode(raw).correlationid, seq) for seq, raw in enumerate(whole, start=1)
        ]
        head = await repository.head(pool)
        leaves = [merkle.leaf(raw) for raw in whole]
        assert head.root_hash == merkle.root(leaves)
        assert head.checkpoint
        assert await repository.keys(pool) == [str(KEY.verifier)]
    with pytest.raises(asyncpg.CheckViolationError):
        await beside.execute(
            "INSERT INTO batches SELECT 99, 0, event_id, root_hash, totals, recorded_at FROM batches LIMIT 1"
        )


async def as_before(connection: asyncpg.Connection, raws: list[bytes]) -> None:
    """Append as the first version of the writer did, to its tables."""
    leaves = [merkle.leaf(raw) for raw in raws]
    for seq, raw in enumerate(raws, start=1):
        event = envelope.decode(raw)
        row: Any = entry.seal(event, raw, seq=seq, recorded_at=utcnow())
        await connection.execute(
            "INSERT INTO entries VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            *(getattr(row, name) for name in ("seq", "event_id", "type", "source", "sequence", "lease_id")),
            *(row.occurred_at, row.recorded_at, raw, row.leaf_hash),
        )
    for level in range(1, 10):
        for place in range(len(leaves) >> level):
            digest = merkle.root(leaves[place << level : (place + 1) << level])
            await connection.execute("INSERT INTO nodes VALUES ($1, $2, $3)", level, place, digest)
    await connection.execute(
        "INSERT INTO batches VALUES ($1, 0, $2, $3, '{}', now())",
        len(raws),
        envelope.decode(raws[-1]).id,
        merkle.root(leaves),
    )
