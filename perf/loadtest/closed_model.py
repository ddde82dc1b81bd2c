"""`make loadtest RATE=max`: the same mix of requests as fast as it goes, at all three services at once.

A closed loop without pauses: each connection asks again when it has its answer. That finds the most that the
services do together, the highest rate of all; latencies are those of a full system, and flattered at that.
"""

import asyncio
import math
from collections.abc import Sequence

from deployment.local.service_urls import addresses
from perf import thresholds
from perf.checks.conservation import ConservationResult
from perf.load import http_generator
from perf.load.result import Result
from perf.loadtest import report
from perf.loadtest.request_mix import Mix, carried_out
from perf.probes import machine
from perf.reporting import text
from perf.stats.latencies import Latencies
from perf.stats.run import Figure, Run, Spectrum, at_least
from perf.thresholds import Load

PAYMENTS_PER_S = 500  # leases are made for so many requests to the payment service; it is asked no more

console = text.terminal()


async def measure(users: int, seconds: int, seed: int) -> Run:
    """All of it; each service gets a third of the users, one at least."""
    each, payments = math.ceil(users / 3), PAYMENTS_PER_S * seconds

    async def ask(asked: Sequence[Mix]) -> list[Result]:
        return await asyncio.gather(
            *(
                http_generator.closed_loop(
                    addresses()[mix.service],
                    mix.make,
                    seconds=seconds,
                    connections=each,
                    requests=payments if mix.service == "payment" else math.inf,
                    on_answer=mix.answered,
                )
                for mix in asked
            )
        )

    words = f"{3 * each} connections for {seconds} s, without pauses …"
    asked, results, outcome = await carried_out(console, words, payments, seed, ask)
    settings = {"connections": str(3 * each), "seconds": str(seconds), "seed": str(seed)}
    return run_of(settings, asked, results, outcome, thresholds.load().load)


def run_of(
    settings: dict[str, str],
    asked: Sequence[Mix],
    results: Sequence[Result],
    outcome: ConservationResult,
    bounds: Load,
) -> Run:
    """The report, with the verdict."""
    rates, spectra = [], []
    sent = wrong = 0
    for mix, result in zip(asked, results, strict=True):
        together = Latencies()
        for each in mix.latencies.values():
            together.merge(each)
        sent, wrong = sent + result.intended, wrong + mix.wrongs + result.unanswered
        rates.append((mix.service, (together.count - mix.wrongs) / result.seconds))
        spectra.append(Spectrum(name=mix.service, points=together.spectrum()))
    figures = [
        Figure(name="all services together", value=sum(rate for _, rate in rates), unit="a second"),
        *(Figure(name=f"{service} service", value=rate, unit="a second") for service, rate in rates),
        at_least("succeeded", 100 * (1 - wrong / sent) if sent else 0.0, "%", 100 * bounds.success_rate),
    ]
    failures = [*text.missed(figures), *outcome.failures]
    return Run(
        **machine.about("loadtest-peak", "Load test, as fast as it goes"),
        settings=settings,
        verdict=not failures,
        remarks=[*failures, *outcome.warnings],
        figures=figures,
        tables=[
            report.mix_rows("Latencies, closed loop without pauses, ms", asked),
            *([outcome.rows] if outcome.lines else []),
        ],
        spectra=spectra,
    )
