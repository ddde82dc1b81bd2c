"""A load run in the terminal and as a page."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape

from perf.loadtest import verdict
from perf.loadtest.request_mix import Mix
from perf.loadtest.verdict import Endpoint, LoadRun
from perf.probes import machine
from perf.reporting import text
from perf.stats import run as reports
from perf.stats.latencies import Latencies
from perf.thresholds import Load

ANSWERS_SHOWN = 10
BARE = "bare aiohttp"
BARE_COLUMN = "× bare"


class Asked(NamedTuple):
    """A kind of request."""

    service: str
    name: str  # "POST /api/v1/leases", as in the thresholds


def show(console: Console, run: LoadRun, bounds: Load) -> None:
    """Every endpoint, what was expected of it, and the verdict."""
    columns = ("endpoint", "requests", "failed", *text.LATENCIES, BARE_COLUMN, "expected", "per s")
    table = text.table("Load, closed loop; latencies in ms", columns)
    for each in run.endpoints:
        expected = bounds.response_ms.get(each.name)
        table.add_row(
            escape(each.name),
            f"{each.requests:,}",
            f"[red]{each.failures:,}[/]" if each.failures else "0",
            *_latencies(each, run),
            "–" if expected is None else f"{expected.low:g}–{expected.high:g}",
            f"{each.per_second:,.1f}",
        )
    console.print(table)
    if run.conservation.lines:
        console.print(text.rows_of(run.conservation.rows))
    users = ", ".join(f"{count} {name}" for name, count in run.users.items() if count)
    console.print(
        f"{run.requests:,} requests, {run.success_rate:.2%} as expected,"
        f" {run.per_second:,.1f} a second; {users}."
    )
    for words, count in sorted(run.answers.items(), key=lambda item: -item[1])[:ANSWERS_SHOWN]:
        console.print(f"[red]{count:,}[/] × {escape(words)}")
    for words in verdict.warnings(run, bounds):
        console.print(f"[yellow]warning[/]: {words}")
    failures = verdict.failures(run, bounds)
    for words in failures:
        console.print(f"[bold red]failed[/]: {words}")
    if not failures:
        recorded = "; all of it is in the ledger, once" if run.conservation.lines else ""
        console.print(f"{text.verdict(True)}: at least {bounds.success_rate:.0%} succeeded{recorded}")


def run_of(
    run: LoadRun,
    bounds: Load,
    settings: Mapping[str, str],
    spectra: Sequence[reports.Spectrum],
    series: Sequence[reports.Series],
) -> reports.Run:
    """The same, as a report."""
    failures = verdict.failures(run, bounds)
    asked = [each for each in run.endpoints if not each.set_up]
    bare = [reports.Figure(name=f"{BARE}, mean", value=run.bare_ms, unit="ms")] if run.bare_ms else []
    return reports.Run(
        **machine.about("loadtest", "Load test, simulated users"),
        settings=dict(settings),
        verdict=not failures,
        remarks=[*failures, *verdict.warnings(run, bounds)],
        figures=[
            reports.Figure(name="requests", value=run.per_second, unit="a second"),
            reports.at_least("as expected", 100 * run.success_rate, "%", 100 * bounds.success_rate),
            *bare,
        ],
        tables=[
            reports.Rows(
                title="Latencies, closed loop, ms",
                columns=["endpoint", "requests", "failed", *text.LATENCIES, BARE_COLUMN, "a second"],
                rows=[
                    [
                        each.name,
                        f"{each.requests:,}",
                        f"{each.failures:,}",
                        *_latencies(each, run),
                        f"{each.per_second:,.1f}",
                    ]
                    for each in asked
                ],
            ),
            *([run.conservation.rows] if run.conservation.lines else []),
        ],
        spectra=list(spectra),
        series=list(series),
    )


def _latencies(each: Endpoint, run: LoadRun) -> list[str]:
    values = (each.min_ms, each.mean_ms, each.p95_ms, each.p99_ms)
    return [*map(text.milliseconds, values), times_bare(each.mean_ms, run.bare_ms)]


def mix_rows(title: str, asked: Sequence[Mix], bare: Latencies | None = None) -> reports.Rows:
    """Every kind of request of the mixes, beside the bare answers where there were any."""
    return reports.Rows(
        title=title,
        columns=["endpoint", "requests", "wrong", *text.LATENCIES, *([BARE_COLUMN] if bare else [])],
        rows=[
            [
                name,
                f"{each.count:,}",
                f"{mix.wrong[name]:,}",
                *text.latencies(each),
                *([times_bare(each.mean_ms, bare.mean_ms)] if bare else []),
            ]
            for mix in asked
            for name, each in mix.latencies.items()
        ],
    )


def times_bare(mean_ms: float, bare_ms: float) -> str:
    """How many bare answers one takes; a dash where one of the two was not measured."""
    return f"{mean_ms / bare_ms:,.1f}" if mean_ms and bare_ms else "–"


def spectra(found: Mapping[Asked, Latencies], bare: Latencies) -> list[reports.Spectrum]:
    """Every command that goes well by itself, and what is read of a service together.

    A plot has room for so many lines; the table has them all.
    """
    lines: dict[str, Latencies] = {}
    for asked, latencies in sorted(found.items()):
        method, path = asked.name.split(" ", 1)
        if path.startswith("/health") or path.endswith("]"):
            continue
        command = method == "POST" and asked.service != "ledger"
        line = lines.setdefault(asked.name if command else f"{asked.service} service, reads", Latencies())
        line.merge(latencies)
    if lines:
        lines[BARE] = bare
    return [
        reports.Spectrum(name=name, points=latencies.spectrum())
        for name, latencies in lines.items()
        if latencies.count > 1  # one alone has no percentiles but the highest
    ]
