"""What the log has of a set of events, whether a producer's outbox has the same, and in which they differ."""

from collections import Counter as Counts
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import structlog
from prometheus_client import Counter

from common.kernel.clock import rfc3339, utcnow
from common.messaging.outbox_differences import What
from common.messaging.outbox_reconciliation import (
    EVENTS_PER_SET,
    REACH,
    SETS_PER_COMMAND,
    Answer,
    Known,
    Listing,
    Range,
    Set,
    Window,
    digest,
)
from common.postgres.pool import Pool
from ledger_svc.completeness.differences import Difference
from ledger_svc.completeness.producer_client import Producers
from ledger_svc.log.anomalies import queries
from ledger_svc.log.event_checks import SOURCES

log = structlog.get_logger()

COMPARED = Counter("ledger_compared_sets", "Sets of events compared with an outbox", ["source", "result"])


class Entries(NamedTuple):
    """Some entries of the log, compared."""

    upto: int  # the last one's number
    compared: Counts[str]  # how many, by source
    differences: list[Difference]


class Compared(NamedTuple):
    """A window, compared."""

    window: Window
    published: int  # the outbox's events in it
    pending: int  # how many the ledger lacks because their relay is behind
    differences: list[Difference]


async def ranges_of(
    pool: Pool, source: str, wanted: Sequence[tuple[str, int, int]]
) -> AsyncIterator[list[Range]]:
    """What the log has of these numbers (lease, first, last), EVENTS_PER_SET of each at most; by command."""
    for start in range(0, len(wanted), SETS_PER_COMMAND):
        places = [
            (lease_id, first, min(last, first + EVENTS_PER_SET - 1))
            for lease_id, first, last in wanted[start : start + SETS_PER_COMMAND]
        ]
        hashes: defaultdict[int, list[bytes]] = defaultdict(list)
        for row in await pool.fetch(queries.hashes_of_ranges, source, *zip(*places, strict=True)):
            hashes[row["place"]].append(row["leaf_hash"])
        yield [
            Range(
                lease_id=lease_id,
                first=first,
                last=last,
                count=len(hashes[place]),
                digest=digest(hashes[place]),
            )
            for place, (lease_id, first, last) in enumerate(places, 1)
        ]


async def window_of(pool: Pool, source: str, since: str, until: str) -> Window:
    """What the log has of these ids: up to `until`, or up to where EVENTS_PER_SET of them end."""
    rows = await pool.fetch(queries.hashes_of_window, source, since, until, EVENTS_PER_SET + 1)
    if len(rows) > EVENTS_PER_SET:
        until = rows.pop()["event_id"]
    hashes = [row["leaf_hash"] for row in rows]
    return Window(since=since, until=until, count=len(hashes), digest=digest(hashes))


async def entries(pool: Pool, producers: Producers, after: int, upto: int) -> AsyncIterator[Entries]:
    """Compare every entry after `after` up to `upto` with its producer's outbox, page by page.

    By the ledger's own numbers, so that none is left out whatever its id says. What is recorded was committed
    in an outbox before it was published, so there is nothing to wait for. Raises as `windows`.
    """
    while after < upto:
        rows = await pool.fetch(queries.entries_to_compare, after, upto, EVENTS_PER_SET)
        if not rows:
            return
        by_source: defaultdict[str, list[Any]] = defaultdict(list)
        for row in rows:
            by_source[row["source"]].append(row)
        differences = []
        for source, theirs in sorted(by_source.items()):
            differences += await _compared(producers, source, theirs)
        after = rows[-1]["seq"]
        counts = Counts({source: len(theirs) for source, theirs in by_source.items()})
        yield Entries(after, counts, differences)


async def recorded_before(pool: Pool, instant: datetime) -> int:
    """The number of the last entry that was recorded before an instant; 0: none was."""
    return int(await pool.fetchval(queries.recorded_before, instant))


async def first_to_compare(pool: Pool, done: int) -> int:
    """After which entry to go on, where all up to `done` are compared.

    What was recorded longer ago than the outboxes keep anything can be compared no more. That is never said
    to be right: it is logged that nobody can say.
    """
    oldest = utcnow() - REACH
    reach = await recorded_before(pool, oldest)
    if reach > done:
        log.error("reconciler.not_compared", first=done + 1, last=reach, recorded_before=rfc3339(oldest))
    return max(done, reach)


async def _compared(producers: Producers, source: str, rows: Sequence[Any]) -> list[Difference]:
    if source not in SOURCES:  # the writer records none such
        return [_difference("unknown", row) for row in rows]
    [answer] = await producers.compare(source, [Listing(events=_known(rows))])
    COMPARED.labels(source, "different" if answer.differing else "same").inc()
    return _named(source, rows, answer)


async def windows(
    pool: Pool, producers: Producers, source: str, since: str, until: str
) -> AsyncIterator[Compared]:
    """Compare all events whose ids lie in [since, until), window by window.

    What is missing is published again. Raises NoAnswer, BrokerUnavailable, and what Postgres raises.
    """
    while since < until:
        window = await window_of(pool, source, since, until)
        [answer] = await producers.compare(source, [window])
        while answer.until is not None:  # there are more of them than here
            window = await window_of(pool, source, since, answer.until)
            [answer] = await producers.compare(source, [window])
        compared = Compared(window, answer.count, 0, [])
        if not same(window, answer):
            compared = await _one_by_one(pool, producers, source, window, answer.count)
        result = "different" if compared.differences else "pending" if compared.pending else "same"
        COMPARED.labels(source, result).inc()
        yield compared
        since = window.until


async def _one_by_one(
    pool: Pool, producers: Producers, source: str, window: Window, published: int
) -> Compared:
    """In which events a window differs."""
    last_seq = await pool.fetchval(queries.last_seq)
    place = (source, window.since, window.until)
    rows = await pool.fetch(queries.events_of_window, *place, EVENTS_PER_SET)
    listing = Listing(events=_known(rows), since=window.since, until=window.until)
    [answer] = await producers.compare(source, [listing])
    differences = _named(source, rows, answer)
    if lacking := [each.event_id for each in differences if each.differs == "missing"]:
        # The window may have grown beyond one listing. What was recorded later was missing all the same.
        recorded = await pool.fetch(queries.recorded_ids, lacking, last_seq)
        here = {row["event_id"] for row in recorded}
        differences = [each for each in differences if each.differs != "missing" or each.event_id not in here]
    return Compared(window, published, answer.pending, differences)


def _known(rows: Sequence[Any]) -> list[Known]:
    return [Known(event_id=row["event_id"], leaf_hash=row["leaf_hash"]) for row in rows]


def _named(source: str, rows: Sequence[Any], answer: Answer) -> list[Difference]:
    here = {row["event_id"]: row for row in rows}
    return [
        _difference(each.differs, here[each.event_id])
        if each.event_id in here
        else Difference(
            differs=each.differs,
            event_id=each.event_id,
            event_type=each.event_type or "",
            source=source,
            lease_id=each.lease_id or "",
            sequence=each.sequence or 0,
            seq=None,
        )
        for each in answer.differing
    ]


def _difference(differs: What, row: Any) -> Difference:
    return Difference(
        differs=differs,
        event_id=row["event_id"],
        event_type=row["type"],
        source=row["source"],
        lease_id=row["lease_id"],
        sequence=row["sequence"],
        seq=row["seq"],
    )


def same(here: Set, there: Answer) -> bool:
    """Whether log and outbox have the same events, byte for byte; not for listings."""
    return not isinstance(here, Listing) and (here.count, here.digest) == (there.count, there.digest)


def counted(source: str, here: Set, there: Answer) -> None:
    """Count a comparison in the metrics."""
    result = "same" if same(here, there) else "pending" if there.pending else "different"
    COMPARED.labels(source, result).inc()
