"""Publishing what the outbox holds: one relay of a service at a time, in order for each lease."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from common.errors import BrokerUnavailable
from common.messaging import outbox, topology
from common.messaging.envelope import (
    EVENT_BATCH_CONTENT_TYPE,
    EVENT_CONTENT_TYPE,
    decode_event,
)
from common.messaging.publisher import Publisher
from common.observability import metrics, trace_stamps
from common.postgres import leader_election
from common.postgres.pool import Connection, Pool, session
from common.runtime.backoff import Backoff
from common.runtime.pacing import Pacer

log = structlog.get_logger()

BATCH_SIZE = 500
PACE_S = 0.04
# Under load, events of one type share a message (CloudEvents' batched content mode): the broker's and its
# clients' work is by the message.
EVENTS_WORTH_A_BATCH = 8
EVENTS_PER_MESSAGE_MAX = 100
MESSAGE_BYTES_MAX = 256 * 1024
POLL_EVERY_S = 0.1  # the backstop, for what other workers committed
REFUSED_PAUSE_S = 0.1  # doubled for each round in which something was not confirmed
REFUSED_PAUSE_MAX_S = 5.0
LEADS = "outbox"  # the duty that one relay of a service has
PRUNE_EVERY_S = 600.0

# Forgets one bounded bite of what is too old, and gives whether there may be more of it.
Prune = Callable[[Connection], Awaitable[bool]]


class Relay:
    """Publishes what the outbox holds, in order for each lease; the leader of all relays of a service.

    Leadership is an advisory lock on the connection that reads and marks. A relay that lost it may still
    publish what it had read: those are repeats, which every consumer recognises, and never run ahead.
    """

    def __init__(self, service: str, pool: Pool, publisher: Publisher, *also_prune: Prune) -> None:
        """`also_prune`: forget what grows old in this service alone."""
        self._service = service
        self._prunes = (outbox.prune, *also_prune)
        self._pool = pool
        self._publisher = publisher
        self._wake = asyncio.Event()
        self._pacer = Pacer(PACE_S)

    def wake(self) -> None:
        """There is something new: to be called after a commit."""
        self._wake.set()

    async def run(self) -> None:
        """Relay until cancelled."""
        while True:
            try:
                async with session(self._pool) as connection:
                    await leader_election.stand_by(connection, LEADS)
                    log.info("relay.leads", service=self._service)
                    await self._lead(connection)
            except Exception as error:
                log.warning("relay.interrupted", service=self._service, error=repr(error))
                await asyncio.sleep(leader_election.STANDBY_POLL_S)

    async def _lead(self, connection: Connection) -> None:
        pruned_at = 0.0
        refused = Backoff(REFUSED_PAUSE_S, REFUSED_PAUSE_MAX_S)
        loop = asyncio.get_running_loop()
        while True:
            await self._pacer.wait()
            self._wake.clear()
            rows = await connection.fetch(outbox.queries.pending_events, BATCH_SIZE)
            if rows:
                _stamp(rows, "relay.picked")
                published = await self._publish_in_waves(rows)
                await connection.execute(outbox.queries.published_events, published)
                metrics.RELAYED.labels(self._service).inc(len(published))
                if len(published) < len(rows):
                    # a full queue refuses what others, the stream too, have taken: each try is a repeat there
                    await asyncio.sleep(refused.next())
                else:
                    refused.reset()
            if len(rows) < BATCH_SIZE:
                metrics.OUTBOX_PENDING.labels(self._service).set(0)
                if loop.time() - pruned_at > PRUNE_EVERY_S and not await self._prune(connection):
                    pruned_at = loop.time()
                await self._wait()
            else:
                metrics.OUTBOX_PENDING.labels(self._service).set(
                    await connection.fetchval(outbox.queries.count_pending)
                )

    async def _prune(self, connection: Connection) -> bool:
        return any([await each(connection) for each in self._prunes])

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_EVERY_S):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _publish_in_waves(self, rows: Sequence[Any]) -> list[int]:
        """Ids of what the broker has confirmed.

        A wave holds one event of each lease at most: the next is sent when the one before it is safe,
        and a lease whose publish failed waits for the next round without holding up the others.
        """
        by_lease: dict[str, list[Any]] = {}
        for row in rows:
            by_lease.setdefault(row["lease_id"], []).append(row)
        published: list[int] = []
        while by_lease:
            messages = _messages([events.pop(0) for events in by_lease.values()])
            done = await asyncio.gather(*map(self._publish, messages))
            for message, confirmed in zip(messages, done, strict=True):
                for row in message:
                    if confirmed:
                        published.append(row["id"])
                    if not confirmed or not by_lease[row["lease_id"]]:
                        del by_lease[row["lease_id"]]
        return published

    async def _publish(self, rows: Sequence[Any]) -> bool:
        first = rows[0]
        many = len(rows) > 1
        try:
            await self._publisher.publish(
                b"[%s]" % b",".join(row["body"] for row in rows) if many else first["body"],
                exchange=topology.EVENTS,
                routing_key=first["type"],
                message_id=first["event_id"],
                message_type=first["type"],
                content_type=EVENT_BATCH_CONTENT_TYPE if many else EVENT_CONTENT_TYPE,
            )
        except BrokerUnavailable as error:
            log.warning("relay.not_confirmed", event_id=first["event_id"], error=str(error))
            return False
        _stamp(rows, "stream.published")
        return True


def _stamp(rows: Sequence[Any], point: str) -> None:
    for row in rows if trace_stamps.on() else ():
        trace_stamps.stamp(decode_event(row["body"]).traceparent, point)


def _messages(rows: Sequence[Any]) -> list[list[Any]]:
    """Rows of different leases as messages: one each, or under load several of one type together."""
    by_type: dict[str, list[Any]] = {}
    for row in rows:
        by_type.setdefault(row["type"], []).append(row)
    messages = []
    for same in by_type.values():
        if len(same) < EVENTS_WORTH_A_BATCH:
            messages += [[row] for row in same]
            continue
        size = 0
        messages.append([])
        for row in same:
            size += len(row["body"])
            if messages[-1] and (size > MESSAGE_BYTES_MAX or len(messages[-1]) == EVENTS_PER_MESSAGE_MAX):
                messages.append([])
                size = len(row["body"])
            messages[-1].append(row)
    return messages
