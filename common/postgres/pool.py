"""Postgres: pools, named SQL from .sql files, and which failures are only a matter of waiting."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from common.errors import Retry

Pool: TypeAlias = asyncpg.Pool
Connection: TypeAlias = asyncpg.Connection | PoolConnectionProxy

COMMAND_TIMEOUT_S = 30.0

# Every statement here looks up a bounded number of rows by a key. A planner with no statistics yet, or old
# ones, reads whole tables for that; these keep it on the index while a table grows from nothing to millions.
_PLANS = {"enable_seqscan": "off", "enable_mergejoin": "off", "enable_hashjoin": "off"}

# Connections lost or refused, shutdowns, deadlocks, full disks: the same work may succeed a little later.
TRANSIENT = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # a pooled connection whose server is dying: it has had its last error, but not yet its end
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.CannotConnectNowError,
    OSError,
    TimeoutError,
)


def is_transient(error: Exception) -> bool:
    """Whether the same work may succeed a little later.

    asyncpg calls a value that its column's type cannot hold an InterfaceError too, but such a value never
    will be held: those are ValueErrors as well.
    """
    return isinstance(error, TRANSIENT) and not isinstance(error, ValueError)


class Queries:
    """The statements of one .sql file, as attributes.

    Each begins with `-- name: its_name`; the comment lines after it describe it and go to the server
    with it, where they can be read in pg_stat_activity.
    """

    def __init__(self, path: Path) -> None:
        parts = re.split(r"^-- name: (\w+)\n", path.read_text(), flags=re.MULTILINE)
        self._statements = dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(name) from None


def open_pool(dsn: str, schema: str, *, name: str, size: int) -> Pool:
    """A pool (to be used with `async with`) whose connections find the tables of `schema`.

    JSON columns are bytes in and out. It opens without the server being there: what is asked of it
    fails until then.
    """
    pool: Pool = asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        command_timeout=COMMAND_TIMEOUT_S,
        server_settings={"application_name": name, "search_path": schema, "timezone": "UTC", **_PLANS},
        init=_prepare,
        reset=_nothing_to_reset,
    )
    return pool


@asynccontextmanager
async def connect(dsn: str, schema: str, *, name: str) -> AsyncIterator[Connection]:
    """One connection for work on whole tables: plans as the server likes, and no limit of time."""
    settings = {"application_name": name, "search_path": schema, "timezone": "UTC"}
    connection = await asyncpg.connect(dsn, server_settings=settings)
    try:
        await _prepare(connection)
        yield connection
    finally:
        await connection.close()


async def _prepare(connection: Any) -> None:
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary"
    )


async def _nothing_to_reset(_connection: Any) -> None:
    """No session state is ever set on pooled connections; asyncpg's reset costs a round trip each time."""


@asynccontextmanager
async def session(pool: Pool) -> AsyncIterator[Connection]:
    """A connection whose session ends with the block, so that its locks never go back into the pool."""
    async with pool.acquire() as connection:
        try:
            yield connection
        finally:
            # One that was lost has left the pool already and refuses: that must not hide why the block ended.
            with suppress(asyncpg.InterfaceError):
                connection.terminate()


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A connection with a transaction around the block. Raises Retry where waiting may help."""
    try:
        async with pool.acquire() as connection, connection.transaction():
            yield connection
    except TRANSIENT as error:
        if not is_transient(error):
            raise
        raise Retry from error
