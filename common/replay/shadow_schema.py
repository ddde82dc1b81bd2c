"""A schema beside the live one: made anew, compared table by table."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import asyncpg
import msgspec

from common.postgres import leader_election
from common.postgres.migrations import migrate
from common.postgres.pool import Connection, connect
from common.replay.bounds import Unreadable

ROWS_AT_ONCE = 1_000
SAMPLE = 20  # keys that are named in a report; all are counted


class Sample(msgspec.Struct):
    """How many there are, and the first of them."""

    count: int = 0
    first: list[str] = []

    def add(self, words: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < SAMPLE:
            self.first.append(words)


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table that follows from events, but for some of its columns."""

    name: str
    key: tuple[str, ...]  # the columns of its primary key
    compared: tuple[str, ...]  # columns, or what SQL makes of them, that follow from events
    left_out: Mapping[str, str] = {}  # the other columns, each with the reason


class Compared(msgspec.Struct, kw_only=True):
    """What a table holds, live and built anew, rows that are left out aside."""

    table: str
    rows: int = 0
    rows_rebuilt: int = 0
    digest: str = ""  # hex SHA-256 over the rows in order of their keys
    digest_rebuilt: str = ""
    different: Sample = msgspec.field(default_factory=Sample)  # keys of rows that differ, or are in one only


@asynccontextmanager
async def made(database_url: str, live: str, name: str, *migrations: Path) -> AsyncIterator[Connection]:
    """A connection as the database's owner that finds its tables in the schema `name`, just made.

    What another time has left there is dropped. Raises Unreadable where another process is at work on it, or
    this login may not make it.
    """
    async with connect(database_url, name, name="replay") as connection:
        try:
            if not await leader_election.elected(connection, "replay", name):
                raise Unreadable(f"another process is building {name}")
            await connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
            if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", live):
                raise Unreadable(f"there is no schema {live}")
            await asyncio.to_thread(migrate, database_url, name, *migrations)
        except asyncpg.InsufficientPrivilegeError as error:
            raise Unreadable(f"DATABASE_URL has to be of the database's owner: {error}") from error
        # Until it is switched to, it can be made again: nobody need wait for the disk.
        await connection.execute("SET synchronous_commit = off")
        yield connection


async def compare(connection: Connection, live: str, beside: str, table: Table, but: str) -> Compared:
    """Hold a table of the live schema against that of the other one, row by row, in a transaction.

    `but`: a table of the other schema with the `lease_id` of those whose rows are left out.
    """
    keys = ", ".join(table.key)
    side = (
        f'SELECT {keys}, ROW({", ".join(table.compared)})::text AS found FROM "{{}}".{table.name} AS t'
        f' WHERE NOT EXISTS (SELECT FROM "{beside}".{but} AS b WHERE b.lease_id = t.lease_id)'
    )
    query = (
        f"SELECT concat_ws(' ', {keys}) AS key, l.found AS live, r.found AS rebuilt"
        f" FROM ({side.format(live)}) AS l FULL JOIN ({side.format(beside)}) AS r USING ({keys})"
        f" ORDER BY {keys}"
    )
    result = Compared(table=table.name)
    digest, digest_rebuilt = sha256(), sha256()
    async for key, found, rebuilt in connection.cursor(query, prefetch=ROWS_AT_ONCE):
        if found is not None:
            result.rows += 1
            digest.update(f"{key}\t{found}\n".encode())
        if rebuilt is not None:
            result.rows_rebuilt += 1
            digest_rebuilt.update(f"{key}\t{rebuilt}\n".encode())
        if found != rebuilt:
            result.different.add(key)
    result.digest, result.digest_rebuilt = digest.hexdigest(), digest_rebuilt.hexdigest()
    return result
