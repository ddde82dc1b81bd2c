"""What the log has of a set of events, and whether a producer's outbox has the same."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from prometheus_client import Counter

from common.clock import rfc3339
from common.db import Pool
from common.ids import born_ms
from common.reconciliation import EVENTS_PER_SET, Answer, Range, Set, Window, digest
from ledger_svc.anomalies import Anomaly, queries
from ledger_svc.producers import Producers

COMPARED = Counter("ledger_compared_sets", "Sets of events compared with an outbox", ["source", "result"])


async def range_of(pool: Pool, source: str, lease_id: str, first: int, last: int) -> Range:
    """What the log has of these numbers, EVENTS_PER_SET of them at most."""
    last = min(last, first + EVENTS_PER_SET - 1)
    rows = await pool.fetch(queries.hashes_of_range, lease_id, source, first, last)
    hashes = [row["leaf_hash"] for row in rows]
    return Range(lease_id=lease_id, first=first, last=last, count=len(hashes), digest=digest(hashes))


async def window_of(pool: Pool, source: str, since: str, until: str) -> Window:
    """What the log has of these ids: up to `until`, or up to where EVENTS_PER_SET of them end."""
    rows = await pool.fetch(queries.hashes_of_window, source, since, until, EVENTS_PER_SET + 1)
    if len(rows) > EVENTS_PER_SET:
        until = rows.pop()["event_id"]
    hashes = [row["leaf_hash"] for row in rows]
    return Window(since=since, until=until, count=len(hashes), digest=digest(hashes))


async def windows(
    pool: Pool, producers: Producers, source: str, since: str, until: str
) -> AsyncIterator[tuple[Window, Answer]]:
    """Compare all events whose ids lie in [since, until), window by window; what differs is published again.

    Raises NoAnswer, BrokerUnavailable, and what Postgres raises.
    """
    while since < until:
        window = await window_of(pool, source, since, until)
        [answer] = await producers.compare(source, [window])
        while answer.until is not None:  # there are more of them than here
            window = await window_of(pool, source, since, answer.until)
            [answer] = await producers.compare(source, [window])
        counted(source, window, answer)
        yield window, answer
        since = window.until


def same(here: Set, there: Answer) -> bool:
    """Whether log and outbox have the same events, byte for byte."""
    return (here.count, here.digest) == (there.count, there.digest)


def counted(source: str, here: Set, there: Answer) -> None:
    """Count a comparison in the metrics."""
    result = "same" if same(here, there) else "pending" if there.pending else "different"
    COMPARED.labels(source, result).inc()


def difference(source: str, here: Window, there: Answer) -> Anomaly:
    """The anomaly of a window that has come to rest and differs."""
    return Anomaly(
        kind="difference",
        # With the digests: what differs in another way later is told of anew.
        place=f"{source} {here.since} {here.until} {here.digest} {there.digest}",
        detail=(
            f"of the events of {source} made from {_shown(here.since)} up to {_shown(here.until)}"
            f" its outbox has {there.count} and the ledger {here.count}"
            + (" other ones" if there.count == here.count else "")
        ),
        source=source,
        since=here.since,
        until=here.until,
    )


def time_of(event_id: str) -> datetime:
    """When a UUIDv7 was made."""
    return datetime.fromtimestamp((born_ms(event_id) or 0) / 1000, UTC)


def _shown(event_id: str) -> str:
    return rfc3339(time_of(event_id))
