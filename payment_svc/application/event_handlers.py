"""What the lease service's events bring to this service."""

from collections.abc import Callable

import msgspec

from common.messaging.envelope import Event
from common.messaging.tolerant_reader import handler_of
from payment_svc.contracts.events import LeaseCreated
from payment_svc.domain import lease_closing
from payment_svc.domain.attempt import Closed

# What was paid or given back is known here first. Events of before have no mark that they may be skipped.
SKIPPED_UNMARKED = frozenset({"lease.paid_off", "lease.reopened"})

decode_created = msgspec.json.Decoder(LeaseCreated).decode


class News:
    """What a batch of events brings."""

    def __init__(self) -> None:
        self.created: list[LeaseCreated] = []
        self.closed: dict[str, Closed] = {}


def lease_created(news: News, event: Event) -> None:
    """An account with its payments."""
    news.created.append(decode_created(event.data))


def lease_closed(news: News, event: Event) -> None:
    """Nothing more is collected."""
    news.closed[event.subject] = lease_closing.HOW[event.type]


EVENTS: dict[str, Callable[[News, Event], None]] = {
    "lease.created": lease_created,
    "lease.cancelled": lease_closed,
    "lease.charged_off": lease_closed,
}


def handler(event: Event) -> Callable[[News, Event], None] | None:
    """Of an event's type; None where it changes nothing here. Raises UnknownEventType."""
    return handler_of(EVENTS, event, unmarked=SKIPPED_UNMARKED)
