"""What the stress tests have found, and whether it is good enough."""

from collections.abc import Sequence

from rich.console import Console

from perf import tables
from perf.statistics import summarise
from perf.stress.scenarios import Outcome, Scenario
from perf.thresholds import Stress


def show(
    console: Console,
    scenarios: Sequence[Scenario],
    outcomes: Sequence[Outcome],
    peak_mb: float,
    conserved: bool,
    bounds: Stress,
) -> bool:
    """Print the table, the capacity numbers and the verdicts. True when all is kept."""
    columns = ("scenario", "load", "success", *tables.LATENCIES, "per s")
    table = tables.table("Stress, closed loop; latencies in ms", columns, left=("load",))
    for scenario, outcome in zip(scenarios, outcomes, strict=True):
        table.add_row(
            scenario.title,
            f"{scenario.users} × {scenario.operations}",
            f"{outcome.success_rate:.1%}",
            *tables.latencies(summarise(outcome.latencies_ms)),
            f"{outcome.per_second:,.0f}",
        )
    console.print(table)
    console.print("[bold]Capacity[/]")
    for scenario, outcome in zip(scenarios, outcomes, strict=True):
        console.print(f"  {scenario.title}: {outcome.per_second:,.0f} {scenario.what}")
    console.print(
        f"  Peak memory: {peak_mb:,.0f} MB, of the services' seven processes, their manager and this one"
    )
    lowest = min(outcome.success_rate for outcome in outcomes)
    verdicts = {
        f"more than {bounds.success_rate:.0%} succeeded in every scenario": lowest > bounds.success_rate,
        f"less than {bounds.peak_memory_mb:g} MB of memory": peak_mb < bounds.peak_memory_mb,
        "the ledger holds every lease and every event, each once": conserved,
    }
    for what, holds in verdicts.items():
        console.print(f"{tables.verdict(holds)}: {what}")
    return all(verdicts.values())
