"""Which events of another service a reader may pass over.

A producer adds event types without asking its readers. It marks those that change nothing for a reader who
does not know them (`mayskip`); a type without the mark has to be understood.
"""

from collections.abc import Collection, Mapping
from typing import TypeVar

from prometheus_client import Counter

from common.messaging.envelope import Event

H = TypeVar("H")

SKIPPED = Counter("skipped_events", "Events that may be skipped and have no handler", ["type"])


class UnknownEventType(ValueError):
    """An event that has to be understood has a type without a handler."""


def handler_of(
    handlers: Mapping[str, H], event: Event, *, unmarked: Collection[str] = frozenset()
) -> H | None:
    """The handler of an event's type; None, which is counted, where there is none and it may be skipped.

    `unmarked`: types that may be skipped though older events of theirs have no mark. Raises UnknownEventType.
    """
    handler = handlers.get(event.type)
    if handler is None:
        if event.mayskip is not True and event.type not in unmarked:
            raise UnknownEventType(f"unknown event {event.type} (event {event.id})")
        SKIPPED.labels(event.type).inc()
    return handler
