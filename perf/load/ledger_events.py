"""Events to put before the ledger's writer: attempts on a lease, declined one after the other.

They are what the payment service would tell, so they pass every check of the ledger, and move no balance.
They are published into the ledger's stream alone: the other services would have to know the lease.
"""

import msgspec

from common.kernel.clock import rfc3339, utcnow
from common.kernel.ids import payment_id, uuid7
from common.messaging import topology
from common.messaging.envelope import EVENT_CONTENT_TYPE, Event, encode
from common.messaging.publisher import Publisher

SOURCE = "/payment-svc"
_DECLINE = {"code": "insufficient_funds", "class": "soft", "advice": "retry_later", "retry_at": None}


def attempts(lease_id: str, count: int) -> list[Event]:
    """The lease's first `count` events of the payment service: started, declined, started, declined …"""
    events: list[Event] = []
    while len(events) < count:
        command_id = uuid7()
        attempt = {
            "attempt_id": uuid7(),
            "payment_id": payment_id(lease_id, 1),
            "number": 1,
            "lease_id": lease_id,
            "kind": "instalment",
            "amount": 10_000,
            "currency": "USD",
            "payment_method": "pm_card_insufficient_funds",
        }
        for type_, data in (
            ("payment.attempt_started", attempt),
            ("payment.declined", attempt | {"decline": _DECLINE}),
        ):
            event = Event(
                id=uuid7(),
                source=SOURCE,
                type=type_,
                subject=lease_id,
                time=rfc3339(utcnow()),
                sequence=len(events) + 1,
                correlationid=command_id,
                causationid=command_id,
                data=msgspec.Raw(encode(data)),
            )
            events.append(event)
    return events[:count]


async def publish(publisher: Publisher, event: Event) -> None:
    """Return once the broker has the event safe. Raises BrokerUnavailable, BrokerFull."""
    await publisher.publish(
        encode(event),
        exchange="",  # straight into the queue of that name
        routing_key=topology.LEDGER_STREAM,
        message_id=event.id,
        message_type=event.type,
        content_type=EVENT_CONTENT_TYPE,
    )
