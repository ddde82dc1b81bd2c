"""Putting the second ledger in the live one's place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg

from common.postgres import leader_election
from common.postgres.pool import Connection
from common.replay.bounds import Unreadable
from common.replay.progress import say
from ledger_svc.log.writer import LEADS
from ledger_svc.replay import recorded_log
from ledger_svc.replay.shadow_ledger import LIVE, SHADOW

WAIT_S = 60.0
ASK_AGAIN_S = 0.2

# Made by appending …
DERIVED = frozenset({"entries", "nodes", "batches", "places", "event_ids", "correlations", "closings"})
# … and what does not follow from events: taken over as it is.
CARRIED = ("keys", "anomalies", "anomaly_notes", "reconciled", "compared", "openings", "cursors")


@asynccontextmanager
async def writer_waits(live: Connection, other: Connection) -> AsyncIterator[None]:
    """Hold the writers' lock: who appends now is disconnected, and waits like any standby.

    Raises Unreadable where this login may not disconnect it and it is not stopped in time.
    """
    waiting = asyncio.ensure_future(leader_election.take_over(live, LEADS))
    pid = live.get_server_pid()
    allowed = True
    try:
        async with asyncio.timeout(WAIT_S):
            while not (await asyncio.wait([waiting], timeout=ASK_AGAIN_S))[0]:
                if not allowed:
                    continue
                try:
                    await other.execute(recorded_log.queries.end_whoever_leads, pid)
                except asyncpg.InsufficientPrivilegeError:
                    allowed = False
                    say(f"stop the ledger's writer: it is waited for, {WAIT_S:.0f} s")
            waiting.result()
    except TimeoutError:
        waiting.cancel()
        raise Unreadable("the ledger's writer is still at work: stop it, then try again") from None
    try:
        yield
    finally:
        await leader_election.resign(live, LEADS)


async def switch(shadow_db: Connection, now: datetime) -> str:
    """Exchange the two schemas in one transaction: readers see either. Gives the old one's new name.

    Raises Unreadable where the live schema has a table that this code does not know.
    """
    kept = f"{LIVE}_{now:%Y%m%dt%H%M%S}_{now.microsecond:06}"
    async with shadow_db.transaction():
        await shadow_db.execute("SET LOCAL synchronous_commit = on")
        tables = {row["relname"] for row in await shadow_db.fetch(recorded_log.queries.tables, LIVE)}
        if unknown := tables - DERIVED - set(CARRIED):
            raise Unreadable(f"it is not known how to take over {', '.join(sorted(unknown))}")
        for name in CARRIED:
            if name in tables:
                await _carry(shadow_db, name)
        roles = [row["role"] for row in await shadow_db.fetch(recorded_log.queries.users, LIVE)]
        await shadow_db.execute(
            f"ALTER SCHEMA {LIVE} RENAME TO {kept}; ALTER SCHEMA {SHADOW} RENAME TO {LIVE};"
            f" GRANT USAGE ON SCHEMA {LIVE} TO {', '.join(roles)}"
        )
        for schema in (LIVE, kept):
            for row in await shadow_db.fetch(recorded_log.queries.functions, schema):
                await shadow_db.execute(f"ALTER FUNCTION {row['name']} SET search_path = {schema}, pg_temp")
    return kept


async def _carry(shadow_db: Connection, table: str) -> None:
    """Take over a table as it is; nobody adds to it meanwhile."""
    await shadow_db.execute(
        f"LOCK TABLE {LIVE}.{table} IN SHARE ROW EXCLUSIVE MODE;"
        f" INSERT INTO {SHADOW}.{table} OVERRIDING SYSTEM VALUE SELECT * FROM {LIVE}.{table}"
        " ON CONFLICT DO NOTHING"
    )
    for row in await shadow_db.fetch(recorded_log.queries.identities, SHADOW, table):
        column = row["attname"]
        await shadow_db.execute(
            f"SELECT setval(pg_get_serial_sequence('{SHADOW}.{table}', '{column}'),"
            f" coalesce((SELECT max({column}) FROM {SHADOW}.{table}), 0) + 1, false)"
        )
