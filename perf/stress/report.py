"""What the stress tests have found, and whether it is good enough."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console

from perf.load.references import References
from perf.probes import machine
from perf.reporting import text
from perf.stats.run import Figure, Rows, Run, Series, Spectrum, at_least, at_most
from perf.stress.scenarios import Outcome, Scenario
from perf.thresholds import Stress

BESIDE = ("× bare", "× direct")  # operations a second over those of the references of the same run


@dataclass(frozen=True)
class Found:
    """All of a run."""

    scenarios: Sequence[Scenario]
    outcomes: Sequence[Outcome]  # of each
    peak_mb: float
    conserved: bool
    references: References
    series: list[Series] = field(default_factory=list)

    @property
    def lowest_rate(self) -> float:
        """Of 1; of the scenario that had the least success."""
        return min(each.success_rate for each in self.outcomes)

    @property
    def pairs(self) -> list[tuple[Scenario, Outcome]]:
        """Each scenario and what it has come to."""
        return list(zip(self.scenarios, self.outcomes, strict=True))


def show(console: Console, found: Found, bounds: Stress) -> bool:
    """Print the table, the capacity numbers and the verdicts. True when all is kept."""
    columns = ("scenario", "load", "success", *text.LATENCIES, "per s", *BESIDE)
    table = text.table("Stress, closed loop; latencies in ms", columns, left=("load",))
    for scenario, outcome in found.pairs:
        table.add_row(
            scenario.title,
            f"{scenario.users} × {scenario.operations}",
            f"{outcome.success_rate:.1%}",
            *_cells(outcome, found.references),
        )
    console.print(table)
    beside = found.references
    console.print(
        f"In the same run a bare aiohttp server answers {beside.bare_per_s:,.0f} a second, and a handler that"
        f" writes a creation's rows itself {beside.direct_per_s:,.0f}."
    )
    console.print("[bold]Capacity[/]")
    for scenario, outcome in found.pairs:
        console.print(f"  {scenario.title}: {outcome.per_second:,.0f} {scenario.what}")
    console.print(
        f"  Peak memory: {found.peak_mb:,.0f} MB, of the seven services' processes, their manager and this"
    )
    verdicts = {
        f"more than {bounds.success_rate:.0%} succeeded in every scenario": found.lowest_rate
        > bounds.success_rate,
        f"less than {bounds.peak_memory_mb:g} MB of memory": found.peak_mb < bounds.peak_memory_mb,
        "the ledger holds every lease and every event, each once": found.conserved,
    }
    for what, holds in verdicts.items():
        console.print(f"{text.verdict(holds)}: {what}")
    return all(verdicts.values())


def _cells(outcome: Outcome, beside: References) -> list[str]:
    ratios = (outcome.per_second / each for each in (beside.bare_per_s, beside.direct_per_s))
    return [
        *text.latencies(outcome.latencies),
        f"{outcome.per_second:,.0f}",
        *(f"{ratio:.2g}" for ratio in ratios),
    ]


def run_of(found: Found, bounds: Stress, kept: bool) -> Run:
    """The same, as a report."""
    return Run(
        **machine.about("stress", "Stress tests"),
        settings={each.title: f"{each.users} × {each.operations}" for each in found.scenarios},
        verdict=kept,
        remarks=[] if found.conserved else ["The ledger does not hold every lease and every event, once."],
        figures=[
            *(Figure(name=each.title, value=its.per_second, unit=each.what) for each, its in found.pairs),
            at_least("succeeded, the least", 100 * found.lowest_rate, "%", 100 * bounds.success_rate),
            at_most("peak memory", found.peak_mb, "MB", bounds.peak_memory_mb),
            Figure(name="bare aiohttp", value=found.references.bare_per_s, unit="a second"),
            Figure(
                name="a creation's inserts, no broker", value=found.references.direct_per_s, unit="a second"
            ),
        ],
        tables=[
            Rows(
                title="Latencies, closed loop, ms",
                columns=["scenario", "load", *text.LATENCIES, "a second", *BESIDE],
                rows=[
                    [
                        each.title,
                        f"{each.users} × {each.operations}",
                        *_cells(its, found.references),
                    ]
                    for each, its in found.pairs
                ],
            )
        ],
        spectra=[Spectrum(name=each.title, points=its.latencies.spectrum()) for each, its in found.pairs],
        series=found.series,
    )
