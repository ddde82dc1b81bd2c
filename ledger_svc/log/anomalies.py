"""Anomalies: found on the way in or by comparing, shown in many places, never deleted.

An anomaly is a row that is never changed. What becomes of it is said by notes; one of them may heal it.
"""

from collections import Counter as Counts
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from common.kernel.clock import utcnow
from common.messaging.outbox_differences import What
from common.postgres.pool import Connection, Pool, Queries

log = structlog.get_logger()
queries = Queries(Path(__file__).with_name("anomalies.sql"))

Kind = Literal[
    "gap",  # numbers of a source's events of a lease are missing, with a later one recorded
    "conflict",  # another event, or other bytes, at a place in the sequence that is taken
    "id_reused",  # an event with the id of another one that is recorded
    "unknown_source",  # an event of a source that the ledger does not know
    "implausible_id",  # an event whose id is dated ahead of the clock, or is no UUIDv7; it is recorded
    "malformed",  # a message, or a part of one, that is no event
    "cursor_mismatch",  # the stream does not hold, where it was read last, what was read there
    "difference",  # the ledger and a producer's outbox differ in an event, or in those made in some time
]
EVIDENCE_BYTES_MAX = 64 * 1024  # of each; the first
# Open ones of a kind that anybody can bring about who reaches the broker; more are counted and logged.
OPEN_MAX = 1_000
SEEN_MAX = 10_000
DETAIL_MAX = 1_000  # characters
GAP_HEALED = "the missing numbers have arrived"
_BOUNDED = ("conflict", "id_reused", "unknown_source", "implausible_id", "malformed")
_FORGED = ("unknown", "other_bytes")  # differences of that sort; what is missing is healed, and so kept

RAISED = Counter("ledger_anomalies", "What was not as it has to be, repetitions too", ["kind"])
OPEN = Gauge("ledger_open_anomalies", "Anomalies that are not healed", ["kind"])


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """One that was noticed."""

    kind: Kind
    place: str  # with the kind: what it is about; raised once
    detail: str  # in words
    source: str | None = None
    lease_id: str | None = None
    first: int | None = None  # number of the source's events of the lease …
    last: int | None = None  # … and the last of them
    since: str | None = None  # id of an event: it is about those that were made from then on …
    until: str | None = None  # … and before this one
    event_id: str | None = None
    event_type: str | None = None
    differs: What | None = None  # of a difference in one event
    stream_offset: int | None = None
    evidence: bytes | None = None  # the bytes in question


class Alarms:
    """Raises anomalies, keeps them few, and counts those that are open."""

    def __init__(self) -> None:
        self._open: Counts[str] = Counts()
        self._forged = 0  # open differences of that sort
        self._seen: dict[tuple[str, str], None] = {}  # the last ones raised, so that a flood costs no writes

    @property
    def full(self) -> bool:
        """Whether there are so many open differences of forged events that further ones are only logged."""
        return self._forged >= OPEN_MAX

    async def refresh(self, connection: Connection | Pool) -> None:
        """Count anew what is open: others heal as well."""
        rows = await connection.fetch(queries.open_by_kind)
        self._open = Counts({row["kind"]: row["count"] for row in rows})
        self._forged = sum(row["forged"] for row in rows)
        for kind in get_args(Kind):
            OPEN.labels(kind).set(self._open[kind])

    async def raise_all(
        self, connection: Connection | Pool, found: Iterable[Anomaly], generation: int | None = None
    ) -> None:
        """Write down those that are new, in the transaction that they belong to."""
        kept: dict[tuple[str, str], Anomaly] = {}
        forged = 0
        for each in found:
            RAISED.labels(each.kind).inc()
            key: tuple[str, str] = (each.kind, each.place)
            if key in self._seen or key in kept:
                continue
            forged += each.differs in _FORGED
            too_many = each.kind in _BOUNDED and self._open[each.kind] + len(kept) >= OPEN_MAX
            if too_many or (each.differs in _FORGED and self._forged + forged > OPEN_MAX):
                self._see(key)
                log.error("ledger.anomaly_not_kept", kind=each.kind, place=each.place, detail=each.detail)
                continue
            kept[key] = each
        if not kept:
            return
        new = await connection.fetch(queries.raise_anomalies, *_columns(list(kept.values()), generation))
        for row in new:
            each = kept[row["kind"], row["place"]]
            self._open[each.kind] += 1
            self._forged += each.differs in _FORGED
            OPEN.labels(each.kind).set(self._open[each.kind])
            log.error("ledger.anomaly", kind=each.kind, detail=each.detail, **_where(each))
        for key in kept:
            self._see(key)

    def forget(self) -> None:
        """What was raised in a transaction may have been rolled back with it."""
        self._seen.clear()

    def _see(self, key: tuple[str, str]) -> None:
        self._seen[key] = None
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]


async def annotate(connection: Connection | Pool, anomaly_id: int, text: str, *, healed: bool) -> None:
    """Note what was learned of an anomaly; `healed` ends it."""
    await connection.execute(queries.note, anomaly_id, healed, text)
    event = "ledger.anomaly_healed" if healed else "ledger.anomaly_stays"
    log.warning(event, anomaly_id=anomaly_id, note=text)


async def heal_gaps(connection: Connection, rows: Sequence[tuple[str, str]]) -> None:
    """Note which gaps of these (lease, source) are filled; in the transaction that fills them."""
    leases, sources = zip(*rows, strict=True)
    for row in await connection.fetch(queries.heal_gaps, leases, sources, GAP_HEALED):
        log.warning("ledger.anomaly_healed", anomaly_id=row["anomaly_id"], note=GAP_HEALED)


async def count_open(pool: Pool) -> int:
    """How many anomalies are not healed."""
    return int(await pool.fetchval(queries.count_open))


def _where(each: Anomaly) -> dict[str, object]:
    fields = ("source", "lease_id", "first", "last", "event_id", "event_type", "differs", "stream_offset")
    return {name: value for name in fields if (value := getattr(each, name)) is not None}


def _printable(text: str) -> str:
    """As Postgres can keep it, however odd the message was that it quotes."""
    return text[:DETAIL_MAX].replace("\x00", "\\0").encode(errors="backslashreplace").decode()


def _columns(found: Sequence[Anomaly], generation: int | None) -> tuple[list[object], ...]:
    now = utcnow()
    return (
        [each.kind for each in found],
        [each.place for each in found],
        [now] * len(found),
        [_printable(each.detail) for each in found],
        [each.source for each in found],
        [each.lease_id for each in found],
        [each.first for each in found],
        [each.last for each in found],
        [each.since for each in found],
        [each.until for each in found],
        [each.event_id for each in found],
        [each.event_type for each in found],
        [each.differs for each in found],
        [generation] * len(found),
        [each.stream_offset for each in found],
        [None if each.evidence is None else each.evidence[:EVIDENCE_BYTES_MAX] for each in found],
    )
