"""What the ledger's routes take and answer."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from common.kernel.clock import instant
from common.messaging.outbox_differences import What
from common.web.field_types import Identifier, Instant
from common.web.pagination import PageQuery
from common.web.problems.details import FieldError
from ledger_svc.accounting.totals import Amounts
from ledger_svc.contracts.entry import EntryView
from ledger_svc.log import repository
from ledger_svc.log.anomalies import Kind
from ledger_svc.views import point_in_time, timeline
from ledger_svc.views.point_in_time import Basis


class TrailQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of a lease's audit trail."""

    raw: Annotated[bool, Meta(description="with the event's exact bytes, base64")] = False


class EventsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of the whole ledger."""

    after_seq: Annotated[
        Annotated[int, Meta(ge=0, le=repository.END)] | None, Meta(description="instead of a cursor")
    ] = None
    lease_id: Annotated[Identifier | None, Meta(description="the lease, UUIDv7")] = None
    correlation_id: Annotated[Identifier | None, Meta(description="of what came of one command: its id")] = (
        None
    )
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

    as_of: Annotated[Instant | None, Meta(description="the day the payoff was reckoned for")] = None
    seq: Annotated[int, Meta(ge=0, le=repository.END)] | None = None
    basis: Annotated[Basis, Meta(description="which of an event's two times `as_of` is held against")] = (
        "occurred"
    )


def point_rules(right: Mapping[str, Any]) -> list[FieldError]:
    """What the types of Point cannot say, as far as its fields that are right (`right`) allow to ask."""
    if right.get("as_of") is not None:
        try:
            instant(right["as_of"])
        except ValueError as error:
            return [FieldError("/as_of", str(error))]
    if "as_of" in right and "seq" in right and (right["as_of"] is None) == (right["seq"] is None):
        words = "give exactly one of as_of and seq"
        return [FieldError("/as_of", words), FieldError("/seq", words)]
    return []


class AnomaliesQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of the anomalies."""

    status: Annotated[Literal["open", "healed"] | None, Meta(description="absent: both")] = None
    evidence: Annotated[bool, Meta(description="with the bytes in question, base64")] = False


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of a lease, oldest first."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    items: list[EntryView]
    next_cursor: str | None


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of the whole ledger, oldest first."""

    items: list[EntryView]
    next_cursor: str | None


class AnomalyNote(msgspec.Struct, frozen=True, kw_only=True):
    """What was learned of an anomaly afterwards."""

    noted_at: Annotated[str, Meta(description="RFC 3339")]
    note: str


class AnomalyView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it has to be."""

    anomaly_id: int
    kind: Annotated[Kind, Meta(description="what was to be collected, or taken back")]
    status: Annotated[Literal["open", "healed"], Meta(description="what became of it")]
    noticed_at: Annotated[str, Meta(description="RFC 3339")]
    healed_at: Annotated[str | None, Meta(description="RFC 3339")]
    detail: Annotated[str, Meta(description="in words")]
    source: str | None
    lease_id: Annotated[str | None, Meta(description="the lease, UUIDv7")]
    first_sequence: Annotated[
        int | None, Meta(description="it is about these numbers of the source's events of the lease")
    ]
    last_sequence: int | None
    since: Annotated[str | None, Meta(description="RFC 3339: or about events that were made from then on …")]
    until: Annotated[str | None, Meta(description="… and before this")]
    event_id: str | None
    event_type: str | None
    differs: Annotated[What | None, Meta(description="of a difference in one event: what is wrong with it")]
    generation: Annotated[
        int | None, Meta(description="of the stream in which it was seen: one more each time that is another")
    ]
    stream_offset: int | None
    evidence_bytes: Annotated[
        int | None, Meta(description="how many of the bytes in question are kept: the first 65536")
    ]
    notes: list[AnomalyNote]
    evidence: Annotated[str | UnsetType, Meta(description="base64, only when asked for")] = UNSET


class Anomalies(msgspec.Struct, frozen=True, kw_only=True):
    """Anomalies, newest first."""

    items: list[AnomalyView]
    next_cursor: str | None


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a lease, in words."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    items: list[timeline.Item]


class StateAtPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A lease as it was."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    as_of: Annotated[str | None, Meta(description="as asked")]
    basis: Basis
    seq: Annotated[int, Meta(description="of the last entry applied")]
    events_applied: int
    missing: Annotated[
        list[point_in_time.Missing],
        Meta(description="what the ledger did not have: the state is folded without"),
    ]
    state: point_in_time.Snapshot


class PaymentFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts by outcome."""

    succeeded: int
    declined: int
    unknown: Annotated[int, Meta(description="not resolved yet")]
    success_rate: Annotated[float | None, Meta(description="succeeded / (succeeded + declined)")]


class AmountFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one currency, minor units: billed = collected - refunded + outstanding + no_longer_owed."""

    billed: Annotated[
        int, Meta(description="all that was ever to be paid, by the leases' schedules and as late fees")
    ]
    collected: Annotated[int, Meta(description="all money taken")]
    refunded: Annotated[int, Meta(description="all money given back")]
    outstanding: Annotated[int, Meta(description="the sum of all balances")]
    no_longer_owed: Annotated[
        int,
        Meta(
            description="saved or waived by early payoffs, or of closed leases, less what came in for these"
        ),
    ]


def amount_figures(sums: Amounts) -> AmountFigures:
    """As the contract shows the totals of a currency."""
    return AmountFigures(
        billed=sums.billed,
        collected=sums.collected,
        refunded=sums.refunded,
        outstanding=sums.outstanding,
        no_longer_owed=sums.no_longer_owed,
    )


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What the whole ledger adds up to."""

    events_total: int
    leases_total: int
    last_seq: int
    events_by_type: dict[str, int]
    payments: PaymentFigures
    amounts: Annotated[dict[str, AmountFigures], Meta(description="by currency")]
    ingest_lag_ms: Annotated[float, Meta(description="from the last event's time to its recording")]
    tree_size: int
    root_hash: Annotated[str, Meta(description="lower-case hex")]
