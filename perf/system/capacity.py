"""The highest rate that can be sustained: creations in an open model, faster and faster, then in between.

A rate is sustained where p99 keeps its limit, nothing is dropped or fails, and the ledger has everything soon
after the last answer: no queue has grown. Between two rates the system comes to rest, and what was answered
has to be there, once. First each rate is half as much again as the one before, until one, tried twice, is not
sustained; then the gap is halved until it is small; the highest has to be sustained three times.
"""

import argparse
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import uvloop

from deployment.local.stack import Stack
from perf import thresholds
from perf.checks.private_system import SystemTotals
from perf.load.driver import Driver, Phase, private_system
from perf.load.references import REFERENCE_S
from perf.probes import machine
from perf.probes.sampling import Sampler
from perf.reporting import phases, text
from perf.reporting.command import carry_out
from perf.stats.run import Figure, Rows, Run, Series, Spectrum, at_least

GROWTH = 1.5
GAP = 1.08  # between the highest sustained rate and the lowest that was not
CONFIRMATIONS = 3
TRIES = 2  # before a rate counts as not sustained: any machine has a slow moment
STEP_BACK = 0.9  # from a rate that was not confirmed
STEPS_BACK_MAX = 8  # what is not confirmed then is a machine that has other things to do
RATE_MAX = 100_000.0
VOID_MAX = 3

console = text.terminal()


@dataclass(frozen=True)
class Step:
    """One rate, tried once."""

    rate: float  # intended, per second
    per_second: float  # answered
    p50_ms: float
    p99_ms: float
    failures: tuple[str, ...] = ()  # why it is not sustained; empty: it is
    wrong: tuple[str, ...] = ()  # what is missing or too much in the services: that fails the whole run
    phase: Phase | None = None

    @property
    def sustained(self) -> bool:
        """Whether it is."""
        return not self.failures


async def search(attempt: Callable[[float], Awaitable[Step]], start: float) -> tuple[float, list[Step]]:
    """The highest rate that was sustained three times, and all steps in order; 0 where none was."""
    steps: list[Step] = []

    async def sustained(rate: float) -> bool:
        for _ in range(TRIES):
            steps.append(await attempt(rate))
            if steps[-1].sustained:
                return True
        return False

    low, high = 0.0, start
    while high < RATE_MAX and await sustained(high):
        low, high = high, high * GROWTH
    while not low and high > 1:  # the start was too fast already
        lower = high / GROWTH
        if await sustained(lower):
            low = lower
        else:
            high = lower
    while low and high / low > GAP:
        middle = (low * high) ** 0.5
        if await sustained(middle):
            low = middle
        else:
            high = middle
    for _ in range(STEPS_BACK_MAX if low else 0):
        again = CONFIRMATIONS - sum(step.rate == low and step.sustained for step in steps)
        for _confirmation in range(again):
            if not await sustained(low):
                break
        else:
            return low, steps
        low *= STEP_BACK
    return 0.0, steps


def told(step: Step) -> str:
    """A step in a line."""
    said = "[green]sustained[/]" if step.sustained else f"[red]{', '.join(step.failures)}[/]"
    return f"{step.rate:7,.0f}/s  p50 {step.p50_ms:6.1f} ms  p99 {step.p99_ms:7.1f} ms  {said}"


async def one_step(driver: Driver, rate: float, seconds: float, p99_ms: float) -> Step:
    """Try a rate; again where the generator itself was late, which says nothing about the system."""
    wrong: list[str] = []
    for _ in range(VOID_MAX):
        phase = await driver.create(rate, seconds, traced=False)
        wrong += await driver.unaccounted()
        if phase.result.void is None:
            break
    return judged(phase, p99_ms, tuple(wrong))


def judged(phase: Phase, p99_ms: float, wrong: tuple[str, ...] = ()) -> Step:
    """What a rate has come to."""
    result = phase.result
    failures = []
    if (found := result.latencies.percentile_ms(99)) > p99_ms:
        failures.append(f"p99 {found:.0f} ms")
    if result.dropped or result.unanswered:
        failures.append(f"{result.dropped} dropped, {result.unanswered} unanswered")
    if others := sum(result.statuses.values()) - result.statuses[201]:
        failures.append(f"{others} not 201")
    if result.void is not None:
        failures.append(f"void {VOID_MAX} times: the generator was late")
    if phase.lag_s > thresholds.load().capacity.ledger_lag_s:
        failures.append(f"the ledger {phase.lag_s:.1f} s behind")
    return Step(
        rate=phase.rate,
        per_second=phase.accepted_per_s,
        p50_ms=result.latencies.percentile_ms(50),
        p99_ms=result.latencies.percentile_ms(99),
        failures=tuple(failures),
        wrong=wrong,
        phase=phase,
    )


async def measure(stack: Stack, start: float, seconds: float, p99_ms: float, seed: int) -> Run:
    """All of it. Raises OSError, TimeoutError."""
    with console.status("warming up …") as status:
        async with SystemTotals(stack) as totals:
            driver = Driver(stack, totals, seed)
            await driver.begin()
            closed = (await driver.warm_up(min(REFERENCE_S, seconds))).rate_of(201)
            wrong = await driver.unaccounted()
            async with Sampler(stack) as sampler:

                async def attempt(rate: float) -> Step:
                    status.update(f"{rate:,.0f} creations a second for {seconds:g} s …")
                    step = await one_step(driver, rate, seconds, p99_ms)
                    console.print(told(step))
                    return step

                highest, steps = await search(attempt, start)
            status.update("the references …")
            beside = await driver.beside(seconds)
    return run_of(
        highest,
        steps,
        settings={"seconds a rate": f"{seconds:g}", "limit of p99": f"{p99_ms:g} ms", "seed": str(seed)},
        wrong=wrong,
        beside=[*phases.ratios(closed, beside), *sampler.figures()],
        tables=[phases.reference_rows(closed, beside)],
        series=sampler.series(),
    )


def run_of(
    highest: float,
    steps: Sequence[Step],
    *,
    settings: dict[str, str],
    wrong: Sequence[str] = (),
    beside: Sequence[Figure] = (),
    tables: Sequence[Rows] = (),
    series: Sequence[Series] = (),
) -> Run:
    """What has come of it; `highest` is 0 where no rate was sustained three times."""
    remarks = [*wrong, *(each for step in steps for each in step.wrong)]
    there = [step for step in steps if step.rate == highest and step.sustained]
    least = thresholds.load().capacity.creations_per_s
    figures = [at_least("sustained, three times", highest, "a second", least)]
    if there:
        figures += [
            Figure(name="p99 there, the worst of three", value=max(step.p99_ms for step in there), unit="ms"),
            *(phases.rates(there[-1].phase) if there[-1].phase else ()),
        ]
    remarks += text.missed(figures)
    tried = [
        Series(
            group="Latency by rate",
            name=name,
            unit="ms",
            points=sorted((step.rate, getattr(step, member)) for step in steps),
            across="creations intended a second",
        )
        for name, member in (("p50", "p50_ms"), ("p99", "p99_ms"))
    ]
    phase, name = (there[-1].phase if there else None), f"{highest:,.0f}/s"
    return Run(
        **machine.about("capacity", "Capacity: creations that can be sustained"),
        settings=settings,
        verdict=not remarks,
        remarks=remarks,
        figures=[*figures, *beside],
        tables=[_rows(steps), *tables],
        spectra=[Spectrum(name=name, points=phase.result.latencies.spectrum())] if phase else [],
        series=[*tried, *(phases.throughput(phase.result, name) if phase else ()), *series],
    )


def _rows(steps: Sequence[Step]) -> Rows:
    return Rows(
        title="Steps",
        columns=["intended a second", "answered 201", "p50 ms", "p99 ms", "verdict"],
        rows=[
            [
                *(f"{value:,.0f}" for value in (step.rate, step.per_second)),
                *(f"{value:.1f}" for value in (step.p50_ms, step.p99_ms)),
                "sustained" if step.sustained else ", ".join(step.failures),
            ]
            for step in steps
        ],
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.system.capacity", description=__doc__)
    parser.add_argument("--start", type=float, default=200.0, help="the first rate, per second")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each rate")
    limit = thresholds.load().capacity.p99_ms
    parser.add_argument("--p99-ms", type=float, default=limit, help="the limit, from the intended start")
    parser.add_argument("--seed", type=int, default=1, help="of the arrival times")
    asked = parser.parse_args()

    def measured() -> Run:
        with private_system() as (stack, _):
            return uvloop.run(measure(stack, asked.start, asked.seconds, asked.p99_ms, asked.seed))

    carry_out(console, measured)


if __name__ == "__main__":
    main()
