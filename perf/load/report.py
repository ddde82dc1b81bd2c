"""The table at the end of a load run."""

from rich.console import Console
from rich.markup import escape

from perf import show as shown
from perf import tables
from perf.load import verdict
from perf.load.verdict import Run
from perf.report import run as reports
from perf.thresholds import Load

ANSWERS_SHOWN = 10


def show(console: Console, run: Run, bounds: Load) -> None:
    """Every endpoint, what was expected of it, and the verdict."""
    columns = ("endpoint", "requests", "failed", *tables.LATENCIES, "expected avg", "per s")
    table = tables.table("Load, closed loop; latencies in ms", columns)
    for each in run.endpoints:
        expected = bounds.response_ms.get(each.name)
        latencies = (each.min_ms, each.mean_ms, each.p95_ms, each.p99_ms)
        table.add_row(
            escape(each.name),
            f"{each.requests:,}",
            f"[red]{each.failures:,}[/]" if each.failures else "0",
            *map(tables.milliseconds, latencies),
            "–" if expected is None else f"{expected.low:g}–{expected.high:g}",
            f"{each.per_second:,.1f}",
        )
    console.print(table)
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
        console.print(f"{tables.verdict(True)}: at least {bounds.success_rate:.0%} succeeded")


def run_of(run: Run, bounds: Load) -> reports.Run:
    """The same, as a report."""
    failures = verdict.failures(run, bounds)
    asked = [each for each in run.endpoints if not each.set_up]
    return reports.Run(
        **shown.about("loadtest", "Load test, simulated users"),
        settings={name: f"{count} users" for name, count in run.users.items() if count},
        verdict=not failures,
        remarks=[*failures, *verdict.warnings(run, bounds)],
        figures=[
            reports.Figure(name="requests", value=run.per_second, unit="a second"),
            reports.Figure(
                name="as expected",
                value=100 * run.success_rate,
                unit="%",
                threshold=100 * bounds.success_rate,
                at_least=True,
            ),
        ],
        tables=[
            reports.Rows(
                title="Latencies, closed loop, ms",
                columns=["endpoint", "requests", *tables.LATENCIES, "a second"],
                rows=[
                    [
                        each.name,
                        f"{each.requests:,}",
                        *map(tables.milliseconds, (each.min_ms, each.mean_ms, each.p95_ms, each.p99_ms)),
                        f"{each.per_second:,.1f}",
                    ]
                    for each in asked
                ],
            )
        ],
    )
