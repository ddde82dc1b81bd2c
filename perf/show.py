"""What a measurement is told as in the terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from perf import hops, loadgen, servers
from perf.hops import Hop, Trace, Way
from perf.openloop import Result


def hop_table(
    console: Console, name: str, rate: float, result: Result, traces: Mapping[str, Trace], way: Way
) -> None:
    """The hops of a request's way with their shares, and what goes on behind its answer."""
    table = Table(title=f"{name}: {rate:,.0f}/s, open model, {result.intended:,} requests")
    for column in ("hop", "mean ms", "p50", "p95", "p99", "share"):
        table.add_column(column, justify="left" if column == "hop" else "right")
    for hop in hops.along(traces.values(), way):
        _row(table, hop)
    latencies = result.latencies
    table.add_row(
        "[bold]intended start to answer[/]",
        *(f"{value:.2f}" for value in (latencies.mean_ms, *map(latencies.percentile_ms, (50, 95, 99)))),
        "",
        end_section=True,
    )
    for hop in hops.along(traces.values(), hops.TO_LEDGER):
        _row(table, hop)
    table.add_section()
    for hop in (each for side in hops.SIDE for each in hops.along(traces.values(), [side])):
        _row(table, hop, side=True)
    console.print(table)


def _row(table: Table, hop: Hop, *, side: bool = False) -> None:
    values = (hop.latencies.mean_ms, *map(hop.latencies.percentile_ms, (50, 95, 99)))
    share = "beside" if side else f"{hop.share:.0%}"
    table.add_row(hop.name, *(f"{value:.2f}" for value in values), share)


def references(
    console: Console, guess: loadgen.Result, creations: Result, bare: float, direct: servers.Direct
) -> None:
    """The system beside a bare server and beside the same inserts without a broker, all of the same run."""
    table = Table(title="References of the same run")
    for column in ("server", "closed loop, 50 connections", "p50 at the rate above", "p99"):
        table.add_column(column, justify="left" if column == "server" else "right")
    for name, per_second, at_rate in (
        ("this system, creation", guess.per_second, creations),
        ("the same inserts, no broker", direct.per_second, direct.at_rate),
    ):
        percentiles = (f"{at_rate.latencies.percentile_ms(percent):.1f} ms" for percent in (50, 99))
        table.add_row(name, f"{per_second:,.0f}/s", *percentiles)
    table.add_row("bare aiohttp", f"{bare:,.0f}/s", "", "")
    console.print(table)
    console.print(
        f"This system does {guess.per_second / direct.per_second:.2f} times what the direct handler does, and"
        f" {guess.per_second / bare:.3f} times what a bare server answers."
    )


def conservation(console: Console, name: str, result: Result, traces: Mapping[str, Trace]) -> bool:
    """Whether each request that was sent was confirmed, committed and is in the ledger, exactly once."""
    passed = hops.passed(traces)
    last = "worker.settled" if name == "attempt" else "worker.committed"
    counts = {
        "sent": result.intended - result.dropped,
        "answered 201": result.statuses[201],
        "confirmed": passed["broker.confirmed"],
        "committed": passed[last],
        "in the ledger": passed["ledger.visible"],
    }
    twice = hops.repeated(traces, last)
    kept = len(set(counts.values())) == 1 and not twice and not result.unanswered
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    console.print(
        f"{name}: {said}, {twice} twice, {result.dropped} dropped, {result.unanswered} unanswered; the"
        f" generator's lag had a p99 of {result.lag.percentile_ms(99):.1f} ms: "
        f"{'[green]conserved[/]' if kept else '[red]not conserved[/]'}"
    )
    if result.void is not None:
        console.print(f"[red]The run is void[/]: {result.void}.")
    return kept and result.void is None
