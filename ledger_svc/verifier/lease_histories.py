"""What one lease's events add up to: each source's in its own order, in whatever order they were recorded.

An event that was recorded late, behind its successors, makes them wait: what is folded is always what a
source said without a gap.
"""

from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from ledger_svc.contracts.envelope import Event, MalformedEvent, UnknownEventType
from ledger_svc.event_types import registry
from ledger_svc.event_types.basics.fields import Data
from ledger_svc.event_types.types.lease_created import LeaseCreated
from ledger_svc.verifier.findings import Findings, LedgerSums
from ledger_svc.views import point_in_time
from ledger_svc.views.point_in_time import LeaseState, Snapshot

MAX_WAITING = 10_000  # events of one lease behind a gap; with more of them nothing is folded

Place = tuple[str, int]  # source, sequence

_OTHER = {"/lease-svc": "/payment-svc", "/payment-svc": "/lease-svc"}


class Gap(NamedTuple):
    """Numbers of a source that are missing."""

    source: str
    first: int
    last: int
    seq: int  # the entry that has the next number, or
    seen: bool  # one of the other source's, which has seen the last of them


class Repeated(Exception):
    """A source's number that has been there already."""


class Lease:
    """One lease; `thin`: without its instalments, for when there are very many leases."""

    __slots__ = ("_complete", "_seen", "_thin", "_waiting", "currency", "state", "unknown")

    def __init__(self, *, thin: bool = False) -> None:
        self.state: LeaseState = point_in_time.EMPTY
        self.currency: str | None = None
        self.unknown: str | None = None  # why there is no state
        self._thin = thin
        self._complete: dict[str, int] = {}  # by source: all up to this number were there
        self._waiting: dict[Place, tuple[int, Data | None]] = {}  # (seq, data) of those behind a gap
        self._seen: dict[str, tuple[int, int]] = {}  # by source: the highest number seen by another; its seq

    def take(self, seq: int, event: Event) -> None:
        """One more event, in entry `seq`. Raises Repeated; MalformedEvent where its data is wrong."""
        source = event.source
        complete = self._complete.get(source, 0)
        if event.sequence <= complete or (source, event.sequence) in self._waiting:
            raise Repeated
        other, seen = _OTHER.get(source, ""), event.seensequence or 0
        if seen > self._seen.get(other, (0, 0))[0]:
            self._seen[other] = seen, seq
        self._waiting[source, event.sequence] = seq, None
        try:
            self._waiting[source, event.sequence] = seq, registry.data_of(event)
        except UnknownEventType as error:
            self.unknown = f"this verifier does not know {error}"
        if len(self._waiting) > MAX_WAITING:
            self.unknown = "too many events wait behind a gap"
        while (source, complete + 1) in self._waiting:
            complete += 1
            self._apply(self._waiting.pop((source, complete))[1])
        self._complete[source] = complete

    def sources(self) -> dict[str, int]:
        """By source, the number up to which none is missing."""
        return {source: complete for source, complete in sorted(self._complete.items()) if complete}

    def gaps(self) -> Iterator[Gap]:
        """What is missing before events that are there."""
        complete = dict(self._complete)
        for (source, sequence), (seq, _) in sorted(self._waiting.items()):
            expected = complete.get(source, 0) + 1
            if sequence > expected:
                yield Gap(source, expected, sequence - 1, seq, seen=False)
            complete[source] = sequence
        for source, (number, seq) in sorted(self._seen.items()):
            expected = complete.get(source, 0) + 1
            if number >= expected:
                yield Gap(source, expected, number, seq, seen=True)

    def _apply(self, data: Data | None) -> None:
        if data is None or self.unknown is not None:
            return
        if isinstance(data, LeaseCreated):
            self.currency = data.currency
        state = point_in_time.apply_data(self.state, data)
        self.state = replace(state, schedule=()) if self._thin and state.schedule else state


class Leases:
    """All leases of an export: one, or those of the whole ledger."""

    def __init__(self, lease_id: str | None, findings: Findings) -> None:
        self._lease_id = lease_id
        self._findings = findings
        self._leases: dict[str, Lease] = {}

    def take(self, seq: int, event: Event) -> None:
        """One more event, in entry `seq`; of another lease than that of the export none is taken."""
        if self._lease_id not in (None, event.subject):
            return
        lease = self._leases.get(event.subject)
        if lease is None:
            lease = self._leases[event.subject] = Lease(thin=self._lease_id is None)
        try:
            lease.take(seq, event)
        except Repeated:
            words = f"number {event.sequence} of {event.source} came before"
            self._findings.add("sequences", words, seq=seq, event_id=event.id)
        except MalformedEvent as error:
            words = "the event does not say what its type has to say"
            self._findings.add("events", words, seq=seq, event_id=event.id, found=error)

    def look_for_gaps(self) -> None:
        """Find what sources must have said before something that is there."""
        for lease_id, lease in self._leases.items():
            for gap in lease.gaps():
                numbers = str(gap.first) if gap.first == gap.last else f"{gap.first} to {gap.last}"
                of = "" if self._lease_id else f" of lease {lease_id}"
                where = "which this entry has seen" if gap.seen else "before this entry"
                found = None if gap.seen else gap.last + 1
                words = f"{gap.source}{of}: {numbers} missing {where}"
                self._findings.add("sequences", words, seq=gap.seq, expected=gap.first, found=found)

    def sources(self) -> dict[str, int]:
        """Of a lease's export: each source with its last number."""
        return {} if self._lease_id not in self._leases else self._leases[self._lease_id].sources()

    def snapshot(self) -> tuple[str | None, Snapshot | None]:
        """Of a lease's export: currency and state, where its events give one."""
        lease = self._leases.get(self._lease_id or "", Lease())
        if lease.unknown is not None:
            self._findings.note(f"No state was folded: {lease.unknown}.")
            return None, None
        return lease.currency, point_in_time.snapshot(lease.state)

    def sums(self) -> LedgerSums:
        """Of the whole ledger."""
        sums = LedgerSums(leases={}, billed={}, collected={}, outstanding={}, no_longer_owed={})
        for lease in self._leases.values():
            shot = point_in_time.snapshot(lease.state)
            if lease.unknown is not None:
                self._findings.note(f"The sums lack a lease: {lease.unknown}.")
            elif shot is not None and lease.currency is not None:
                state, currency = lease.state, lease.currency
                for sum_, key, amount in (
                    (sums.leases, shot.status, 1),
                    (sums.billed, currency, state.billed),
                    (sums.collected, currency, state.collected),
                    (sums.outstanding, currency, state.balance),
                    (sums.no_longer_owed, currency, state.billed - state.collected - state.balance),
                ):
                    sum_[key] = sum_.get(key, 0) + amount
        return sums
