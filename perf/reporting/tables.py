"""Tables for the terminal, also where the output is none."""

import math
import sys
from collections.abc import Sequence
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table

from perf.stats.percentiles import Summary

WIDTH = 120  # where the output is no terminal
LATENCIES = ("min", "avg", "p95", "p99")


def terminal() -> Console:
    """A console as wide as the terminal, or as WIDTH where the output is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)


def milliseconds(value: float) -> str:
    """Three digits that count: "0.0412 ms" is shown as 0.041, 12.345 as 12.3."""
    if math.isnan(value):
        return "–"
    decimals = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"


def latencies(summary: Summary) -> list[str]:
    """The cells under LATENCIES, in ms."""
    values = (summary.min_ms, summary.mean_ms, summary.p95_ms, summary.p99_ms)
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
