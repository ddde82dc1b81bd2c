"""`make loadtest RATE=max`: the same mix of requests as fast as it goes, at all three services at once.

A closed loop without pauses: each connection asks again when it has its answer. That finds the most that the
services do together, the highest rate of all; latencies are those of a full system, and flattered at that.
"""

import asyncio
import math
import time
from collections.abc import Sequence

from perf import thresholds
from perf.checks.load_conservation import Check, Outcome
from perf.checks.request_counts import Books
from perf.load import http_generator
from perf.load.open_loop import Request
from perf.load.request_mix import Mix, make_stock, mixes
from perf.reporting import load_report, show, tables
from perf.reporting.run import Figure, Rows, Run, Spectrum
from perf.stats.latencies import Latencies
from perf.targets.addresses import addresses
from perf.thresholds import Load

PAYMENTS_PER_S = 500  # leases are made for so many requests to the payment service; it is asked no more

console = tables.terminal()


async def measure(users: int, seconds: int, seed: int) -> Run:
    """All of it; each service gets a third of the users, one at least."""
    check, books = Check(addresses()["ledger"]), Books()
    each, payments = math.ceil(users / 3), PAYMENTS_PER_S * seconds
    with console.status("making leases to ask about …") as status:
        await asyncio.to_thread(check.begin)
        asked = mixes(await make_stock(payments, books), seed, books)
        status.update(f"{3 * each} connections for {seconds} s, without pauses …")
        results = await asyncio.gather(
            *(
                asyncio.gather(*(_ask(mix, number, seconds, payments / each) for number in range(each)))
                for mix in asked
            )
        )
        status.update("waiting until the ledger has it all …")
        outcome = await asyncio.to_thread(check.end, books)
    settings = {"connections": str(3 * each), "seconds": str(seconds), "seed": str(seed)}
    return run_of(settings, asked, results, outcome, thresholds.load().load)


async def _ask(mix: Mix, number: int, seconds: int, most: float) -> http_generator.Result:
    sent = 0

    def make() -> bytes:
        nonlocal sent
        sent = time.monotonic_ns()
        return mix.make(number)

    def answered(status: int, body: bytes) -> None:
        mix.answered(Request(number, sent, sent, time.monotonic_ns(), status), body)

    url = addresses()[mix.service]
    limit = most if mix.service == "payment" else math.inf
    return await http_generator.run(
        url, make, seconds=seconds, connections=1, on_body=answered, requests=limit
    )


def run_of(
    settings: dict[str, str],
    asked: Sequence[Mix],
    results: Sequence[Sequence[http_generator.Result]],
    outcome: Outcome,
    bounds: Load,
) -> Run:
    """The report, with the verdict; `results` of each connection, by service."""
    rates, spectra = [], []
    sent = wrong = 0
    for mix, connections in zip(asked, results, strict=True):
        together = Latencies()
        for each in mix.latencies.values():
            together.merge(each)
        broken = sum(each.broken for each in connections)
        right = together.count - mix.wrongs
        sent, wrong = sent + together.count + broken, wrong + mix.wrongs + broken
        rates.append((mix.service, right / max(each.seconds for each in connections)))
        spectra.append(Spectrum(name=mix.service, points=together.spectrum()))
    figures = [
        Figure(name="all services together", value=sum(rate for _, rate in rates), unit="a second"),
        *(Figure(name=f"{service} service", value=rate, unit="a second") for service, rate in rates),
        Figure(
            name="succeeded",
            value=100 * (1 - wrong / sent) if sent else 0.0,
            unit="%",
            threshold=100 * bounds.success_rate,
            at_least=True,
        ),
    ]
    failures = [*show.missed(figures), *outcome.failures]
    return Run(
        **show.about("loadtest-peak", "Load test, as fast as it goes"),
        settings=settings,
        verdict=not failures,
        remarks=[*failures, *outcome.warnings],
        figures=figures,
        tables=[
            Rows(
                title="Latencies, closed loop without pauses, ms",
                columns=["endpoint", "requests", "wrong", *tables.LATENCIES],
                rows=[
                    [name, f"{found.count:,}", f"{mix.wrong[name]:,}", *load_report.cells(found)]
                    for mix in asked
                    for name, found in mix.latencies.items()
                ],
            ),
            *([outcome.rows] if outcome.lines else []),
        ],
        spectra=spectra,
    )
