"""Projecting another service's events: a micro-batch in one transaction."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from common.errors import Retry, UnprocessableMessage
from common.messaging import outbox
from common.messaging.consumer import Delivery, one_by_one
from common.messaging.envelope import (
    EVENT_BATCH_CONTENT_TYPE,
    Event,
    decode_event,
    decode_event_batch,
)
from common.postgres.pool import Connection, Pool, transaction

# Under load, events are projected in bites: nobody waits for them with a request in hand.
EVENT_PACE_S = 0.05


class EventHandler(Protocol):
    """What applies another service's events: its unit of work."""

    async def project(self, connection: Connection, events: Sequence[Event]) -> list[Event]:
        """Apply another service's events, in order; returns the events that follow from them.

        Repeats are recognised by `sequence` and change nothing.
        """


class EventProcessor:
    """Projects batches of another service's events in one transaction each."""

    def __init__(self, pool: Pool, unit: EventHandler, committed: Callable[[], None]) -> None:
        self._pool = pool
        self._unit = unit
        self._committed = committed

    async def __call__(self, batch: list[Delivery]) -> None:
        try:
            events = [event for delivery in batch for event in _events(delivery)]
        except msgspec.DecodeError as error:
            raise UnprocessableMessage(str(error)) from error
        try:
            await self._project(events)
        except Retry:
            raise
        except Exception:
            if len(batch) > 1 or len(events) == 1:
                raise
            await one_by_one(self._project, events)

    async def _project(self, events: Sequence[Event]) -> None:
        async with transaction(self._pool) as connection:
            await outbox.append(connection, await self._unit.project(connection, events))
        self._committed()


def _events(delivery: Delivery) -> list[Event]:
    if delivery.content_type == EVENT_BATCH_CONTENT_TYPE:
        return decode_event_batch(delivery.body)
    return [decode_event(delivery.body)]
