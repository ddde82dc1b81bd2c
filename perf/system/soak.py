"""The same load for a long time: does anything grow, or become slower?

Creations arrive at random at half of what a closed loop does (or at --rate), on a private system. A line is
fitted to each process's memory and open files, the first tenth left out; the p99 of the last tenth is held
against the first's, and what waits in queues and outboxes has to have stayed little. A short run shows that
all of this works, but is no soak: what is still warming up grows, so slopes count only from half an hour on.
"""

import argparse
import os
from collections.abc import Sequence

import msgspec
import numpy as np
import uvloop

from deployment.local.stack import Stack
from perf import thresholds
from perf.checks.private_system import SystemTotals
from perf.load.driver import Driver, Phase, private_system
from perf.load.durations import seconds as seconds_of
from perf.load.references import REFERENCE_S
from perf.probes import machine
from perf.probes.sampling import SERVERS, Sample, Sampler
from perf.reporting import phases, text
from perf.reporting.command import carry_out
from perf.stats.latencies import Latencies
from perf.stats.run import Figure, Rows, Run, Spectrum, at_most

LONG_S = 1_800.0  # from here on slopes count

console = text.terminal()


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """Of a line fitted (least squares) to (seconds, value) points but the first tenth; 0 for too few."""
    late = points[len(points) // 10 :]
    if len(late) < 3:
        return 0.0
    times, values = zip(*late, strict=True)
    return float(np.polyfit(times, values, 1)[0]) * 3600


def tenth(windows: Sequence[Latencies], *, last: bool) -> Latencies:
    """The first or the last tenth of a run's windows, merged."""
    count = max(1, len(windows) // 10)
    merged = Latencies(digits=2)
    for window in windows[-count:] if last else windows[:count]:
        merged.merge(window)
    return merged


async def measure(stack: Stack, seconds: float, rate: float | None, seed: int) -> Run:
    """All of it. Raises OSError, TimeoutError."""
    reference_s = min(REFERENCE_S, seconds)
    with console.status("warming up …") as status:
        async with SystemTotals(stack) as totals:
            driver = Driver(stack, totals, seed)
            await driver.begin()
            closed = (await driver.warm_up(reference_s)).rate_of(201)
            wrong = await driver.unaccounted()
            rate = rate or closed / 2
            status.update(f"{rate:,.0f} creations a second for {seconds:,.0f} s …")
            async with Sampler(stack) as sampler:
                phase = await driver.create(rate, seconds, traced=False)
            wrong += await driver.unaccounted()
            status.update("the references …")
            beside = await driver.beside(seconds)
    found = run_of(phase, sampler, seconds, seed, wrong)
    return msgspec.structs.replace(
        found,
        figures=[*found.figures, *phases.ratios(closed, beside)],
        tables=[*found.tables, phases.reference_rows(closed, beside)],
    )


def run_of(phase: Phase, sampler: Sampler, seconds: float, seed: int, wrong: Sequence[str] = ()) -> Run:
    """What has come of it; `wrong`: what is missing or too much in the services."""
    result = phase.result
    long = seconds >= LONG_S
    bounds = thresholds.load().soak
    memory = _slopes(sampler.samples, "rss_mb")
    files = _slopes(sampler.samples, "open_files")
    python = [name for name in memory if name not in SERVERS]
    late = sampler.samples[-max(1, len(sampler.samples) // 10) :]
    waiting = float(np.mean([sum(each.queued.values()) + each.outbox for each in late]))
    first, last = (tenth(result.windows, last=which).percentile_ms(99) for which in (False, True))
    ratio = last / first if first else 0.0
    growth, opened = (max(slopes[name] for name in python) for slopes in (memory, files))
    figures = [
        *phases.rates(phase),
        Figure(name="p99 of the whole run", value=result.latencies.percentile_ms(99), unit="ms"),
        at_most("p99, last tenth over first", ratio, "×", bounds.p99_ratio if long else None),
        at_most("memory, the steepest", growth, "MB an hour", bounds.memory_mb_per_hour if long else None),
        at_most("open files, the steepest", opened, "an hour", bounds.files_per_hour if long else None),
        at_most("waiting, last tenth", waiting, "messages", bounds.waiting),
        at_most("ledger's lag at the end", phase.lag_s, "s", bounds.ledger_lag_s),
        *sampler.figures(),
    ]
    remarks = [*wrong, *text.missed(figures)]
    if set(result.statuses) != {201} or result.dropped or result.unanswered:
        remarks.append(
            f"Answers {dict(result.statuses)}, {result.dropped} dropped, {result.unanswered} unanswered."
        )
    if result.void is not None:
        remarks.append(f"The run is void: {result.void}.")
    return Run(
        **machine.about("soak", "Soak: the same load for a long time"),
        settings={"seconds": f"{seconds:g}", "creations a second": f"{phase.rate:,.0f}", "seed": str(seed)},
        verdict=not remarks,
        remarks=remarks,
        figures=figures,
        tables=[
            Rows(
                title="Slopes",
                columns=["process", "memory, MB an hour", "open files an hour"],
                rows=[[name, f"{memory[name]:+.1f}", f"{files[name]:+.1f}"] for name in memory],
            )
        ],
        spectra=[Spectrum(name="creation", points=result.latencies.spectrum())],
        series=[*phases.throughput(result), *sampler.series()],
    )


def _slopes(samples: Sequence[Sample], member: str) -> dict[str, float]:
    names = dict.fromkeys(name for sample in samples for name in getattr(sample, member))
    return {
        name: slope_per_hour(
            [(each.at_s, getattr(each, member)[name]) for each in samples if name in getattr(each, member)]
        )
        for name in names
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.system.soak", description=__doc__)
    length = os.environ.get("RUN_TIME") or "30m"
    parser.add_argument("--run-time", default=length, help='"30m", "8h"; default: RUN_TIME, else 30m')
    parser.add_argument("--rate", type=float, help="creations a second; default: half of a closed loop's")
    parser.add_argument("--seed", type=int, default=1, help="of the arrival times")
    asked = parser.parse_args()
    try:
        seconds = seconds_of(asked.run_time)
    except ValueError as error:
        parser.error(str(error))

    def measured() -> Run:
        with private_system() as (stack, _):
            return uvloop.run(measure(stack, seconds, asked.rate, asked.seed))

    carry_out(console, measured)


if __name__ == "__main__":
    main()
