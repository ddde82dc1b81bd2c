"""Measurements in words and tables for the terminal, also where the output is none."""

import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from perf.reporting.page import bound, number
from perf.stats.latencies import Latencies
from perf.stats.run import Figure, Rows, Run

WIDTH = 120  # where the output is no terminal
LATENCIES = ("min", "avg", "p95", "p99")


def terminal() -> Console:
    """A console as wide as the terminal, or as WIDTH where the output is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)


def milliseconds(value: float) -> str:
    """Three digits that count: "0.0412 ms" is shown as 0.041, 12.345 as 12.3."""
    decimals = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"


def latencies(found: Latencies) -> list[str]:
    """The cells under LATENCIES, in ms; dashes where there are none."""
    if not found.count:
        return ["–"] * len(LATENCIES)
    values = (found.min_ms, found.mean_ms, found.percentile_ms(95), found.percentile_ms(99))
    return [milliseconds(value) for value in values]


def table(title: str, columns: Sequence[str], *, left: Sequence[str] = ()) -> Table:
    """An empty table; the first column and those named in `left` are words, the others numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        words = column in left or column == columns[0]
        made.add_column(column, justify="left" if words else "right", overflow="fold")
    return made


def verdict(holds: bool, kept: str = "kept", missed: str = "missed") -> str:
    """A word in its colour."""
    return f"[green]{kept}[/]" if holds else f"[bold red]{missed}[/]"


def rendered(*parts: Table | str, width: int = WIDTH, colours: bool = False) -> str:
    """What a console would show."""
    console = Console(file=StringIO(), width=width, force_terminal=colours, highlight=False)
    for part in parts:
        console.print(part)
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def told(console: Console, run: Run, path: Path) -> None:
    """A run in the terminal."""
    for rows in run.tables:
        console.print(rows_of(rows))
    if run.figures:
        console.print(figures(run.figures))
    for remark in run.remarks:
        console.print(f"[red]✗[/] {remark}")
    console.print(f"{run.title}: {verdict(run.verdict, 'passed', 'failed')}. The report: {path}")


def rows_of(rows: Rows) -> Table:
    """A table of a report; a row whose first cell begins with "=" is a sum."""
    made = table(rows.title, rows.columns)
    for row in rows.rows:
        made.add_row(*row, style="bold" if row[0].startswith("=") else None)
    return made


def figures(given: Sequence[Figure], title: str = "Figures") -> Table:
    """Figures with what is asked of them."""
    made = table(title, ("figure", "measured", "asked", ""))
    for figure in given:
        kept = "" if figure.kept is None else verdict(figure.kept)
        made.add_row(figure.name, f"{number(figure.value)} {figure.unit}", bound(figure), kept)
    return made


def missed(given: Sequence[Figure]) -> list[str]:
    """The thresholds that are not kept, in words."""
    return [
        f"{each.name}: {number(each.value)} {each.unit}, {bound(each)} were asked."
        for each in given
        if each.kept is False
    ]
