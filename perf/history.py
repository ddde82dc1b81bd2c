"""Performance through the years: one line of JSON for each measured commit, in perf/history.jsonl.

A line is put together from the newest report of each kind in perf/reports/, all of one commit and machine;
`make history` makes them first, one after the other. Figures of different machines are not to be compared, so
each line says which it was.
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
from rich.console import Console

from perf import machine, tables
from perf.report.page import DIRECTORY
from perf.report.run import Run

FILE = Path(__file__).with_name("history.jsonl")
# Each kind of report and how it is made. The load test runs against the system that `make up` has started.
MEASUREMENTS = {
    "stress": "-m tests.performance.stress_tests",
    "e2e-latency": "-m perf.e2e_latency",
    "loadtest": "-m perf.load --users 50 --spawn-rate 10 --run-time 60s",
    "bench": "-m perf.bench",  # last: on a new machine it stores figures, and the checkout is another one
}


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What one commit was measured to do."""

    date: str  # YYYY-MM-DD
    commit: str
    machine: str
    figures: dict[str, dict[str, float]]  # by kind of report: name and unit → value
    tables: dict[str, list[dict[str, str]]]  # by kind of report and title: rows by column


def newest(kind: str, directory: Path = DIRECTORY) -> Run | None:
    """The newest report of a kind; None where there is none."""
    paths = sorted(directory.glob(f"{kind}-[0-9]*-[0-9]*.json"))
    return msgspec.json.decode(paths[-1].read_bytes(), type=Run) if paths else None


def line_of(runs: dict[str, Run]) -> Line:
    """The line of these reports. Raises ValueError where they are not of one commit and one machine."""
    if len({(run.commit, run.machine) for run in runs.values()}) != 1:
        said = ", ".join(f"{kind} of {run.commit}" for kind, run in runs.items())
        raise ValueError(f"the reports are not of one commit and one machine: {said}")
    last = max(runs.values(), key=lambda run: run.at)
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
    table = tables.table(f"Machine: {here[-1].machine}", ("figure", *(line.commit for line in here)))
    for kind, figures in here[-1].figures.items():
        for name in figures:
            values = (line.figures.get(kind, {}).get(name) for line in here)
            table.add_row(f"{kind}: {name}", *("–" if each is None else f"{each:,.4g}" for each in values))
    console.print(table)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.history", description=__doc__)
    parser.add_argument("command", choices=["record", "add", "show"], help="measure and add; add; show")
    asked = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else tables.WIDTH)
    if asked.command == "record":
        for kind, command in MEASUREMENTS.items():
            console.rule(kind)
            subprocess.run([sys.executable, *shlex.split(command)], check=False, env=os.environ)
    if asked.command != "show":
        runs = {kind: run for kind in MEASUREMENTS if (run := newest(kind)) is not None}
        if missing := MEASUREMENTS.keys() - runs.keys():
            sys.exit(
                f"There is no report of: {', '.join(sorted(missing))}. `make history` makes all of them."
            )
        try:
            add(line_of(runs))
        except ValueError as error:
            sys.exit(f"Nothing was added: {error}.")
        console.print(f"Added to {FILE.name}, for commit {machine.commit()}; commit it.")
    if not (lines := read()):
        sys.exit("Nothing was measured yet: `make history`.")
    show(console, lines)


if __name__ == "__main__":
    main()
