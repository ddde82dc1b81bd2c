"""From messages of the stream to events; what is none is an anomaly, and the log goes on with the others."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import aiormq.abc

from common.kernel.ids import canonical_uuid
from common.messaging.consumer import offset_of
from common.messaging.envelope import split_events
from ledger_svc.contracts import envelope
from ledger_svc.contracts.envelope import NOT_AN_EVENT, Event, MalformedEvent
from ledger_svc.event_types import registry
from ledger_svc.log.anomalies import Anomaly
from ledger_svc.transparency.merkle_tree import leaf_hash

MAX_BODY_BYTES = 16 * 1024 * 1024  # of one message; the largest event (520 instalments) has about 100 KB

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


def split(body: bytes, content_type: str) -> list[bytes]:
    """The exact bytes (what is hashed and kept) of each event of one broker message, to be decoded singly.

    MalformedEvent where the body is too long, of another content type, or no array of JSON values.
    """
    if len(body) > MAX_BODY_BYTES:
        raise MalformedEvent(f"{len(body)} bytes, more than {MAX_BODY_BYTES}")
    try:
        return split_events(body, content_type)
    except (*NOT_AN_EVENT, ValueError) as error:
        raise MalformedEvent(str(error)) from error


def read(messages: Iterable[aiormq.abc.DeliveredMessage]) -> tuple[list[Read], list[Anomaly]]:
    """The events of messages, in order, and what is malformed."""
    found: list[Read] = []
    malformed: list[Anomaly] = []
    for message in messages:
        offset = offset_of(message)
        try:
            parts = split(message.body, message.header.properties.content_type or "")
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
    if event.type in registry.TYPES:
        registry.data_of(event)
    return event


def _malformed(offset: int, raw: bytes, error: MalformedEvent) -> Anomaly:
    return Anomaly(
        kind="malformed",
        place=leaf_hash(raw).hex(),  # the same bytes raise one alarm, wherever they come again
        detail=f"this is no event: {error}",
        stream_offset=offset,
        evidence=raw,
    )
