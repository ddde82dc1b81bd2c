"""`make loadtest RATE=…`: the same mix of requests in an open model, arriving at random and not politely.

Locust's users wait for their answers, so a slow system is asked less. Here every service gets a third of the
rate in a seeded Poisson schedule; what it is asked, and with what weights, is as in the classes of users.
Latency counts from the intended start (perf/load/http_generator.py). Beside them a server that does nothing
is asked in the same way, on the same machine: what a request takes is also told as a multiple of its
answer's time.
"""

import asyncio
from collections.abc import Sequence

from perf import thresholds
from perf.checks.conservation import ConservationResult, RequestCounts
from perf.checks.ledger_totals import Check
from perf.load import http_generator
from perf.load.http_messages import get
from perf.load.result import Result
from perf.loadtest import report
from perf.loadtest.report import Asked
from perf.loadtest.request_mix import Mix, make_stock, mixes
from perf.probes import machine
from perf.reporting import phases, text
from perf.stats.latencies import Latencies
from perf.stats.run import Figure, Rows, Run
from perf.targets import processes
from perf.targets.addresses import addresses
from perf.thresholds import Load

BARE_RATE = 5.0  # a second; so few that they are in nobody's way
BARE_CONNECTIONS = 4

console = text.terminal()


async def measure(rate: float, seconds: int, seed: int) -> Run:
    """All of it."""
    check, counts = Check(addresses()["ledger"]), RequestCounts()
    with console.status("making leases to ask about …") as status:
        await asyncio.to_thread(check.begin)
        asked = mixes(await make_stock(rate / 3 * seconds, counts), seed, counts)
        status.update(f"{rate:g} requests a second for {seconds} s, arriving at random …")
        async with processes.running("perf.targets.echo_baseline") as url:
            request = get(url)
            bare, *results = await asyncio.gather(
                http_generator.open_loop(
                    url,
                    lambda _: request,
                    http_generator.poisson(BARE_RATE, seconds, seed + len(asked)),
                    connections=BARE_CONNECTIONS,
                ),
                *(
                    http_generator.open_loop(
                        addresses()[mix.service],
                        mix.make,
                        http_generator.poisson(rate / 3, seconds, seed + number),
                        on_answer=mix.answered,
                    )
                    for number, mix in enumerate(asked)
                ),
            )
        status.update("waiting until the ledger has it all …")
        outcome = await asyncio.to_thread(check.end, counts)
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
    together = Latencies()
    for result in results:
        together.merge(result.latencies)
    sent = sum(result.intended for result in results)
    wrong = sum(mix.wrongs for mix in asked)
    lost = sum(result.dropped + result.unanswered for result in results)
    success = 1 - (wrong + lost) / sent if sent else 0.0
    figures = [
        Figure(
            name="answered as expected",
            value=sum((result.latencies.count - mix.wrongs) / result.seconds for mix, result in pairs),
            unit="a second",
        ),
        Figure(
            name="succeeded",
            value=100 * success,
            unit="%",
            threshold=100 * bounds.success_rate,
            at_least=True,
        ),
        Figure(name="p99 of all", value=together.percentile_ms(99), unit="ms", threshold=bounds.p99_ms),
        Figure(name="dropped or unanswered", value=lost, unit="requests"),
        Figure(name=f"{report.BARE}, mean", value=bare.mean_ms, unit="ms"),
        Figure(
            name="the generator's lag, p99",
            value=max(result.lag.percentile_ms(99) for result in results),
            unit="ms",
        ),
    ]
    failures = [f"{mix.service}: void, {result.void}." for mix, result in pairs if result.void]
    failures += [*text.missed(figures), *outcome.failures]
    found = {Asked(mix.service, name): each for mix in asked for name, each in mix.latencies.items()}
    wrongs = {Asked(mix.service, name): count for mix in asked for name, count in mix.wrong.items()}
    return Run(
        **machine.about("loadtest-open", "Load test, open model"),
        settings=settings,
        verdict=not failures,
        remarks=[*failures, *outcome.warnings],
        figures=figures,
        tables=[
            Rows(
                title="Latencies from the intended start, ms",
                columns=["endpoint", "requests", "wrong", *text.LATENCIES, report.BARE_COLUMN],
                rows=[
                    [
                        kind.name,
                        f"{each.count:,}",
                        f"{wrongs[kind]:,}",
                        *text.latencies(each),
                        report.times_bare(each.mean_ms, bare.mean_ms),
                    ]
                    for kind, each in found.items()
                ],
            ),
            *([outcome.rows] if outcome.lines else []),
        ],
        spectra=report.spectra(found, bare),
        series=[series for mix, result in pairs for series in phases.throughput(result, mix.service)],
    )
