"""`make loadtest RATE=…`: the same mix of requests in an open model, arriving at random and not politely.

Locust's users wait for their answers, so a slow system is asked less. Here every service gets a third of the
rate in a seeded Poisson schedule; what it is asked, and with what weights, is as in the classes of users.
Latency counts from the intended start (perf/load/http_generator.py). Beside them a server that does nothing
is asked in the same way, on the same machine: what a request takes is also told as a multiple of its
answer's time.
"""

import asyncio
from collections.abc import Sequence

from deployment.local.service_urls import addresses
from perf import thresholds
from perf.checks.conservation import ConservationResult
from perf.load import http_generator
from perf.load.http_messages import get
from perf.load.result import Result
from perf.loadtest import report
from perf.loadtest.report import Asked
from perf.loadtest.request_mix import Mix, carried_out
from perf.probes import machine
from perf.reporting import phases, text
from perf.stats.latencies import Latencies
from perf.stats.run import Figure, Run, at_least, at_most
from perf.targets import processes
from perf.thresholds import Load

BARE_RATE = 5.0  # a second; so few that they are in nobody's way
BARE_CONNECTIONS = 4

console = text.terminal()


async def measure(rate: float, seconds: int, seed: int) -> Run:
    """All of it."""

    async def ask(asked: Sequence[Mix]) -> list[Result]:
        async with processes.running("perf.targets.echo_baseline") as url:
            request = get(url)
            return await asyncio.gather(
                *(
                    http_generator.open_loop(
                        addresses()[mix.service],
                        mix.make,
                        http_generator.poisson(rate / 3, seconds, seed + number),
                        on_answer=mix.answered,
                    )
                    for number, mix in enumerate(asked)
                ),
                http_generator.open_loop(
                    url,
                    lambda _: request,
                    http_generator.poisson(BARE_RATE, seconds, seed + len(asked)),
                    connections=BARE_CONNECTIONS,
                ),
            )

    words = f"{rate:g} requests a second for {seconds} s, arriving at random …"
    asked, [*results, bare], outcome = await carried_out(console, words, rate / 3 * seconds, seed, ask)
    settings = {
        "requests a second": f"{rate:g}",
        "seconds": str(seconds),
        "seed": str(seed),
        "services": ", ".join(addresses()[mix.service] for mix in asked),
    }
    return run_of(settings, asked, results, bare.latencies, outcome, thresholds.load().load)


def run_of(
    settings: dict[str, str],
    asked: Sequence[Mix],
    results: Sequence[Result],
    bare: Latencies,
    outcome: ConservationResult,
    bounds: Load,
) -> Run:
    """The report, with the verdict."""
    pairs = list(zip(asked, results, strict=True))
    figures = _figures(pairs, bare, bounds)
    failures = [f"{mix.service}: void, {result.void}." for mix, result in pairs if result.void]
    failures += [*text.missed(figures), *outcome.failures]
    return Run(
        **machine.about("loadtest-open", "Load test, open model"),
        settings=settings,
        verdict=not failures,
        remarks=[*failures, *outcome.warnings],
        figures=figures,
        tables=[
            report.mix_rows("Latencies from the intended start, ms", asked, bare),
            *([outcome.rows] if outcome.lines else []),
        ],
        spectra=report.spectra(
            {Asked(mix.service, name): each for mix in asked for name, each in mix.latencies.items()}, bare
        ),
        series=[series for mix, result in pairs for series in phases.throughput(result, mix.service)],
    )


def _figures(pairs: Sequence[tuple[Mix, Result]], bare: Latencies, bounds: Load) -> list[Figure]:
    together = Latencies()
    for _, result in pairs:
        together.merge(result.latencies)
    sent = sum(result.intended for _, result in pairs)
    wrong = sum(mix.wrongs for mix, _ in pairs)
    lost = sum(result.dropped + result.unanswered for _, result in pairs)
    success = 1 - (wrong + lost) / sent if sent else 0.0
    right = sum((result.latencies.count - mix.wrongs) / result.seconds for mix, result in pairs)
    lag_ms = max(result.lag.percentile_ms(99) for _, result in pairs)
    return [
        Figure(name="answered as expected", value=right, unit="a second"),
        at_least("succeeded", 100 * success, "%", 100 * bounds.success_rate),
        at_most("p99 of all", together.percentile_ms(99), "ms", bounds.p99_ms),
        Figure(name="dropped or unanswered", value=lost, unit="requests"),
        Figure(name=f"{report.BARE}, mean", value=bare.mean_ms, unit="ms"),
        Figure(name="the generator's lag, p99", value=lag_ms, unit="ms"),
    ]
