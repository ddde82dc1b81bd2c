"""From messages of the stream to events; what is none is an anomaly, and the log goes on with the others."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import aiormq.abc

from common.kernel.ids import canonical_uuid
from common.messaging.stream_offsets import offset_of
from ledger_svc.contracts import envelope
from ledger_svc.contracts.envelope import Event, MalformedEvent
from ledger_svc.log.anomalies import Anomaly
from ledger_svc.transparency.merkle_tree import leaf_hash

Row = tuple[str, str]  # lease, source: what has numbers of its own
Place = tuple[str, str, int]  # lease, source, number


@dataclass(slots=True)
class Read:
    """One event of the stream."""

    offset: int
    event: Event
    raw: bytes
    row: Row = field(init=False)  # whose sequence it stands in …
    place: Place = field(init=False)  # … and where

    def __post_init__(self) -> None:
        self.row = self.event.subject, self.event.source
        self.place = *self.row, self.event.sequence


def read(messages: Iterable[aiormq.abc.DeliveredMessage]) -> tuple[list[Read], list[Anomaly]]:
    """The events of messages, in order, and what is malformed."""
    found: list[Read] = []
    malformed: list[Anomaly] = []
    for message in messages:
        offset = offset_of(message)
        try:
            parts = envelope.split(message.body, message.header.properties.content_type or "")
        except MalformedEvent as error:
            malformed.append(_malformed(offset, message.body, error))
            continue
        for raw in parts:
            try:
                found.append(Read(offset, _checked(envelope.decode(raw)), raw))
            except MalformedEvent as error:
                malformed.append(_malformed(offset, raw, error))
    return found, malformed


def _checked(event: Event) -> Event:
    """The event, if all that the log keeps of it is right. Raises MalformedEvent."""
    if canonical_uuid(event.id) != event.id or canonical_uuid(event.subject) != event.subject:
        raise MalformedEvent("id and subject must be UUIDs")
    if event.type in envelope.TYPES:
        envelope.data_of(event)
    return event


def _malformed(offset: int, raw: bytes, error: MalformedEvent) -> Anomaly:
    return Anomaly(
        kind="malformed",
        place=leaf_hash(raw).hex(),  # the same bytes are told of once, wherever they come again
        detail=f"this is no event: {error}",
        stream_offset=offset,
        evidence=raw,
    )
