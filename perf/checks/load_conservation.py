"""What a load run was told is done has to be in the ledger, once. Asks over HTTP alone; no Locust in here.

A run counts what it sends and what it is answered. Each answer with success is something that the ledger has
to record; what has no answer, 202 or a server's error may or may not have been carried out. The ledger's
totals, read before the first request and after the last, have to have grown by as much.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

import msgspec

from perf.checks.request_counts import Books, Count
from perf.stats.run import Rows

WITHIN_S = 30.0  # the ledger is given this long to record the rest
LINGER_S = 2.0  # then it is watched for more than it should have
APART_S = 0.5  # between two readings
TIMEOUT_S = 10.0

Read = Callable[[], "Reading"]
UNREADABLE = (OSError, HTTPException, msgspec.MsgspecError)

_open = build_opener(ProxyHandler({})).open  # as the load itself: never through a proxy


class Payments(msgspec.Struct, frozen=True):
    """Attempts and payoffs."""

    succeeded: int


class Amounts(msgspec.Struct, frozen=True):
    """Money of one currency, in its minor unit."""

    collected: int


class Reading(msgspec.Struct, frozen=True):
    """The ledger's totals at one moment, as far as they are compared."""

    leases_total: int
    payments: Payments
    amounts: dict[str, Amounts]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is compared."""

    what: str
    done: int  # what was answered 201 comes to
    recorded: int  # by so much the ledger has grown
    sent: int | None = None  # None: not known of money, whose amount only the answer tells
    uncertain: int | None = 0  # None: there is some, nobody knows how much

    @property
    def missing(self) -> bool:
        """Less is recorded than was answered with success."""
        return self.recorded < self.done

    @property
    def surplus(self) -> bool:
        """More is recorded than can have been carried out."""
        return self.uncertain is not None and self.recorded > self.done + self.uncertain

    @property
    def verdict(self) -> str:
        """In a word."""
        return "lost" if self.missing else "too many" if self.surplus else "all, once"

    @property
    def numbers(self) -> dict[str, str]:
        """All of them, by name, as they are to be read."""
        return {
            "sent": "–" if self.sent is None else f"{self.sent:,}",
            "answered 201": f"{self.done:,}",
            "uncertain": "not known" if self.uncertain is None else f"{self.uncertain:,}",
            "in the ledger": f"{self.recorded:,}",
        }


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparison has come to."""

    lines: Sequence[Line] = ()
    failures: Sequence[str] = ()
    warnings: Sequence[str] = ()

    @property
    def rows(self) -> Rows:
        """As a table."""
        names = ["sent", "answered 201", "uncertain", "in the ledger"]
        return Rows(
            title="Conservation",
            columns=["", *names, "accounted for"],
            rows=[[each.what, *(each.numbers[name] for name in names), each.verdict] for each in self.lines],
        )


class Check:
    """Of one run: `begin` before its first request, `end` after its last. Both wait, some seconds at most."""

    def __init__(self, ledger: str) -> None:
        self._ledger = ledger
        self._before: Reading | None = None
        self._error: Exception | None = None

    def begin(self) -> None:
        """Read the totals once they stand still: what was done earlier is not to be taken for this run's."""
        try:
            before, now = None, self._read()
            ends_at = time.monotonic() + WITHIN_S
            while now != before and time.monotonic() < ends_at:
                time.sleep(APART_S)
                before, now = now, self._read()
            self._before = now
        except UNREADABLE as error:
            self._error = error

    def end(self, books: Books) -> Outcome:
        """Hold what was answered against what has been recorded since."""
        if self._before is None:
            words = "not checked whether what was answered 201 is in the ledger"
            return Outcome(warnings=[f"{words}: {self._ledger} could not be read ({self._error})"])
        try:
            after = settled(self._read, self._before, books)
        except UNREADABLE as error:
            words = "it cannot be told whether what was answered 201 is in the ledger"
            reason = f"{self._ledger} could be read before the run, and not after it ({error})"
            return Outcome(failures=[f"{words}: {reason}"])
        found = lines(books, self._before, after)
        return Outcome(lines=found, failures=failures(found))

    def _read(self) -> Reading:
        with _open(f"{self._ledger}/api/v1/audit/metrics", timeout=TIMEOUT_S) as response:
            return msgspec.json.decode(response.read(), type=Reading)


def settled(read: Read, before: Reading, books: Books) -> Reading:
    """The totals when nothing is missing, or the time is up; a moment later, so that a surplus shows."""
    ends_at = time.monotonic() + WITHIN_S
    while any(each.missing for each in lines(books, before, read())) and time.monotonic() < ends_at:
        time.sleep(APART_S)
    time.sleep(LINGER_S)
    return read()


def lines(books: Books, before: Reading, after: Reading) -> list[Line]:
    """What is compared: whatever the run has sent something of. Others' business is not this run's."""
    found = []
    if books.leases.sent:
        recorded = after.leases_total - before.leases_total
        found.append(_line("leases", books.leases, recorded))
    if books.payments.sent:
        recorded = after.payments.succeeded - before.payments.succeeded
        found.append(_line("payments and payoffs", books.payments, recorded))
        found += [
            Line(
                what=f"{currency}, minor units",
                done=books.collected.get(currency, 0),
                uncertain=None if books.payments.uncertain else 0,
                recorded=_collected(after, currency) - _collected(before, currency),
            )
            for currency in sorted({*books.collected, *after.amounts})
        ]
    return found


def _line(what: str, count: Count, recorded: int) -> Line:
    return Line(what=what, sent=count.sent, done=count.done, uncertain=count.uncertain, recorded=recorded)


def _collected(reading: Reading, currency: str) -> int:
    return reading.amounts[currency].collected if currency in reading.amounts else 0


def failures(compared: Iterable[Line]) -> list[str]:
    """Why the run fails; empty where all is accounted for."""
    found = []
    for each in compared:
        numbers = ", ".join(f"{number} {name}" for name, number in each.numbers.items())
        if each.missing:
            found.append(f"lost: of the {each.what}, {numbers}")
        elif each.surplus:
            found.append(
                f"more than was asked for: of the {each.what}, {numbers}; recorded twice, or somebody else"
                " has used the system meanwhile"
            )
    return found
