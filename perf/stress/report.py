"""What the stress tests have found, and whether it is good enough."""

from collections.abc import Sequence

from rich.console import Console

from perf import show as shown
from perf import tables
from perf.latencies import Latencies
from perf.report.run import Figure, Rows, Run, Spectrum
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


def run_of(
    scenarios: Sequence[Scenario],
    outcomes: Sequence[Outcome],
    peak_mb: float,
    conserved: bool,
    bounds: Stress,
    kept: bool,
) -> Run:
    """The same, as a report."""
    pairs = list(zip(scenarios, outcomes, strict=True))
    return Run(
        **shown.about("stress", "Stress tests"),
        settings={each.title: f"{each.users} × {each.operations}" for each in scenarios},
        verdict=kept,
        remarks=[] if conserved else ["The ledger does not hold every lease and every event, once."],
        figures=[
            *(Figure(name=each.title, value=found.per_second, unit=each.what) for each, found in pairs),
            Figure(
                name="succeeded, the least",
                value=100 * min(found.success_rate for found in outcomes),
                unit="%",
                threshold=100 * bounds.success_rate,
                at_least=True,
            ),
            Figure(name="peak memory", value=peak_mb, unit="MB", threshold=bounds.peak_memory_mb),
        ],
        tables=[
            Rows(
                title="Latencies, closed loop, ms",
                columns=["scenario", "load", *tables.LATENCIES, "a second"],
                rows=[
                    [
                        each.title,
                        f"{each.users} × {each.operations}",
                        *tables.latencies(summarise(found.latencies_ms)),
                        f"{found.per_second:,.0f}",
                    ]
                    for each, found in pairs
                ],
            )
        ],
        spectra=[
            Spectrum(name=each.title, points=Latencies(ms / 1000 for ms in found.latencies_ms).spectrum())
            for each, found in pairs
        ],
    )
