"""The ledger's totals over HTTP, and whether they have grown by what a run was told is done.

They are read before the first request and after the last. Nothing else of the system is needed, so this does
for a running system as well; no Locust in here.
"""

import asyncio
import time
from collections.abc import Callable
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

import msgspec

from perf.checks.conservation import Comparison, ConservationResult, Count, RequestCounts, failures

WITHIN_S = 30.0  # the ledger is given this long to record the rest
LINGER_S = 2.0  # then it is watched for more than it should have
APART_S = 0.5  # between two readings
TIMEOUT_S = 10.0
_LOOK_EVERY_S = 0.02

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
    events_total: int = 0
    last_seq: int = 0


class LedgerTotals:
    """Of the service at a base URL."""

    def __init__(self, ledger: str) -> None:
        self._url = f"{ledger}/api/v1/audit/metrics"

    def read(self) -> Reading:
        """Now; blocks. Raises one of UNREADABLE."""
        with _open(self._url, timeout=TIMEOUT_S) as response:
            return msgspec.json.decode(response.read(), type=Reading)

    async def leases(self, at_least: int, within_s: float) -> int:
        """How many there are, as soon as there are that many, or when the time is up."""
        deadline = time.monotonic() + within_s
        while True:
            found = (await asyncio.to_thread(self.read)).leases_total
            if found >= at_least or time.monotonic() > deadline:
                return found
            await asyncio.sleep(_LOOK_EVERY_S)


class Check:
    """Of one run: `begin` before its first request, `end` after its last. Both wait, some seconds at most."""

    def __init__(self, ledger: str) -> None:
        self._ledger = ledger
        self._read = LedgerTotals(ledger).read
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

    def end(self, counts: RequestCounts) -> ConservationResult:
        """Hold what was answered against what has been recorded since."""
        if self._before is None:
            words = "not checked whether what was answered 201 is in the ledger"
            return ConservationResult(warnings=[f"{words}: {self._ledger} could not be read ({self._error})"])
        try:
            after = settled(self._read, self._before, counts)
        except UNREADABLE as error:
            words = "it cannot be told whether what was answered 201 is in the ledger"
            reason = f"{self._ledger} could be read before the run, and not after it ({error})"
            return ConservationResult(failures=[f"{words}: {reason}"])
        found = lines(counts, self._before, after)
        return ConservationResult(lines=found, failures=failures(found))


def settled(read: Read, before: Reading, counts: RequestCounts) -> Reading:
    """The totals when nothing is missing, or the time is up; a moment later, so that a surplus shows."""
    ends_at = time.monotonic() + WITHIN_S
    while any(each.missing for each in lines(counts, before, read())) and time.monotonic() < ends_at:
        time.sleep(APART_S)
    time.sleep(LINGER_S)
    return read()


def lines(counts: RequestCounts, before: Reading, after: Reading) -> list[Comparison]:
    """What is compared: whatever the run has sent something of. Others' business is not this run's."""
    found = []
    if counts.leases.sent:
        recorded = after.leases_total - before.leases_total
        found.append(_compared("leases", counts.leases, recorded))
    if counts.payments.sent:
        recorded = after.payments.succeeded - before.payments.succeeded
        found.append(_compared("payments and payoffs", counts.payments, recorded))
        found += [
            Comparison(
                what=f"{currency}, minor units",
                done=counts.collected.get(currency, 0),
                uncertain=None if counts.payments.uncertain else 0,
                recorded=_collected(after, currency) - _collected(before, currency),
            )
            for currency in sorted({*counts.collected, *after.amounts})
        ]
    return found


def _compared(what: str, count: Count, recorded: int) -> Comparison:
    return Comparison(
        what=what, sent=count.sent, done=count.done, uncertain=count.uncertain, recorded=recorded
    )


def _collected(reading: Reading, currency: str) -> int:
    return reading.amounts[currency].collected if currency in reading.amounts else 0
