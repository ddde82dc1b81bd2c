"""Building a service's projection anew from events, in a schema beside the live one, and comparing the two.

All events are put into a table of that schema first and then folded, lease by lease: so it does not matter
in which order they come, how often, or how many there are. While the live service works on, its leases move:
those that have done so since the beginning are left out of the comparison, and counted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import asyncpg
import msgspec

from common.messaging.envelope import Event
from common.postgres.pool import Connection
from common.replay.bounds import Bounds, Unreadable
from common.replay.fold import DoNotAddUp, UnknownType
from common.replay.progress import progress, say
from common.replay.shadow_schema import Compared, Sample, Table, compare, made
from common.replay.staging_table import STREAM, Read, stage, staged

T = TypeVar("T")

LEASES_AT_ONCE = 200  # written together
PUBLISHED_WITHIN_S = 5.0

# What folding raises for events that are not what their types say, or do not fit each other …
_WRONG = (
    *(DoNotAddUp, msgspec.DecodeError, LookupError, ValueError, AssertionError, ArithmeticError),
    RecursionError,  # nested too deep
)
# … and writing, for what comes of them and no table can keep: NUL, too many digits, another lease's key.
_NOT_KEPT = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


class Projection(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What a service builds of events."""

    schema: str
    migrations: tuple[Path, ...]
    leases: str  # the table with a row for each lease …
    positions: str  # … and its columns that say how much of the events is in it, as a list of SQL
    tables: tuple[Table, ...]
    left_out: Mapping[str, str]  # the other tables, each with the reason
    fold: Callable[[Sequence[Event]], T]  # all events of one lease; raises DoNotAddUp, UnknownType
    save: Callable[[Connection, Sequence[T]], Awaitable[None]]


class Rebuilt(msgspec.Struct, kw_only=True):
    """What came of it."""

    schema: str
    source: str
    read: Read
    leases: int  # whose events add up
    do_not_add_up: Sample
    not_compared: int  # leases that have moved on since the beginning, or since the end that was asked for
    not_reached: Sample  # leases that have not, and of which the source tells less than the live tables have
    tables: list[Compared]
    left_out: dict[str, str]  # tables and columns, each with the reason
    same: bool  # nothing was found


async def rebuild(
    projection: Projection[Any], database_url: str, amqp_url: str, source: str, bounds: Bounds
) -> Rebuilt:
    """Build it anew from the stream or a file ("-": standard input), and compare. Raises Unreadable."""
    live, beside = projection.schema, f"{projection.schema}_rebuilt"
    async with made(database_url, live, beside, *projection.migrations) as connection:
        stood = f'SELECT lease_id, {projection.positions} FROM "{live}".{projection.leases}'
        await connection.execute(f"CREATE TABLE stood AS {stood}")
        await _published(connection, live)
        read = await stage(connection, amqp_url, source, bounds)
        leases, wrong = await _fold(connection, projection)
        async with connection.transaction(isolation="repeatable_read"):
            not_compared = await _leave_out_moved(connection, projection)
            not_reached = Sample()
            if bounds.end is not None:
                not_compared += len(await _leave_out_unreached(connection, projection))
            elif source != STREAM:  # the stream has it all: what it lacks is a difference like any other
                for lease_id in await _leave_out_unreached(connection, projection):
                    not_reached.add(lease_id)
            tables = [
                await compare(connection, live, beside, table, "not_compared") for table in projection.tables
            ]
        await connection.execute("DROP TABLE staged, stood, not_compared")
    return Rebuilt(
        schema=beside,
        source=source,
        read=read,
        leases=leases,
        do_not_add_up=wrong,
        not_compared=not_compared,
        not_reached=not_reached,
        tables=tables,
        left_out=_left_out(projection),
        same=not (wrong.count or not_reached.count or any(table.different.count for table in tables)),
    )


def _left_out(projection: Projection[Any]) -> dict[str, str]:
    columns = {
        f"{table.name}.{name}": why for table in projection.tables for name, why in table.left_out.items()
    }
    return columns | dict(projection.left_out)


async def _published(connection: Connection, live: str) -> None:
    """Wait until what was told so far is published."""
    last = await connection.fetchval(f'SELECT max(id) FROM "{live}".outbox_pending')
    waiting = f'SELECT EXISTS (SELECT FROM "{live}".outbox_pending WHERE id <= $1)'
    try:
        async with asyncio.timeout(PUBLISHED_WITHIN_S):
            while last is not None and await connection.fetchval(waiting, last):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    except TimeoutError:
        say("the live service cannot publish some of its events: the leases that they are about will differ")


async def _fold(connection: Connection, projection: Projection[Any]) -> tuple[int, Sample]:
    """Fold all leases and write them: how many there are, and those whose events do not add up."""
    total = await connection.fetchval("SELECT count(DISTINCT lease_id) FROM staged")
    wrong = Sample()
    folded: list[tuple[str, Any]] = []  # by lease
    with progress(f"building {projection.schema} anew", total, "leases") as advance:
        async with connection.transaction():
            async for lease_id, events in staged(connection):
                try:
                    folded.append((lease_id, projection.fold(events)))
                except UnknownType as error:
                    raise Unreadable(
                        f"{error} is of no type that this version knows; nothing can be built past it"
                    ) from error
                except _WRONG as error:
                    wrong.add(f"{lease_id}: {error or repr(error)}")
                if len(folded) == LEASES_AT_ONCE:
                    await _save(connection, projection, folded, wrong)
                    folded = []
                advance(1)
            await _save(connection, projection, folded, wrong)
    return total - wrong.count, wrong


async def _save(
    connection: Connection, projection: Projection[Any], folded: Sequence[tuple[str, Any]], wrong: Sample
) -> None:
    """Write leases; where that cannot be, all but those at fault, which are added to `wrong`."""
    try:
        async with connection.transaction():
            await projection.save(connection, [each for _, each in folded])
    except _NOT_KEPT as error:
        if len(folded) == 1:
            wrong.add(f"{folded[0][0]}: cannot be kept in the tables: {error}")
            return
        for each in folded:
            await _save(connection, projection, [each], wrong)


def _now(projection: Projection[Any]) -> str:
    return f'SELECT lease_id, {projection.positions} FROM "{projection.schema}".{projection.leases}'


async def _leave_out_moved(connection: Connection, projection: Projection[Any]) -> int:
    """Fill `not_compared` with the leases that have moved since the beginning; how many."""
    moved = f"SELECT lease_id FROM ({_now(projection)} EXCEPT SELECT * FROM stood) AS moved"
    await connection.execute(f"CREATE TABLE not_compared AS {moved}")
    return int(await connection.fetchval("SELECT count(*) FROM not_compared"))


async def _leave_out_unreached(connection: Connection, projection: Projection[Any]) -> list[str]:
    """Add those of which the source tells less than the live tables have; which they are."""
    first, second = projection.positions.split(", ")
    rows = await connection.fetch(
        f"INSERT INTO not_compared SELECT n.lease_id FROM ({_now(projection)}) AS n"
        f"  LEFT JOIN {projection.leases} AS r USING (lease_id)"
        f" WHERE (r.lease_id IS NULL OR r.{first} < n.{first} OR r.{second} < n.{second})"
        "   AND lease_id NOT IN (SELECT lease_id FROM not_compared)"
        " RETURNING lease_id::text"
    )
    return [row["lease_id"] for row in rows]
