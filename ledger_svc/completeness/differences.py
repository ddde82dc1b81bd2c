"""Events in which the ledger and an outbox differ: by name, in words, and as anomalies."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import structlog

from common.kernel.clock import rfc3339
from common.kernel.ids import born
from common.messaging.outbox_differences import What
from common.messaging.outbox_reconciliation import Window
from ledger_svc.log.anomalies import Anomaly

log = structlog.get_logger()

NAMED_MAX = 100  # events of a window that are missing, each an anomaly of its own; of more, one for all
_WORDS: dict[What, str] = {
    "missing": "the outbox has it, the ledger does not",
    "unknown": "the ledger has it, the outbox of its producer does not: it was never published",
    "other_bytes": "the outbox has other bytes under this id than the ledger",
}


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """An event in which the ledger and its producer's outbox differ."""

    differs: What
    event_id: str
    event_type: str
    source: str
    lease_id: str
    sequence: int  # of the source's events of the lease
    seq: int | None  # of the ledger's entry; None: it has none


def place_of(each: Difference) -> str:
    """What identifies the anomaly of a difference: it is raised once."""
    return f"{each.source} {each.event_id} {each.differs}"


def words(each: Difference) -> str:
    """The event and what is wrong with it, for people."""
    entry = "" if each.seq is None else f"entry {each.seq}, "
    what = f"{entry}event {each.event_id}, {each.event_type}, number {each.sequence} of {each.source}"
    return f"{what} of lease {each.lease_id}: {_WORDS[each.differs]}"


def anomaly(each: Difference) -> Anomaly:
    """The anomaly of one event."""
    return Anomaly(
        kind="difference",
        place=place_of(each),
        detail=words(each),
        source=each.source,
        lease_id=each.lease_id,
        first=each.sequence,
        last=each.sequence,
        event_id=each.event_id,
        event_type=each.event_type,
        differs=each.differs,
    )


def anomalies(source: str, window: Window, differences: Sequence[Difference]) -> list[Anomaly]:
    """Those of a window that has come to rest: one for each event, but where very many are missing."""
    missing = [each for each in differences if each.differs == "missing"]
    if len(missing) <= NAMED_MAX:
        return [anomaly(each) for each in differences]
    for each in missing:
        log.warning("reconciler.missing", **msgspec.structs.asdict(each))
    return [
        *(anomaly(each) for each in differences if each.differs != "missing"),
        _of_window(source, window, missing),
    ]


def _of_window(source: str, window: Window, missing: Sequence[Difference]) -> Anomaly:
    # Not all of the window: its beginning may be where the outbox begins to forget.
    since = min(each.event_id for each in missing)
    made = f"made from {_shown(since)} up to {_shown(window.until)}"
    return Anomaly(
        kind="difference",
        # With the digest: what is missing in another way later is another anomaly.
        place=f"{source} {window.since} {window.until} {window.digest} {len(missing)}",
        detail=f"the ledger lacks {len(missing)} events of {source} {made}; the first: {words(missing[0])}",
        source=source,
        since=since,
        until=window.until,
    )


def time_of(event_id: str) -> datetime:
    """When a UUIDv7 was made; 1970 for one that does not say."""
    return born(event_id) or datetime.fromtimestamp(0, UTC)


def _shown(event_id: str) -> str:
    return rfc3339(time_of(event_id))
