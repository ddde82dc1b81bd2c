"""What the ledger's routes take and answer."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from common.http.cursor import Limit, PageQuery
from ledger_svc import reconstruct, store, timeline
from ledger_svc.entry import EntryView
from ledger_svc.reconstruct import Basis
from ledger_svc.totals import Amounts


class TrailQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of a lease's audit trail."""

    raw: bool = False  # with the event's exact bytes, base64


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of the whole ledger."""

    after_seq: Annotated[int, Meta(ge=0, le=store.END)] = 0
    limit: Limit = 50
    type: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    raw: bool = False


class EventQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of one event."""

    raw: bool = False


class ExportQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of an export."""

    format: Literal["json", "ndjson", "csv"] = "json"


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of state-at-point: a time or a number of the ledger."""

    as_of: Annotated[datetime, Meta(tz=True)] | None = None
    seq: Annotated[int, Meta(ge=0, le=store.END)] | None = None
    basis: Basis = "occurred"  # which of an event's two times `as_of` is held against


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of a lease, oldest first."""

    lease_id: str
    items: list[EntryView]
    next_cursor: str | None


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of the whole ledger, oldest first."""

    items: list[EntryView]
    next_cursor: str | None


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a lease, in words."""

    lease_id: str
    items: list[timeline.Item]


class StateAtPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A lease as it was."""

    lease_id: str
    as_of: str | None  # as asked
    basis: Basis
    seq: int  # of the last entry applied
    events_applied: int
    state: reconstruct.Snapshot


class PaymentFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts by outcome."""

    succeeded: int
    declined: int
    unknown: int  # not resolved yet
    success_rate: float | None  # succeeded / (succeeded + declined)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What the whole ledger adds up to."""

    events_total: int
    leases_total: int
    last_seq: int
    events_by_type: dict[str, int]
    payments: PaymentFigures
    amounts: dict[str, Amounts]  # by currency, minor units
    ingest_lag_ms: float  # from the last event's time to its recording
    tree_size: int
    root_hash: str  # lower-case hex
