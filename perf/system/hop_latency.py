"""Each command followed hop by hop, at a rate that the system can hold: where does the time go?

On a private system of its own. First its capacity is guessed from a short closed loop; then creations, and
attempts on what was created, arrive in a seeded Poisson schedule at half of that (or at --rate). Every
message of every request is stamped by every process; the stamps are joined when all is over. In the same run:
a bare aiohttp server, and the same inserts without a broker.
"""

import argparse
import asyncio
from pathlib import Path

import uvloop

from common.observability.trace_stamps import FLUSH_EVERY_S
from deployment.local.stack import Stack as System
from perf import thresholds
from perf.checks.private_system import SystemTotals
from perf.load import http_generator
from perf.load.driver import Driver, private_system
from perf.load.references import REFERENCE_S
from perf.probes import machine, trace_join
from perf.probes.sampling import Sampler
from perf.reporting import phases, text
from perf.reporting.command import carry_out
from perf.stats.run import Run, Spectrum, Stack
from perf.system import hop_report

ATTEMPTS_SHARE = 4  # attempts come at the creations' rate over this: each is charged by HTTP, one by one

console = text.terminal()


async def measure(stack: System, stamps: Path, seconds: float, rate: float | None, seed: int) -> Run:
    """All of it. Raises OSError, TimeoutError."""
    reference_s = min(REFERENCE_S, seconds)
    with console.status("guessing the capacity …") as status:
        async with SystemTotals(stack) as totals:
            driver = Driver(stack, totals, seed)
            await driver.begin()
            closed = (await driver.warm_up(reference_s)).rate_of(201)
            remarks = await driver.unaccounted()
            rate = rate or closed / 2
            async with Sampler(stack) as sampler:
                status.update(f"creations: {rate:,.0f}/s for {seconds:.0f} s, arriving at random …")
                creations = await driver.create(rate, seconds, traced=True)
                remarks += await driver.unaccounted()
                status.update(f"attempts: for {seconds / 2:.0f} s …")
                attempts = await driver.attempt(rate / ATTEMPTS_SHARE, seconds / 2)
                remarks += await driver.unaccounted()
        await asyncio.sleep(2 * FLUSH_EVERY_S)  # until the last stamps are written
        joined = await asyncio.to_thread(trace_join.read, stamps)
        status.update("the references …")
        beside = await driver.beside(seconds, http_generator.poisson(rate, reference_s, seed))
    for phase in (creations, attempts):
        phase.join(joined)
        remarks += hop_report.not_conserved(phase)
    figures = hop_report.figures(creations, attempts, thresholds.load().e2e_latency)
    remarks += text.missed(figures)
    ways = ((creations, trace_join.CREATION), (attempts, trace_join.ATTEMPT))
    return Run(
        **machine.about("e2e-latency", "End-to-end latency, hop by hop"),
        settings={"creations a second": f"{rate:,.0f}", "seconds": f"{seconds:g}", "seed": str(seed)},
        verdict=not remarks,
        remarks=remarks,
        figures=[*figures, *phases.ratios(closed, beside), *sampler.figures()],
        tables=[
            *(hop_report.hop_rows(phase, way) for phase, way in ways),
            phases.reference_rows(closed, beside, creations.result),
            hop_report.conservation_rows(creations, attempts),
        ],
        spectra=[Spectrum(name=phase.name, points=phase.result.latencies.spectrum()) for phase, _ in ways],
        stacks=[
            Stack(
                name=phase.name,
                hops=[
                    (hop.name, hop.latencies.mean_ms) for hop in trace_join.along(phase.traces.values(), way)
                ],
            )
            for phase, way in ways
        ],
        series=[*phases.throughput(creations.result), *sampler.series()],
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.system.hop_latency", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the creations' schedule")
    parser.add_argument("--rate", type=float, help="creations a second; default: half of a closed loop's")
    parser.add_argument("--seed", type=int, default=1, help="of the arrival times")
    asked = parser.parse_args()

    def measured() -> Run:
        with private_system() as (stack, stamps):
            return uvloop.run(measure(stack, stamps, asked.seconds, asked.rate, asked.seed))

    carry_out(console, measured)


if __name__ == "__main__":
    main()
