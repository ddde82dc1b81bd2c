"""The direct reference: an HTTP handler that writes what a creation writes, with no broker in between.

`python -m perf.targets.direct_baseline PORT LEASE_ID`, with DATABASE_URL of the owner. The rows of a lease
that was really
created are the pattern: the same tables (in a schema of their own), columns, indexes and sizes, in one
transaction for each request. The schedule's arithmetic is left out, and all that comes after the answer: what
remains is what any synchronous design has to pay.
"""

import argparse
import asyncio
import json
import os
from typing import Any

import asyncpg
import uvloop
from aiohttp import web

from common.kernel.ids import uuid7

SCHEMA = "direct_reference"
POOL = 8
_COMMAND = """
    (SELECT (convert_from(body, 'UTF8')::json ->> 'correlationid')::uuid
       FROM lease.outbox WHERE lease_id = $1)
"""
# Each table, how the pattern's row is found, and the statement around its INSERT.
_TABLES = (
    ("commands", f"command_id = {_COMMAND}", "{insert}"),
    ("leases", "lease_id = $1", "{insert}"),
    ("history", "lease_id = $1", "{insert}"),
    (
        "outbox",
        "lease_id = $1",
        "WITH appended AS ({insert} RETURNING id)"
        f" INSERT INTO {SCHEMA}.outbox_pending SELECT id FROM appended",
    ),
)
_IDS = ("command_id", "lease_id", "event_id")
_GENERATED = ("id",)


class Direct:
    """The handler."""

    def __init__(self, pool: Any, statements: list[tuple[str, dict[str, Any]]]) -> None:
        self._pool = pool
        self._statements = statements

    async def create(self, request: web.Request) -> web.Response:
        """POST /: read the request, write the rows, answer with the pattern's answer."""
        json.loads(await request.read())
        ids = {name: uuid7() for name in _IDS}
        async with self._pool.acquire() as connection, connection.transaction():
            for statement, values in self._statements:
                own = {name: ids.get(name, value) for name, value in values.items()}
                await connection.execute(statement, *own.values())
        body = self._statements[0][1]["body"]
        return web.Response(status=201, text=body, content_type="application/json")


async def _statements(pool: Any, lease_id: str) -> list[tuple[str, dict[str, Any]]]:
    await pool.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
    await pool.execute(f"CREATE TABLE {SCHEMA}.outbox_pending (LIKE lease.outbox_pending INCLUDING ALL)")
    found = []
    for table, condition, around in _TABLES:
        await pool.execute(f"CREATE TABLE {SCHEMA}.{table} (LIKE lease.{table} INCLUDING ALL)")
        row = await pool.fetchrow(f"SELECT * FROM lease.{table} WHERE {condition}", lease_id)
        values = {name: value for name, value in row.items() if name not in _GENERATED}
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        insert = f"INSERT INTO {SCHEMA}.{table} ({', '.join(values)}) VALUES ({places})"
        found.append((around.format(insert=insert), values))
    return found


async def serve(port: int, lease_id: str) -> None:
    """Serve on loopback until killed."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=POOL, max_size=POOL) as pool:
        app = web.Application()
        app.router.add_post("/", Direct(pool, await _statements(pool, lease_id)).create)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.targets.direct_baseline", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("lease_id")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.lease_id))


if __name__ == "__main__":
    main()
