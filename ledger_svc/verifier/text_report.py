"""The verifier's report for people, and how far it has got."""

import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from typing import NamedTuple

from ledger_svc.verifier.currencies import money
from ledger_svc.verifier.findings import LedgerSums, Problem, Report
from ledger_svc.views.point_in_time import Snapshot

_EVERY = 4096  # entries
_LONG_BYTES = 8 * 1024 * 1024  # files from which on progress is shown

_RESET, _BOLD, _GREEN, _RED, _DIM = "\x1b[0m", "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[2m"
_MARKS = {True: ("✓", _GREEN), False: ("✗", _RED), None: ("–", _DIM)}


def show(report: Report) -> None:
    """Print it to standard output; in colour where that is a terminal and NO_COLOR is not set."""
    what = f"lease {report.lease_id}" if report.lease_id else "the whole ledger"
    print(f"{report.file}: {what}, {report.entries} entries, exported {report.exported_at}")
    if report.signed_by:
        print(f"Signed by {report.signed_by}")
    print()
    for each in report.checks:
        mark, colour = _MARKS[each.ok]
        print(f"  {_styled(mark, colour)} {each.check:<13}{each.words}")
    for problem in report.problems:
        print()
        print(_words(problem))
    _show_state(report)
    print()
    for words in report.notes:
        print(words)
    count = len(report.problems)
    verdict = "Verified." if report.ok else f"NOT verified: {count} problem{'s' * (count > 1)}."
    print(_styled(verdict, _BOLD + (_GREEN if report.ok else _RED)), flush=True)


def _styled(text: str, style: str) -> str:
    in_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return f"{style}{text}{_RESET}" if in_colour else text


def _words(problem: Problem) -> str:
    """Where it is, what it is, and what it should have been."""
    place = []
    if problem.seq is not None:
        place.append(f"entry {problem.seq}")
    if problem.event_id is not None:
        place.append(f"event {problem.event_id}")
    if problem.line is not None:
        place.append(f"line {problem.line}")
    text = f"  {_styled('✗', _RED)} {_styled(f'{problem.check}:', _BOLD)} "
    text += f"{', '.join(place)}: {problem.words}" if place else problem.words
    for name, value in (("expected", problem.expected), ("found", problem.found)):
        if value is not None:
            text += f"\n      {name:<9}{value}"
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


def _show_state(report: Report) -> None:
    """What the events add up to."""
    if report.lease is not None:
        _show_lease(report.lease, report.currency or "")
    if report.ledger is not None:
        _show_ledger(report.ledger)


def _show_lease(lease: Snapshot, currency: str) -> None:
    print()
    print(
        f"By these events the lease is {lease.status}: {money(lease.amount_paid, currency)} paid, "
        f"{money(lease.balance, currency)} still to be paid."
    )
    rows, total = lines(lease)
    table: list[Sequence[str]] = [("instalment", "status", "amount", "paid", "to be paid")]
    for row in [*rows, total]:
        amounts = [money(amount, currency) for amount in (row.amount, row.paid, row.to_be_paid)]
        table.append((row.label, row.status, *amounts))
    _show_table(table, texts=2)


def _show_ledger(sums: LedgerSums) -> None:
    print()
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(sums.leases.items()))
    count = sum(sums.leases.values())
    print(f"By these events, leases: {count} ({statuses or 'none'}).")
    table: list[Sequence[str]] = [("", "billed", "collected, less refunds", "outstanding", "no longer owed")]
    for currency in sorted(sums.billed):
        columns = (sums.billed, sums.collected, sums.outstanding, sums.no_longer_owed)
        table.append((currency, *(money(each[currency], currency) for each in columns)))
    _show_table(table, texts=1)


def _show_table(rows: Sequence[Sequence[str]], *, texts: int) -> None:
    """Columns as wide as they need to be: `texts` of them to the left, then amounts to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        cells = [
            cell.ljust(width) if at < texts else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = f" {'  '.join(cells)}".rstrip()
        print(line if number else _styled(line, _BOLD))


@contextmanager
def progress(file: BufferedReader, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """What to call for each entry; on a terminal it shows how far it is, for files that take a while."""
    about = os.fstat(file.fileno())
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if quiet or not terminal or not stat.S_ISREG(about.st_mode) or about.st_size < _LONG_BYTES:
        yield lambda: None
        return
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count % _EVERY == 0:
            done = f"{count:,} entries, {file.tell() / about.st_size:4.0%}"
            print(f"\r{done}", end="", file=sys.stderr, flush=True)

    try:
        yield tick
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
