"""Measurements in words and tables: the same ones in the terminal and in the report."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from perf.load.driver import Phase
from perf.load.open_loop import Result
from perf.probes import machine
from perf.reporting import tables
from perf.reporting.page import bound, number
from perf.reporting.run import Figure, Rows, Run, Series
from perf.system import trace_join
from perf.system.trace_join import Hop, Way
from perf.targets.processes import References
from perf.thresholds import E2eLatency

LATENCIES = ["mean ms", "p50", "p95", "p99"]
EVENTS = {"creation": 1, "attempt": 2}  # that the ledger gets of each: an attempt is started, then succeeds


def about(kind: str, title: str) -> dict[str, Any]:
    """What every run says of itself."""
    found = machine.this()
    return {
        "kind": kind,
        "title": title,
        "at": datetime.now(UTC),
        "commit": machine.commit(),
        "machine": str(found),
    }


def hop_rows(phase: Phase, way: Way) -> Rows:
    """The hops of a request's way with their shares, and what goes on behind its answer."""
    latencies = phase.result.latencies
    whole = (latencies.mean_ms, *map(latencies.percentile_ms, (50, 95, 99)))
    sides = [hop for side in trace_join.SIDE for hop in trace_join.along(phase.traces.values(), [side])]
    return Rows(
        title=f"{phase.name}, hop by hop ({phase.rate:,.0f}/s, open model)",
        columns=["hop", *LATENCIES, "share"],
        rows=[
            *(_hop(hop, f"{hop.share:.0%}") for hop in trace_join.along(phase.traces.values(), way)),
            ["= intended start to answer", *(f"{ms:.2f}" for ms in whole), "100%"],
            *(
                _hop(hop, f"{hop.share:.0%} behind")
                for hop in trace_join.along(phase.traces.values(), trace_join.TO_LEDGER)
            ),
            *(_hop(hop, "beside") for hop in sides),
        ],
    )


def _hop(hop: Hop, share: str) -> list[str]:
    values = (hop.latencies.mean_ms, *map(hop.latencies.percentile_ms, (50, 95, 99)))
    return [hop.name, *(f"{value:.2f}" for value in values), share]


def reference_rows(per_second: float, references: References, at_rate: Result | None = None) -> Rows:
    """Creations beside a bare server and the same inserts without a broker, all of the same run.

    `per_second` is of a closed loop, `at_rate` of the open model, as in `references`.
    """
    rows = [
        [name, f"{its:,.0f}", f"{per_second / its:.3g}", *_percentiles(opened)]
        for name, its, opened in (
            ("this system, creation", per_second, at_rate),
            ("the same inserts, no broker", references.direct_per_s, references.direct_at_rate),
            ("bare aiohttp", references.bare_per_s, None),
        )
    ]
    return Rows(
        title="References of the same run",
        columns=["server", "a second, 50 closed", "this system's ratio", "p50 at the open rate", "p99"],
        rows=rows,
    )


def ratios(per_second: float, references: References) -> list[Figure]:
    """What stays when a machine has a slow day: a closed loop's creations beside the references."""
    return [
        Figure(name="of what a bare server does", value=per_second / references.bare_per_s, unit="×"),
        Figure(
            name="of the same inserts without a broker", value=per_second / references.direct_per_s, unit="×"
        ),
    ]


def _percentiles(result: Result | None) -> list[str]:
    if result is None:
        return ["", ""]
    if result.void is not None:
        return ["void", "void"]
    return [f"{result.latencies.percentile_ms(percent):.1f} ms" for percent in (50, 99)]


def _counts(phase: Phase) -> dict[str, int]:
    passed = trace_join.passed(phase.traces)
    events = EVENTS[phase.name]
    return {
        "sent": phase.result.intended - phase.result.dropped,
        "answered 201": phase.result.statuses[201],
        "confirmed": passed["broker.confirmed"],
        "committed": passed[_last(phase)],
        "in the ledger": trace_join.passed(phase.traces, events)["ledger.visible"],
        "committed twice": trace_join.passed(phase.traces, 2)[_last(phase)],
        "in the ledger twice": trace_join.passed(phase.traces, events + 1)["ledger.visible"],
        "dropped": phase.result.dropped,
        "unanswered": phase.result.unanswered,
    }


def _last(phase: Phase) -> str:
    return "worker.settled" if phase.name == "attempt" else "worker.committed"


def books(*phases: Phase) -> Rows:
    """How many requests were seen where."""
    counts = {phase.name: _counts(phase) for phase in phases}
    names = next(iter(counts.values()))
    return Rows(
        title="Conservation",
        columns=["requests", *(f"{name}s" for name in counts)],
        rows=[[name, *(f"{each[name]:,}" for each in counts.values())] for name in names],
    )


def not_conserved(phase: Phase) -> list[str]:
    """Why a run fails; empty where each request was sent, confirmed, committed and recorded, once."""
    counts = _counts(phase)
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    numbers = list(counts.values())
    found = []
    if len(set(numbers[:5])) > 1 or any(numbers[5:]):
        found.append(f"Not every {phase.name} is accounted for, once: {said}.")
    if phase.result.void is not None:
        found.append(f"The {phase.name}s are void: {phase.result.void}.")
    return found


def figures(creations: Phase, attempts: Phase, bounds: E2eLatency) -> list[Figure]:
    """The few numbers to read first."""
    [visible] = trace_join.along(creations.traces.values(), [("", "worker.committed", "ledger.visible")])
    return [
        Figure(name="creation, p50", value=creations.result.latencies.percentile_ms(50), unit="ms"),
        Figure(
            name="creation, p99",
            value=creations.result.latencies.percentile_ms(99),
            unit="ms",
            threshold=bounds.creation_p99_ms,
        ),
        Figure(
            name="attempt, p99",
            value=attempts.result.latencies.percentile_ms(99),
            unit="ms",
            threshold=bounds.attempt_p99_ms,
        ),
        Figure(
            name="commit to ledger, p99",
            value=visible.latencies.percentile_ms(99),
            unit="ms",
            threshold=bounds.ledger_p99_ms,
        ),
        *rates(creations),
        Figure(name="the generator's lag, p99", value=creations.result.lag.percentile_ms(99), unit="ms"),
    ]


def rates(creations: Phase) -> list[Figure]:
    """What is accepted, and what gets through to the end: two figures."""
    return [
        Figure(name="creations answered", value=creations.accepted_per_s, unit="a second"),
        Figure(name="creations through to the ledger", value=creations.drained_per_s, unit="a second"),
    ]


def missed(figures: Sequence[Figure]) -> list[str]:
    """The thresholds that are not kept, in words."""
    return [
        f"{each.name}: {number(each.value)} {each.unit}, {bound(each)} were asked."
        for each in figures
        if each.kept is False
    ]


def throughput(result: Result, name: str = "") -> list[Series]:
    """Answers a second, and latency, over the run; `name` tells one of several results from the others."""
    prefix = f"{name}, " if name else ""
    middles = [(number + 0.5) * result.window_s for number in range(len(result.windows))]
    pairs = list(zip(middles, result.windows, strict=True))
    answered = [(at, window) for at, window in pairs if window.count]
    return [
        Series(
            group="Throughput",
            name=f"{prefix}answers",
            unit="per second",
            points=[(at, window.count / result.window_s) for at, window in pairs],
        ),
        *(
            Series(
                group="Latency over time",
                name=f"{prefix}p{percent}",
                unit="ms",
                points=[(at, window.percentile_ms(percent)) for at, window in answered],
            )
            for percent in (50, 99)
        ),
    ]


def told(console: Console, run: Run, path: Path) -> None:
    """A run in the terminal."""
    for rows in run.tables:
        console.print(_table(rows))
    if run.figures:
        console.print(_figures(run.figures))
    for remark in run.remarks:
        console.print(f"[red]✗[/] {remark}")
    verdict = "[green]passed[/]" if run.verdict else "[red]failed[/]"
    console.print(f"{run.title}: {verdict}. The report: {path}")


def _table(rows: Rows) -> Table:
    table = tables.table(rows.title, rows.columns)
    for row in rows.rows:
        table.add_row(*row, style="bold" if row[0].startswith("=") else None)
    return table


def _figures(figures: Sequence[Figure]) -> Table:
    table = tables.table("Figures", ("figure", "measured", "asked", ""))
    for figure in figures:
        verdict = "" if figure.kept is None else tables.verdict(figure.kept)
        table.add_row(figure.name, f"{number(figure.value)} {figure.unit}", bound(figure), verdict)
    return table
