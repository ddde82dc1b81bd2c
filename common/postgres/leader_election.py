"""One leader among many processes: an advisory lock that lives as long as the leader's connection.

Source: PostgreSQL, Explicit Locking, Advisory Locks. The lock belongs to the session: when the connection
ends, for whatever reason, another candidate gets it.
"""

import asyncio

from common.postgres.pool import Connection

STANDBY_POLL_S = 1.0
# A schema has its own leader for each duty: `rebuild` in one schema never waits for the live one.
_KEY = "hashtext($1), hashtext(coalesce($2, current_schema()))"


async def elected(connection: Connection, duty: str, schema: str | None = None) -> bool:
    """Try to become the leader for a duty, without waiting. `schema` None: the connection's own."""
    return bool(await connection.fetchval(f"SELECT pg_try_advisory_lock({_KEY})", duty, schema))


async def stand_by(connection: Connection, duty: str) -> None:
    """Return as soon as this connection leads; candidates ask once a second."""
    while not await elected(connection, duty):  # noqa: ASYNC110 a lock in the database
        await asyncio.sleep(STANDBY_POLL_S)


async def take_over(connection: Connection, duty: str) -> None:
    """Wait in the database until this connection leads, however long it takes."""
    await connection.execute(f"SELECT pg_advisory_lock({_KEY})", duty, None)


async def resign(connection: Connection, duty: str) -> None:
    """Lead no longer."""
    await connection.execute(f"SELECT pg_advisory_unlock({_KEY})", duty, None)
