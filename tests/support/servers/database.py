"""The session's database for tests that need it empty, or need to look behind a service's back."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg

from common.postgres.pool import Pool, open_pool
from tests.support.servers.servers import Servers

ROLE_OF = {"lease": "lease_svc", "payment": "payment_svc"}


@asynccontextmanager
async def owner(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    """A connection that may do everything."""
    connection = await asyncpg.connect(servers.database_url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def pools(
    servers: Servers, schema: str, count: int = 1, role: str | None = None
) -> AsyncIterator[list[Pool]]:
    """Pools as the service's processes have them."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                open_pool(servers.dsn(role or ROLE_OF[schema]), schema, name=f"test-{number}", size=4)
            )
            for number in range(count)
        ]


async def empty(connection: Any, schema: str) -> None:
    """Delete every row of a schema, but for what the migrations have noted."""
    tables = await connection.fetch(
        "SELECT relname, relkind = 'p' AS partitioned FROM pg_class"
        " WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition AND relname NOT LIKE '%yoyo%'",
        schema,
    )
    names = [f"{schema}.{row['relname']}" for row in tables]
    if schema != "ledger":
        await connection.execute(f"TRUNCATE {', '.join(names)} RESTART IDENTITY")
        return
    # Each of its many partitions would be a new file; and only the triggers of the wholes are in the way.
    off, on = (
        "".join(f"ALTER TABLE {name} {how} TRIGGER append_only;" for name in names)
        for how in ("DISABLE", "ENABLE ALWAYS")
    )
    parted = {f"{schema}.{row['relname']}" for row in tables if row["partitioned"]}
    emptied = "".join(f"DELETE FROM {name};" for name in parted)
    emptied += f"TRUNCATE {', '.join(name for name in names if name not in parted)} RESTART IDENTITY;"
    async with connection.transaction():
        await connection.execute(off + emptied + on)


@asynccontextmanager
async def tampering(connection: Any, schema: str = "ledger") -> AsyncIterator[None]:
    """The block may change what is append-only: as an owner can who switches the triggers off, by name."""
    guarded = await connection.fetch(
        "SELECT tgrelid::regclass::text AS name FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
        " WHERE tgname = 'append_only' AND relnamespace = $1::regnamespace",
        schema,
    )
    switch = "".join(f"ALTER TABLE {row['name']} %s TRIGGER append_only;" for row in guarded)
    async with connection.transaction():
        await connection.execute(switch.replace("%s", "DISABLE"))
        yield
        await connection.execute(switch.replace("%s", "ENABLE ALWAYS"))
