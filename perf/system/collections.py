"""Collections at full size, on a private system of its own: how fast, how much memory, and is all conserved.

Two fifths of the leases fall due, half of them on one day and half on another. The first day is collected in
peace; during the second the payment worker is killed (SIGKILL) half way. Both have to come to the same end.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import sys
import time
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import aiohttp
import asyncpg
import psutil
import uvloop

from deployment.errors import StackError
from deployment.local.console import Terminal
from deployment.local.stack import Stack
from deployment.local.temporary import temporary_stack
from perf import thresholds
from perf.load import http_generator
from perf.load.http_messages import post
from perf.reporting import text

WORKER = "payment-worker"
TUNABLES = {"GATEWAY_LATENCY_MS": "0", "COLLECTIONS_AT": "never", "LOG_LEVEL": "warning"}
DAYS = (date(2030, 3, 1), date(2031, 3, 1))
LATER = date(2032, 3, 1)
SHARE = 5  # one lease in so many falls due on each of the days
HARD = 10  # one autopay in so many is declined for good

CREATE_S = 3_600.0
RUN_S = 3_600.0
REST_S = 600.0
LOOK_EVERY_S = 0.1

console = text.terminal()


@dataclass
class Measured:
    """What one run was seen to do."""

    counts: dict[str, int]
    seconds: float
    rss_before_mb: float
    rss_peak_mb: float

    @property
    def per_second(self) -> float:
        """Attempts a second, from the command to its outcome."""
        return self.counts["attempted"] / self.seconds


def _lease(number: int) -> bytes:
    due = (*DAYS, *[LATER] * (SHARE - len(DAYS)))[number % SHARE]
    hard = number // SHARE % HARD == 0
    return json.dumps(
        {
            "customer_id": f"collections-{number}",
            "currency": "USD",
            "principal": 10_000 + number % 1_000,
            "annual_rate": "0",
            "term": 1,
            "frequency": "monthly",
            "start_date": str(due - timedelta(days=30)),
            "first_due_date": str(due),
            "autopay": True,
            "payment_method": "pm_card_lost" if hard else "pm_card_ok",
        }
    ).encode()


class Measurement:
    """A private system, and what is done with it."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession, database: Any) -> None:
        self._stack = stack
        self._session = session
        self._database = database

    async def create(self, leases: int) -> None:
        """Leases over HTTP, as clients make them."""
        url = f"{self._stack.addresses.http('lease')}/api/v1/leases"
        with console.status(f"creating {leases:,} leases …"):
            made = await http_generator.closed_loop(
                url,
                lambda number: post(url, _lease(number)),
                seconds=CREATE_S,
                connections=50,
                requests=leases,
            )
            if made.statuses != {201: leases}:
                raise SystemExit(f"Not all leases were created: {made.statuses}")
            await self.rest()
        console.print(f"{leases:,} leases created, {made.rate_of(201):,.0f}/s")

    async def collect(self, day: date, kill_after: int | None = None) -> Measured:
        """A run; the worker is killed after so many attempts."""
        before = self._rss_mb()
        peak, started = before, time.perf_counter()
        asking = asyncio.create_task(self._run(day))
        with console.status(f"collecting as of {day} …"):
            while not asking.done():
                await asyncio.sleep(LOOK_EVERY_S)
                peak = max(peak, self._rss_mb())
                if kill_after is not None and await self._attempts(day) >= kill_after:
                    kill_after = None
                    console.print("The payment worker is killed.")
                    await asyncio.to_thread(self._stack.kill_program, WORKER)
        return Measured(await asking, time.perf_counter() - started, before, peak)

    async def _run(self, day: date) -> dict[str, int]:
        base = self._stack.addresses.http("payment")
        body = {"as_of": str(day), "allow_future": True}
        async with self._session.post(f"{base}/api/v1/collections/run", json=body) as response:
            said = await response.json()
            if response.status == 200:
                return dict(said)
        async with asyncio.timeout(RUN_S):
            while True:
                async with self._session.get(f"{base}{said['status_url']}") as response:
                    status = await response.json()
                if status["status"] == "succeeded":
                    return dict(status["outcome"])
                await asyncio.sleep(LOOK_EVERY_S)

    async def conserved(self, day: date) -> dict[str, int]:
        """How many instalments were paid that day, by books that do not know of each other."""
        await self.rest()
        ids = "(SELECT lease_id FROM payment.attempts WHERE as_of = $1)"
        told = f"SELECT count(*) FROM ledger.entries WHERE type = $2 AND lease_id IN {ids}"
        rows = await self._database.fetch(
            "SELECT attempt_id::text FROM payment.attempts WHERE as_of = $1 AND status = 'succeeded'", day
        )
        keys = {row[0] for row in rows}
        return {
            "succeeded attempts": len(keys),
            "charges at the gateway": await asyncio.to_thread(self._charges, keys),
            "events payment.succeeded": await self._database.fetchval(told, day, "payment.succeeded"),
            "leases paid off": await self._database.fetchval(
                f"SELECT count(*) FROM lease.leases WHERE status = 'paid_off' AND lease_id IN {ids}", day
            ),
        }

    async def rest(self) -> None:
        """Return when all that was told has been published and recorded."""
        left = """
            SELECT (SELECT count(*) FROM lease.outbox_pending) + (SELECT count(*) FROM payment.outbox_pending)
                 + (SELECT count(*) FROM lease.outbox) + (SELECT count(*) FROM payment.outbox)
                 - (SELECT count(*) FROM ledger.entries)
                 + (SELECT count(*) FROM lease.leases) - (SELECT count(*) FROM payment.accounts)
                 + (SELECT sum(a.event_sequence) - sum(l.payment_sequence)
                      FROM lease.leases AS l JOIN payment.accounts AS a USING (lease_id))
        """
        async with asyncio.timeout(REST_S):
            while await self._database.fetchval(left):  # noqa: ASYNC110 in the database
                await asyncio.sleep(0.5)

    async def _attempts(self, day: date) -> int:
        query = "SELECT count(*)::int FROM payment.attempts WHERE as_of = $1"
        return int(await self._database.fetchval(query, day))

    def _charges(self, keys: set[str]) -> int:
        """How many successful charges the gateway has under these keys."""
        book = sqlite3.connect(f"file:{self._stack.layout.real / 'gateway/gateway.db'}?mode=ro", uri=True)
        try:
            rows = book.execute("SELECT idempotency_key FROM charges WHERE decline_code IS NULL")
            return sum(row[0] in keys for row in rows)
        finally:
            book.close()

    def _rss_mb(self) -> float:
        try:
            return float(psutil.Process(self._stack.states()[WORKER].pid).memory_info().rss / 1e6)
        except (psutil.Error, KeyError, ValueError):
            return 0.0  # it has just been killed


def _show(quiet: Measured, killed: Measured, books: list[dict[str, int]]) -> bool:
    growth = quiet.rss_peak_mb - quiet.rss_before_mb
    table = text.table("Collections", ("figure", "in peace", "killed half way"))
    for name in ("due", "attempted", "succeeded", "declined", "unknown"):
        table.add_row(name, f"{quiet.counts[name]:,}", f"{killed.counts[name]:,}")
    for name in books[0]:
        table.add_row(name, *(f"{book[name]:,}" for book in books))
    table.add_row("seconds", f"{quiet.seconds:.1f}", f"{killed.seconds:.1f}")
    table.add_row("attempts a second", f"{quiet.per_second:,.0f}", f"{killed.per_second:,.0f}")
    table.add_row("worker's memory before", f"{quiet.rss_before_mb:.0f} MB", f"{killed.rss_before_mb:.0f} MB")
    table.add_row("worker's memory, peak", f"{quiet.rss_peak_mb:.0f} MB", f"{killed.rss_peak_mb:.0f} MB")
    console.print(table)
    same = all(quiet.counts[name] == killed.counts[name] for name in ("due", "attempted", "succeeded"))
    bounds = thresholds.load().collections
    least, most = bounds.attempts_per_s, bounds.worker_growth_mb
    verdicts = {
        f"at least {least:,g} attempts a second": quiet.per_second >= least,
        f"the worker grew by {growth:.0f} MB, at most {most:g}": growth <= most,
        "killed half way, the end is the same": same,
        "every book has the same number of payments": all(len(set(book.values())) == 1 for book in books),
    }
    for what, holds in verdicts.items():
        console.print(f"{text.verdict(holds, '✓', '✗')} {what}")
    return all(verdicts.values())


async def measure(stack: Stack, leases: int) -> bool:
    """All of it, on a system of its own. True when every figure keeps its threshold."""
    database = await asyncpg.connect(stack.addresses.database)
    try:
        async with aiohttp.ClientSession() as session:
            measurement = Measurement(stack, session, database)
            await measurement.create(leases)
            quiet = await measurement.collect(DAYS[0])
            books = [await measurement.conserved(DAYS[0])]
            killed = await measurement.collect(DAYS[1], kill_after=quiet.counts["attempted"] // 2)
            books.append(await measurement.conserved(DAYS[1]))
    finally:
        await database.close()
    return _show(quiet, killed, books)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.system.collections", description=__doc__)
    default = int(os.environ.get("LEASES") or 20_000)
    parser.add_argument("--leases", type=int, default=default, help="default: LEASES, else 20,000")
    asked = parser.parse_args()
    try:
        with temporary_stack(tunables=TUNABLES, reporter=Terminal()) as stack:
            kept = uvloop.run(measure(stack, asked.leases))
    except (StackError, OSError) as error:
        sys.exit(f"The measurement was cut short: {error}")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
