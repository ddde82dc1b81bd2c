"""One entry of the ledger: an event's exact bytes with the place and time at which they were recorded."""

from base64 import b64encode
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from common.kernel.clock import rfc3339


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a row of the ledger holds."""

    seq: int  # 1, 2, 3 … over the whole ledger, no gaps; the leaf's index in the tree is seq - 1
    event_id: str
    type: str
    source: str
    sequence: int  # 1, 2, 3 … per source and lease
    lease_id: str  # the event's subject
    occurred_at: datetime  # UTC, the event's own time
    recorded_at: datetime  # UTC, when the ledger took it in
    raw: bytes  # the event exactly as it was published
    leaf_hash: bytes  # 32 bytes, SHA-256(0x00 ‖ raw)


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as the HTTP contract shows it; encode it with `msgspec.json.encode`, alone or in a list."""

    seq: int
    event_id: str
    type: str
    source: str
    sequence: int
    occurred_at: Annotated[str, Meta(description="RFC 3339, UTC, microseconds")]
    recorded_at: Annotated[str, Meta(description="RFC 3339, UTC, microseconds")]
    data: Annotated[msgspec.Raw, Meta(description="the event's data, byte for byte")]
    leaf_hash: Annotated[str, Meta(description="lower-case hex")]
    raw: Annotated[str | UnsetType, Meta(description="base64 of the exact bytes, only when asked for")] = (
        UNSET
    )


class _DataOnly(msgspec.Struct):
    data: msgspec.Raw


_data_only = msgspec.json.Decoder(_DataOnly).decode


def data_bytes(entry: Entry) -> msgspec.Raw:
    """The `data` member of the event, exactly as it stands in its bytes."""
    return _data_only(entry.raw).data


def render(entry: Entry, *, include_raw: bool = False) -> EntryView:
    """The entry of the HTTP contract; its `data` is shown verbatim, so that nothing is re-written."""
    return EntryView(
        seq=entry.seq,
        event_id=entry.event_id,
        type=entry.type,
        source=entry.source,
        sequence=entry.sequence,
        occurred_at=rfc3339(entry.occurred_at),
        recorded_at=rfc3339(entry.recorded_at),
        data=data_bytes(entry),
        leaf_hash=entry.leaf_hash.hex(),
        raw=b64encode(entry.raw).decode("ascii") if include_raw else UNSET,
    )
