"""The headline figures of a running system, each beside its threshold and a bare aiohttp server's.

Creates leases synchronously, reads them, waits for the ledger, adds up memory, and checks that what was
answered with 201 is in the lease projection, the payment projection and the ledger, exactly once.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass

import aiohttp
import uvloop

from deployment.local.service_urls import addresses
from perf import thresholds
from perf.checks.ledger_totals import LedgerTotals
from perf.load.http_generator import MakeRequest, OnAnswer, closed_loop
from perf.load.http_messages import get, post
from perf.load.result import Request, Result
from perf.probes import memory
from perf.reporting import text
from perf.stats.run import at_least, at_most
from perf.targets.processes import running
from perf.targets.sample_lease import TERM, creation
from perf.thresholds import Figures

LEASES, PAYMENTS, LEDGER = (addresses()[service] for service in ("lease", "payment", "ledger"))

SETTLE_S = 60.0  # how long the ledger may take before the run is called broken
SAMPLE = 50  # leases looked up in every service afterwards

console = text.terminal()


async def _missing(session: aiohttp.ClientSession, lease_ids: list[str]) -> int:
    """How many of a sample of leases are not complete in one of the three services."""
    missing = 0
    for lease_id in random.sample(lease_ids, min(SAMPLE, len(lease_ids))):
        async with session.get(f"{LEASES}/api/v1/leases/{lease_id}") as response:
            missing += response.status != 200
        async with session.get(f"{PAYMENTS}/api/v1/leases/{lease_id}/payments") as response:
            missing += response.status != 200 or len((await response.json())["items"]) != TERM
        async with session.get(f"{LEDGER}/api/v1/audit/leases/{lease_id}") as response:
            missing += response.status != 200 or len((await response.json())["items"]) != 1
    return missing


@dataclass(frozen=True)
class Seen:
    """What one run has come to."""

    created: list[str]  # leases answered with 201, warming up included
    creations: Result
    reads: Result
    bare: Result
    in_ledger: int  # leases more than before
    lag_s: float  # of the ledger, after the last creation
    rss_mb: float  # of the Python processes, at the end of the creations
    missing: int  # of a sample, in any of the services

    @property
    def conserved(self) -> bool:
        """Whether everything was answered as it should be, and is in every service, once."""
        answered = set(self.creations.statuses) == {201} and set(self.reads.statuses) == {200}
        cut = self.creations.unanswered or self.reads.unanswered
        return self.in_ledger == len(self.created) and not self.missing and answered and not cut


async def measure(seconds: float, connections: int) -> Seen:
    """Load the system, closed loop. Raises OSError, aiohttp.ClientError."""
    created: list[str] = []

    def note(request: Request, body: bytes) -> None:
        if request.status == 201:
            created.append(json.loads(body[:60].split(b",")[0] + b"}")["lease_id"])

    def create(number: int) -> bytes:
        return post(f"{LEASES}/api/v1/leases", creation(number))

    async def load(
        what: str, url: str, make: MakeRequest, s: float, on_answer: OnAnswer | None = None
    ) -> Result:
        with console.status(f"{what}: {s:.0f} s on {connections} connections …"):
            return await closed_loop(url, make, seconds=s, connections=connections, on_answer=on_answer)

    async with aiohttp.ClientSession() as session, running("perf.targets.echo_baseline") as echo:
        totals = LedgerTotals(LEDGER)
        before = (await asyncio.to_thread(totals.read)).leases_total
        await load("warming up", LEASES, create, min(5.0, seconds), note)
        creations = await load("creating leases", LEASES, create, seconds, note)
        ended = time.perf_counter()
        rss_mb = memory.rss_mb(memory.of_front(LEASES))
        with console.status("waiting for the ledger …"):
            now = await totals.leases(before + len(created), SETTLE_S)
        lag_s = time.perf_counter() - ended
        some = [get(f"{LEASES}/api/v1/leases/{each}") for each in created[-5000:]]
        reads = await load("reading leases", LEASES, lambda _: random.choice(some), seconds / 3)
        request = get(echo)
        bare = await load("bare aiohttp", echo, lambda _: request, min(5.0, seconds))
        missing = await _missing(session, created)
    return Seen(created, creations, reads, bare, now - before, lag_s, rss_mb, missing)


def show(seen: Seen, title: str, bounds: Figures) -> bool:
    """Print the table; True when every threshold is kept and nothing is missing."""
    creations, reads = seen.creations, seen.reads
    per_s, reads_per_s, bare_per_s = creations.rate_of(201), reads.rate_of(200), seen.bare.rate_of(200)
    p50, p95, p99 = map(creations.latencies.percentile_ms, (50, 95, 99))
    figures = [
        at_least("POST /leases, synchronous", per_s, "a second", bounds.creations_per_s),
        at_most("POST /leases p99", p99, "ms", bounds.creation_p99_ms),
        at_least("GET /leases/{id}", reads_per_s, "a second", bounds.reads_per_s),
        at_most("ledger lag at the end", seen.lag_s, "s", bounds.ledger_lag_s),
        at_most("memory of all Python processes", seen.rss_mb, "MB", bounds.python_rss_mb),
    ]
    console.print(text.figures(figures, title))
    console.print(
        f"Creations: p50 {p50:.1f} ms, p95 {p95:.1f} ms,"
        f" answers {dict(creations.statuses)} and {dict(reads.statuses)}."
        f" Reads: p50 {reads.latencies.percentile_ms(50):.1f} ms,"
        f" p99 {reads.latencies.percentile_ms(99):.1f} ms."
    )
    console.print(
        f"Bare aiohttp in the same run: {bare_per_s:,.0f}/s; a creation costs as much as"
        f" {bare_per_s / max(per_s, 1e-9):.1f} of its answers, a read"
        f" {bare_per_s / max(reads_per_s, 1e-9):.1f}."
    )
    console.print(
        f"Conservation: {len(seen.created)} answered 201, {seen.in_ledger} in the ledger,"
        f" {seen.missing} missing in a sample of {SAMPLE}:"
        f" {text.verdict(seen.conserved, 'holds', 'broken')}"
    )
    return seen.conserved and not any(each.kept is False for each in figures)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.system.headline", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the run that creates leases")
    parser.add_argument("--connections", type=int, default=50)
    arguments = parser.parse_args()
    try:
        seen = uvloop.run(measure(arguments.seconds, arguments.connections))
    except (OSError, aiohttp.ClientError) as error:
        sys.exit(f"The system cannot be reached ({error}): start it with `make up`.")
    title = f"{arguments.connections} connections, {arguments.seconds:.0f} s, closed loop"
    sys.exit(0 if show(seen, title, thresholds.load().figures) else 1)


if __name__ == "__main__":
    main()
