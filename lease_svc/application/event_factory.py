"""The one place where an event of this service is made."""

from datetime import datetime
from typing import NamedTuple

import msgspec

from common.kernel.clock import rfc3339
from common.kernel.ids import uuid7
from common.messaging.envelope import Command, Event
from lease_svc.contracts.events import MAY_BE_SKIPPED, SOURCE
from lease_svc.domain.lease import Lease


class MessageContext(NamedTuple):
    """The message that an event follows from."""

    correlation_id: str  # the command at the start of it all
    causation_id: str  # the command or event right before
    traceparent: str | None

    @classmethod
    def of(cls, message: Command | Event) -> "MessageContext":
        """The context of what follows from `message`."""
        if isinstance(message, Command):
            return cls(message.command_id, message.command_id, message.traceparent)
        return cls(message.correlationid, message.id, message.traceparent)


def next_event(lease: Lease, type_: str, data: bytes, context: MessageContext, now: datetime) -> Event:
    """The next event of a lease, in the sequence that it counts; `data`: its JSON."""
    lease.event_sequence += 1
    return Event(
        id=uuid7(),
        source=SOURCE,
        type=type_,
        subject=lease.lease_id,
        time=rfc3339(now),
        sequence=lease.event_sequence,
        seensequence=lease.payment_sequence,
        correlationid=context.correlation_id,
        causationid=context.causation_id,
        traceparent=context.traceparent,
        mayskip=type_ in MAY_BE_SKIPPED or msgspec.UNSET,
        data=msgspec.Raw(data),
    )
