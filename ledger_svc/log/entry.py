"""How an event becomes an entry of the log."""

from datetime import datetime

import msgspec

from common.kernel.ids import canonical_uuid
from ledger_svc.contracts.entry import Entry
from ledger_svc.contracts.envelope import Event
from ledger_svc.transparency.merkle_tree import leaf_hash


def seal(event: Event, raw: bytes, *, seq: int, recorded_at: datetime) -> Entry:
    """The entry of an event whose exact bytes are `raw`, with its leaf hash."""
    return Entry(
        seq=seq,
        event_id=event.id,
        type=event.type,
        source=event.source,
        sequence=event.sequence,
        lease_id=event.subject,
        occurred_at=event.time,
        recorded_at=recorded_at,
        raw=raw,
        leaf_hash=leaf_hash(raw),
    )


class _Correlation(msgspec.Struct):
    correlationid: str | None = None


_correlation = msgspec.json.Decoder(_Correlation).decode


def correlation_of(raw: bytes) -> str | None:
    """The correlation id of an event, in lower case; None where it has none, or none that is a UUID.

    The ledger's schema has the same function.
    """
    return canonical_uuid(_correlation(raw).correlationid or "")
