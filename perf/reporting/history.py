"""Performance through the years: one line of JSON for each measured commit, in perf/history.jsonl.

Everything is measured one after the other, and a line comes only of measurements that all passed, of one
commit with nothing changed since. Figures of different machines are not to be compared, so each line says
which it was.
"""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console

from perf.probes import machine
from perf.reporting import text
from perf.reporting.page import DIRECTORY
from perf.stats.run import Run

FILE = Path(__file__).parents[1] / "history.jsonl"
# Each kind of report and how it is made. The load tests run against the system that `make up` has started;
# the way of a request is followed at half of the rate that was sustained before.
MEASUREMENTS = {
    "capacity": "-m perf.system.capacity",
    "e2e-latency": "-m perf.system.hop_latency --rate {half}",
    "stress": "-m tests.performance.stress_tests",
    "loadtest-peak": "-m perf.loadtest --rate max --users 50 --run-time 10s",
    "loadtest": "-m perf.loadtest --users 50 --spawn-rate 10 --run-time 60s",
    "bench": "-m perf.bench",  # last: on a new machine it stores figures, and the checkout is another one
}
HALF_OF = ("capacity", "sustained, three times")


class NothingToAdd(Exception):
    """Why there is no line, in words."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What one commit was measured to do."""

    date: str  # YYYY-MM-DD
    commit: str
    machine: str
    figures: dict[str, dict[str, float]]  # by kind of report: name and unit → value
    tables: dict[str, list[dict[str, str]]]  # by kind of report and title: rows by column


def newest(kind: str, since: datetime, directory: Path) -> Run | None:
    """The newest report of a kind that is not older than `since`; None where there is none."""
    paths = sorted(directory.glob(f"{kind}-[0-9]*-[0-9]*.json"))
    run = msgspec.json.decode(paths[-1].read_bytes(), type=Run) if paths else None
    return run if run is not None and run.at >= since else None


def measure(console: Console) -> dict[str, Run]:
    """All of MEASUREMENTS, one after the other, by kind. Raises NothingToAdd at the first that fails."""
    runs: dict[str, Run] = {}
    for kind, command in MEASUREMENTS.items():
        console.rule(kind)
        began = datetime.now(UTC)
        words = shlex.split(command.format(half=half(runs)))
        done = subprocess.run([sys.executable, *words], check=False)
        if done.returncode:
            raise NothingToAdd(f"{kind} ended with exit code {done.returncode}")
        found = newest(kind, began, DIRECTORY)
        if found is None:
            raise NothingToAdd(f"{kind} has left no report")
        runs[kind] = found
    return runs


def half(runs: Mapping[str, Run]) -> str:
    """Half of the rate that was sustained, for a command line."""
    kind, name = HALF_OF
    figures = {each.name: each.value for each in runs[kind].figures} if kind in runs else {}
    return f"{figures.get(name, 0.0) / 2:.0f}"


def line_of(runs: Mapping[str, Run]) -> Line:
    """The line of these reports.

    Raises NothingToAdd where they are not of one commit and one machine, or of no commit, or one has failed.
    """
    if len({(run.commit, run.machine) for run in runs.values()}) != 1:
        said = ", ".join(f"{kind} of {run.commit}" for kind, run in runs.items())
        raise NothingToAdd(f"the reports are not of one commit and one machine: {said}")
    if failed := [kind for kind, run in runs.items() if not run.verdict]:
        raise NothingToAdd(f"failed: {', '.join(failed)}")
    last = max(runs.values(), key=lambda run: run.at)
    if not re.fullmatch(r"[0-9a-f]+", last.commit):
        raise NothingToAdd(f"{last.commit} is no commit: commit what was changed, and measure that")
    return Line(
        date=f"{last.at:%Y-%m-%d}",
        commit=last.commit,
        machine=last.machine,
        figures={
            kind: {f"{each.name}, {each.unit}": round(each.value, 3) for each in run.figures}
            for kind, run in runs.items()
        },
        tables={
            f"{kind}: {rows.title}": [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]
            for kind, run in runs.items()
            for rows in run.tables
        },
    )


def read(path: Path = FILE) -> list[Line]:
    """All lines, oldest first."""
    if not path.exists():
        return []
    return [msgspec.json.decode(line, type=Line) for line in path.read_bytes().splitlines() if line]


def add(line: Line, path: Path = FILE) -> None:
    """Append a line."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(line) + b"\n")


def show(console: Console, lines: list[Line]) -> None:
    """Every figure of every kind, a column for each measured commit of the newest line's machine."""
    here = [line for line in lines if line.machine == lines[-1].machine]
    table = text.table(f"Machine: {here[-1].machine}", ("figure", *(line.commit for line in here)))
    for kind, figures in here[-1].figures.items():
        for name in figures:
            values = (line.figures.get(kind, {}).get(name) for line in here)
            table.add_row(f"{kind}: {name}", *("–" if each is None else f"{each:,.4g}" for each in values))
    console.print(table)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.reporting.history", description=__doc__)
    parser.add_argument("command", choices=["record", "show"], help="measure and add a line, or show all")
    asked = parser.parse_args()
    console = text.terminal()
    if asked.command == "record":
        try:
            add(line_of(measure(console)))
        except NothingToAdd as error:
            sys.exit(f"Nothing was added: {error}.")
        console.print(f"Added to {FILE.name}, for commit {machine.commit().rstrip('+')}; commit it.")
    if not (lines := read()):
        sys.exit("Nothing was measured yet: `make history`.")
    show(console, lines)


if __name__ == "__main__":
    main()
