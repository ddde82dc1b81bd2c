"""The verifier's report for people, and how far it has got."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ledger_svc.verifier.findings import LedgerSums, Problem, Report
from ledger_svc.views.point_in_time import Snapshot
from ledger_svc.views.timeline_text import money

_EVERY = 256  # entries
_LONG_BYTES = 8 * 1024 * 1024  # files from which on progress is shown

_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "dim")}


def show(report: Report) -> None:
    """Print it to standard output; in colour where that is a terminal."""
    console = Console(highlight=False, soft_wrap=True)
    what = f"lease {report.lease_id}" if report.lease_id else "the whole ledger"
    console.print(Text(f"{report.file}: {what}, {report.entries} entries, exported {report.exported_at}"))
    if report.signed_by:
        console.print(Text(f"Signed by {report.signed_by}"))
    console.print()
    for each in report.checks:
        mark, colour = _MARKS[each.ok]
        console.print(Text(f"  {mark} ", colour).append(f"{each.check:<13}{each.words}", "default"))
    for problem in report.problems:
        console.print()
        console.print(_words(problem))
    _show_state(console, report)
    console.print()
    for words in report.notes:
        console.print(Text(words))
    count = len(report.problems)
    verdict = "Verified." if report.ok else f"NOT verified: {count} problem{'s' * (count > 1)}."
    console.print(Text(verdict, "bold green" if report.ok else "bold red"))


def _words(problem: Problem) -> Text:
    """Where it is, what it is, and what it should have been."""
    place = []
    if problem.seq is not None:
        place.append(f"entry {problem.seq}")
    if problem.event_id is not None:
        place.append(f"event {problem.event_id}")
    if problem.line is not None:
        place.append(f"line {problem.line}")
    text = Text("  ✗ ", "red").append(f"{problem.check}: ", "bold")
    text.append(f"{', '.join(place)}: {problem.words}" if place else problem.words, "default")
    for name, value in (("expected", problem.expected), ("found", problem.found)):
        if value is not None:
            text.append(f"\n      {name:<9}{value}", "default")
    return text


class Line(NamedTuple):
    """A row of a lease's table; money in minor units."""

    label: str
    status: str
    amount: int
    paid: int
    to_be_paid: int


def lines(lease: Snapshot) -> tuple[list[Line], Line]:
    """A lease's money row by row, and its total: what is paid and to be paid in all.

    Not all that is paid is on instalments: what a payoff paid for those it cancelled has a row.
    """
    rows = [
        Line(str(row.number), row.status, row.amount, row.amount_paid, row.amount_due)
        for row in lease.payments
    ]
    if lease.settled_early:
        rows.append(Line("early payoff, for those cancelled", "", 0, lease.settled_early, 0))
    return rows, Line("total", "", sum(row.amount for row in rows), lease.amount_paid, lease.balance)


def _show_state(console: Console, report: Report) -> None:
    """What the events add up to."""
    if report.lease is not None:
        _show_lease(console, report.lease, report.currency or "")
    if report.ledger is not None:
        _show_ledger(console, report.ledger)


def _show_lease(console: Console, lease: Snapshot, currency: str) -> None:
    console.print()
    console.print(
        Text(
            f"By these events the lease is {lease.status}: {money(lease.amount_paid, currency)} paid, "
            f"{money(lease.balance, currency)} still to be paid."
        )
    )
    table = Table("instalment", "status", box=None)
    for column in ("amount", "paid", "to be paid"):
        table.add_column(column, justify="right")
    rows, total = lines(lease)
    for row in [*rows, total]:
        amounts = [money(amount, currency) for amount in (row.amount, row.paid, row.to_be_paid)]
        table.add_row(row.label, Text(row.status), *map(Text, amounts))
    console.print(table)


def _show_ledger(console: Console, sums: LedgerSums) -> None:
    console.print()
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(sums.leases.items()))
    count = sum(sums.leases.values())
    console.print(Text(f"By these events, leases: {count} ({statuses or 'none'})."))
    table = Table("", box=None)
    for column in ("billed", "collected, less refunds", "outstanding", "no longer owed"):
        table.add_column(column, justify="right")
    for currency in sorted(sums.billed):
        columns = (sums.billed, sums.collected, sums.outstanding, sums.no_longer_owed)
        of_all = [each[currency] for each in columns]
        table.add_row(Text(currency), *(Text(money(amount, currency)) for amount in of_all))
    console.print(table)


@contextmanager
def progress(file: BufferedReader, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """What to call for each entry; on a terminal it moves a bar, for files that take a while."""
    console = Console(stderr=True)
    about = os.fstat(file.fileno())
    if quiet or not console.is_terminal or not stat.S_ISREG(about.st_mode) or about.st_size < _LONG_BYTES:
        yield lambda: None
        return
    columns = TextColumn("{task.fields[entries]:,} entries"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=about.st_size, entries=0)
        count = 0

        def tick() -> None:
            nonlocal count
            count += 1
            if count % _EVERY == 0:
                bar.update(task, completed=file.tell(), entries=count)

        yield tick
