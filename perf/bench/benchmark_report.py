"""pytest's hooks around the benchmarks: options, the table at the end, the stored figures."""

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from rich.table import Table

from perf import thresholds
from perf.bench import baseline
from perf.bench.baseline import Kept, Measured
from perf.probes import machine
from perf.reporting import page, text
from perf.stats import run as reports
from perf.stats.run import Rows, Spectrum, at_most


class Session:
    """What one run of pytest has measured so far."""

    def __init__(self) -> None:
        self.machine = machine.this()
        self.kept: Mapping[str, Kept] = baseline.read(self.machine)
        self.results: list[Measured] = []
        self.problems: list[str] = []  # thresholds missed, and regressions
        self.profiles: dict[str, str] = {}  # by operation


_SESSION = pytest.StashKey[Session]()


def run_of(config: pytest.Config) -> Session:
    """The one run of this pytest."""
    return config.stash[_SESSION]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--baseline` and `--profile`."""
    group = parser.getgroup("benchmarks of the leases")
    group.addoption(
        "--baseline",
        choices=["compare", "add", "replace"],
        default="compare",
        help="compare with the stored figures of this machine (default); also store those of operations that"
        " have none; or store all and compare with nothing",
    )
    group.addoption(
        "--profile",
        action="store_true",
        help="show where the time goes; nothing is held to a threshold",
    )


def pytest_configure(config: pytest.Config) -> None:
    """One table is enough: pytest-benchmark's own is off."""
    config.option.benchmark_quiet = True
    run = config.stash[_SESSION] = Session()
    if config.getoption("baseline", default="compare") == "replace":
        run.kept = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table; and the figures are stored where that was asked for and nothing failed."""
    run = run_of(config)
    for name, profile in run.profiles.items():
        terminalreporter.section(name)
        terminalreporter.write(profile)
    if not run.results:
        return
    width = max(shutil.get_terminal_size().columns, text.WIDTH)
    colours = bool(terminalreporter.hasmarkup)
    lines = text.rendered(table(run), *_remarks(run), width=width, colours=colours)
    terminalreporter.ensure_newline()
    terminalreporter.write_line("")
    for line in lines.splitlines():
        terminalreporter.write_line(line)
    path = page.write(report(run))
    terminalreporter.write_line(f"Report: {path}")
    new = [each for each in run.results if each.name not in run.kept]
    if config.getoption("baseline") == "compare" or not new:
        return
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line("Not stored: something failed.")
        return
    path = baseline.write(run.machine, machine.commit(), datetime.now(UTC).date(), new)
    terminalreporter.write_line(f"Stored in {path.relative_to(baseline.FOLDER.parents[1])}; commit it.")


def table(run: Session) -> Table:
    """Each operation against its threshold and, where there is one, the stored figure."""
    bounds = thresholds.load().bench
    columns = ("operation", *text.LATENCIES, "at most avg", "", "median", "× bare", "stored", "change")
    made = text.table("Milliseconds", columns, left=("",))
    for each in run.results:
        limit = bounds.mean_ms[each.name]
        kept = run.kept.get(each.name)
        change = "–" if kept is None else f"{each.median_ms / kept.median_ms - 1:+.0%}"
        if kept is not None and baseline.slower(each, kept) > bounds.regression:
            change = f"[bold red]{change}[/]"
        made.add_row(
            each.name,
            *text.latencies(each.latencies),
            f"{limit:g}",
            text.verdict(each.latencies.mean_ms <= limit),
            text.milliseconds(each.median_ms),
            f"{each.times_bare:.2g}",
            "–" if kept is None else text.milliseconds(kept.median_ms),
            change,
        )
    return made


def report(run: Session) -> reports.Run:
    """The same, as a page."""
    bounds = thresholds.load().bench
    return reports.Run(
        **machine.about("bench", "Benchmarks of single operations"),
        settings={each.name: f"{each.what}; {each.latencies.count} rounds" for each in run.results},
        verdict=not run.problems,
        remarks=run.problems,
        figures=[
            at_most(f"{each.name}, mean", each.latencies.mean_ms, "ms", bounds.mean_ms[each.name])
            for each in run.results
        ],
        tables=[
            Rows(
                title="Milliseconds",
                columns=["operation", *text.LATENCIES, "median", "× bare", "stored median"],
                rows=[
                    [
                        each.name,
                        *text.latencies(each.latencies),
                        text.milliseconds(each.median_ms),
                        f"{each.times_bare:.2g}",
                        text.milliseconds(run.kept[each.name].median_ms) if each.name in run.kept else "–",
                    ]
                    for each in run.results
                ],
            )
        ],
        spectra=[Spectrum(name=each.name, points=each.latencies.spectrum()) for each in run.results],
    )


def _remarks(run: Session) -> list[str]:
    remarks = [f"[bold]{each.name}[/] {each.what}; {each.latencies.count} rounds" for each in run.results]
    remarks.append(f"Machine: {run.machine}.")
    if not run.kept:
        remarks.append("Compared with no stored figures; `make bench` stores the first of a machine.")
    return remarks
