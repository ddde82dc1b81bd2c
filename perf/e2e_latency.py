"""Each command followed hop by hop, at a rate that the system can hold: where does the time go?

On a private system of its own. First its capacity is guessed from a short closed loop; then creations, and
attempts on what was created, arrive in a seeded Poisson schedule at half of that (or at --rate). Every
message of every request is stamped by every process; the stamps are joined when all is over. In the same run:
a bare aiohttp server, and the same inserts without a broker.
"""

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

import aiohttp
import uvloop
from rich.console import Console

from common.stack.errors import StackError
from common.stack.stack import Stack as System
from perf import hops, openloop, servers, show
from perf.driver import CONNECTIONS, Driver, private_system
from perf.report import page
from perf.report.run import Run, Spectrum, Stack
from perf.sampling import Sampler
from perf.terms import creation

GUESS_S = 5.0
ATTEMPTS_SHARE = 4  # attempts come at the creations' rate over this: each is charged by HTTP, one by one

console = Console()


async def measure(stack: System, stamps: Path, seconds: float, rate: float | None, seed: int) -> Run:
    """All of it."""
    reference_s = min(GUESS_S, seconds)
    with console.status("guessing the capacity …") as status:
        async with aiohttp.ClientSession() as session:
            driver = Driver(stack, session, seed)
            await driver.begin()
            guess = await driver.guess(reference_s)
            rate = rate or guess.per_second / 2
            async with Sampler(stack) as sampler:
                status.update(f"creations: {rate:,.0f}/s for {seconds:.0f} s, arriving at random …")
                creations = await driver.create(rate, seconds, traced=True)
                with contextlib.suppress(TimeoutError):  # what is missing then, the books below show
                    await driver.settled()
                status.update(f"attempts: for {seconds / 2:.0f} s …")
                attempts = await driver.attempt(rate / ATTEMPTS_SHARE, seconds / 2)
                await asyncio.sleep(2)  # until the last stamps are written
        joined = await asyncio.to_thread(hops.read, stamps)
        lease_id, _ = driver.created[0]
        status.update("the references …")
        bare = await servers.echo_per_second(CONNECTIONS, reference_s)
        direct = await servers.direct(
            stack.addresses.database,
            lease_id,
            creation(0),
            CONNECTIONS,
            reference_s,
            openloop.poisson(rate, reference_s, seed),
        )
    ways = ((creations, hops.CREATION), (attempts, hops.ATTEMPT))
    tables, remarks = [], []
    for phase, way in ways:
        phase.join(joined)
        tables.append(show.hop_rows(phase, way))
        remarks += show.not_conserved(phase)
    tables += [show.reference_rows(guess, creations.result, bare, direct), show.books(creations, attempts)]
    return Run(
        **show.about("e2e-latency", "End-to-end latency, hop by hop"),
        settings={"creations a second": f"{rate:,.0f}", "seconds": f"{seconds:g}", "seed": str(seed)},
        verdict=not remarks,
        remarks=remarks,
        figures=show.figures(creations, attempts, guess, bare, direct),
        tables=tables,
        spectra=[Spectrum(name=phase.name, points=phase.result.latencies.spectrum()) for phase, _ in ways],
        stacks=[
            Stack(
                name=phase.name,
                hops=[(hop.name, hop.latencies.mean_ms) for hop in hops.along(phase.traces.values(), way)],
            )
            for phase, way in ways
        ],
        series=[*show.throughput(creations.result), *sampler.series()],
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.e2e_latency", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the creations' schedule")
    parser.add_argument("--rate", type=float, help="creations a second; default: half of a closed loop's")
    parser.add_argument("--seed", type=int, default=1, help="of the arrival times")
    asked = parser.parse_args()
    try:
        with private_system() as (stack, stamps):
            run = uvloop.run(measure(stack, stamps, asked.seconds, asked.rate, asked.seed))
        path = page.write(run)
    except (StackError, OSError, TimeoutError) as error:
        sys.exit(f"The measurement was cut short: {error!r}")
    show.told(console, run, path)
    sys.exit(0 if run.verdict else 1)


if __name__ == "__main__":
    main()
