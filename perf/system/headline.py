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
from rich.console import Console
from rich.table import Table

from perf import thresholds
from perf.load import http_generator
from perf.load.http_generator import Result
from perf.load.sample_lease import TERM, creation
from perf.probes import memory
from perf.targets.addresses import addresses
from perf.targets.processes import running

LEASES, PAYMENTS, LEDGER = (addresses()[service] for service in ("lease", "payment", "ledger"))

SETTLE_S = 60.0  # how long the ledger may take before the run is called broken
SAMPLE = 50  # leases looked up in every service afterwards

console = Console()


@dataclass
class Line:
    """One figure."""

    name: str
    value: float
    unit: str
    threshold: float
    at_least: bool

    @property
    def holds(self) -> bool:
        """Whether the threshold is kept."""
        return self.value >= self.threshold if self.at_least else self.value <= self.threshold


async def _metrics(session: aiohttp.ClientSession) -> dict[str, int]:
    async with session.get(f"{LEDGER}/api/v1/audit/metrics") as response:
        found: dict[str, int] = await response.json()
        return found


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


async def measure(seconds: float, connections: int) -> bool:
    """Run it all, print the table; True when every threshold is kept and nothing is missing."""
    bounds = thresholds.load().figures
    created: list[str] = []
    numbers = iter(range(sys.maxsize))

    def note(status: int, body: bytes) -> None:
        if status == 201:
            created.append(json.loads(body[:60].split(b",")[0] + b"}")["lease_id"])

    def create() -> bytes:
        return http_generator.post(f"{LEASES}/api/v1/leases", creation(next(numbers)))

    async def load(
        what: str, url: str, make: http_generator.MakeRequest, s: float, on_body: http_generator.OnBody | None
    ) -> Result:
        with console.status(f"{what}: {s:.0f} s on {connections} connections …"):
            return await http_generator.run(url, make, seconds=s, connections=connections, on_body=on_body)

    async with aiohttp.ClientSession() as session, running("perf.targets.echo_baseline") as echo:
        before = await _metrics(session)
        await load("warming up", LEASES, create, min(5.0, seconds), note)
        creations = await load("creating leases", LEASES, create, seconds, note)
        ended = time.perf_counter()
        rss_mb = memory.rss_mb(memory.of_front(LEASES))
        with console.status("waiting for the ledger …"):
            while (now := await _metrics(session))["leases_total"] - before["leases_total"] < len(created):
                if time.perf_counter() - ended > SETTLE_S:
                    break
                await asyncio.sleep(0.02)
        lag_s = time.perf_counter() - ended
        in_ledger = now["leases_total"] - before["leases_total"]
        some = [http_generator.get(f"{LEASES}/api/v1/leases/{each}") for each in created[-5000:]]
        reads = await load("reading leases", LEASES, lambda: random.choice(some), seconds / 3, None)
        request = http_generator.get(echo)
        bare = await load("bare aiohttp", echo, lambda: request, min(5.0, seconds), None)
        missing = await _missing(session, created)

    lines = [
        Line("POST /leases, synchronous", creations.rate_of(201), "/s", bounds.creations_per_s, True),
        Line("POST /leases p99", creations.percentile_ms(99), "ms", bounds.creation_p99_ms, False),
        Line("GET /leases/{id}", reads.rate_of(200), "/s", bounds.reads_per_s, True),
        Line("ledger lag at the end", lag_s, "s", bounds.ledger_lag_s, False),
        Line("memory of all Python processes", rss_mb, "MB", bounds.python_rss_mb, False),
    ]
    table = Table(title=f"{connections} connections, {seconds:.0f} s, closed loop")
    for column in ("figure", "measured", "threshold", ""):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for line in lines:
        bound = f"{'≥' if line.at_least else '≤'} {line.threshold:g} {line.unit}"
        verdict = "[green]kept[/]" if line.holds else "[red]missed[/]"
        table.add_row(line.name, f"{line.value:,.1f} {line.unit}", bound, verdict)
    console.print(table)
    console.print(
        f"Creations: p50 {creations.percentile_ms(50):.1f} ms, p95 {creations.percentile_ms(95):.1f} ms,"
        f" answers {dict(creations.statuses)} and {dict(reads.statuses)}."
        f" Reads: p50 {reads.percentile_ms(50):.1f} ms, p99 {reads.percentile_ms(99):.1f} ms."
    )
    console.print(
        f"Bare aiohttp in the same run: {bare.rate_of(200):,.0f}/s; a creation costs as much as"
        f" {bare.rate_of(200) / max(creations.rate_of(201), 1e-9):.1f} of its answers, a read"
        f" {bare.rate_of(200) / max(reads.rate_of(200), 1e-9):.1f}."
    )
    all_right = set(creations.statuses) == {201} and set(reads.statuses) == {200}
    conserved = (
        in_ledger == len(created) and not missing and all_right and not (creations.broken or reads.broken)
    )
    console.print(
        f"Conservation: {len(created)} answered 201, {in_ledger} in the ledger, {missing} missing in a sample"
        f" of {SAMPLE}: {'[green]holds[/]' if conserved else '[red]broken[/]'}"
    )
    return conserved and all(line.holds for line in lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.system.headline", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the run that creates leases")
    parser.add_argument("--connections", type=int, default=50)
    arguments = parser.parse_args()
    try:
        kept = uvloop.run(measure(arguments.seconds, arguments.connections))
    except (OSError, aiohttp.ClientError) as error:
        sys.exit(f"The system cannot be reached ({error}): start it with `make up`.")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
