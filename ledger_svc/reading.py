"""From a message of the stream to its events; what is none is named, and the others are read on."""

from collections.abc import Iterable
from dataclasses import dataclass

import aiormq.abc

from common.ids import canonical_uuid
from ledger_svc import events
from ledger_svc.events import Event, MalformedEvent

Place = tuple[str, str, int]  # lease, source, number


@dataclass(slots=True)
class Read:
    """One event of the stream."""

    offset: int
    event: Event
    raw: bytes

    @property
    def place(self) -> Place:
        """Where it stands in its source's sequence."""
        return self.event.subject, self.event.source, self.event.sequence


def offset_of(message: aiormq.abc.DeliveredMessage) -> int:
    """The message's place in the stream."""
    offset = (message.header.properties.headers or {}).get("x-stream-offset")
    return offset if isinstance(offset, int) else -1


def read(messages: Iterable[aiormq.abc.DeliveredMessage]) -> tuple[list[Read], list[str]]:
    """The events of messages, in order, and what is malformed, in words."""
    found: list[Read] = []
    malformed: list[str] = []
    for message in messages:
        offset = offset_of(message)
        try:
            parts = events.split(message.body, message.header.properties.content_type or "")
        except MalformedEvent as error:
            malformed.append(str(error))
            continue
        for raw in parts:
            try:
                found.append(Read(offset, _checked(events.decode(raw)), raw))
            except MalformedEvent as error:
                malformed.append(str(error))
    return found, malformed


def _checked(event: Event) -> Event:
    """The event, if all that the log keeps of it is right. Raises MalformedEvent."""
    if canonical_uuid(event.id) != event.id or canonical_uuid(event.subject) != event.subject:
        raise MalformedEvent("id and subject must be UUIDs")
    if event.type in events.TYPES:
        events.data_of(event)
    return event
