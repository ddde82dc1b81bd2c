"""What a system under load did, as figures, tables and series of a report."""

from perf.load.driver import Phase
from perf.load.references import References
from perf.load.result import Result
from perf.stats.run import Figure, Rows, Series


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


def rates(creations: Phase) -> list[Figure]:
    """What is accepted, and what gets through to the end: two figures."""
    return [
        Figure(name="creations answered", value=creations.accepted_per_s, unit="a second"),
        Figure(name="creations through to the ledger", value=creations.drained_per_s, unit="a second"),
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
