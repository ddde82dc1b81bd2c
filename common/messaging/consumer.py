"""Consuming in batches: the callback only queues; the batch is processed, then acked with `multiple`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aiormq
import aiormq.abc
import structlog

from common.errors import Retry
from common.messaging import topology
from common.messaging.connection import maintain
from common.observability import metrics, trace_stamps
from common.runtime.backoff import Backoff
from common.runtime.pacing import Pacer

T = TypeVar("T")

log = structlog.get_logger()

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0


@dataclass(slots=True, eq=False)
class Delivery:
    """One message as it was delivered, with what is needed to settle it."""

    body: bytes
    tag: int
    redelivered: bool
    deliveries: int  # how often it was delivered before, as the queue counts
    content_type: str | None
    message_type: str | None
    message_id: str | None
    reply_to: str | None
    channel: aiormq.Channel
    received: int = 0  # a stamp of common.observability.trace_stamps
    later: bool = False  # the processor took over: it calls `ack` itself when the work is done

    async def ack(self) -> None:
        """Settle this delivery alone; silent where its channel is gone (it will be delivered again)."""
        try:
            await self.channel.basic_ack(self.tag, wait=False)
        except Exception as error:
            log.info("ack.lost", tag=self.tag, error=repr(error))

    async def reject(self, *, requeue: bool) -> None:
        """Give it back (counted by the queue) or, with `requeue=False`, straight to the dead letters."""
        await self.channel.basic_reject(self.tag, requeue=requeue, wait=False)


Process = Callable[[list[Delivery]], Awaitable[None]]


def offset_of(message: aiormq.abc.DeliveredMessage) -> int:
    """The message's offset in its stream; -1 where the broker gave none."""
    offset = (message.header.properties.headers or {}).get("x-stream-offset")
    return offset if isinstance(offset, int) else -1


class BatchConsumer:
    """Feeds what waits in one queue to `process`, until `batch_size` messages or `batch_bytes` are together.

    - `process` returns: all are acked, but for those it marked `later`.
    - it raises Retry: the same batch again, after a pause; no delivery is counted.
    - it raises anything else: one by one, so that one bad message hurts no other; what still fails is
      rejected, and dead-lettered by the queue after its delivery limit.
    """

    def __init__(
        self,
        url: str,
        queue: str,
        process: Process,
        *,
        batch_size: int = 100,
        batch_bytes: int = 256 * 1024,
        prefetch_count: int = 300,
        unprocessable: type[Exception] = ValueError,
        drained: Callable[[], Awaitable[None]] | None = None,
        pace_s: float = 0.0,
        set_aside: Callable[[Delivery], Awaitable[bool]] | None = None,
    ) -> None:
        self._url = url
        self._queue = queue
        self._process = process
        self._batch_size = batch_size
        self._batch_bytes = batch_bytes
        self._prefetch_count = prefetch_count
        self._unprocessable = unprocessable  # raised for what can never be processed: dead-lettered at once
        # For a `process` that marks deliveries `later`: returns when all those are settled.
        self._drained = drained
        self._pacer = Pacer(pace_s)
        # Called before a message goes to the dead letters; False: it cannot go yet.
        self._set_aside = set_aside
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Consume until `stop`, over as many connections as it takes."""
        await maintain(self._url, f"consume {self._queue}", self._serve)

    def stop(self) -> None:
        """Take no new batch; `run` returns when the one in hand is settled."""
        self._stopping.set()

    async def _serve(self, channel: aiormq.Channel) -> None:
        waiting: asyncio.Queue[Delivery] = asyncio.Queue()

        async def deliver(message: aiormq.abc.DeliveredMessage) -> None:
            properties = message.header.properties
            headers = properties.headers or {}
            count = headers.get("x-delivery-count", 0)
            waiting.put_nowait(
                Delivery(
                    body=message.body,
                    tag=message.delivery_tag or 0,
                    redelivered=bool(message.redelivered),
                    deliveries=count if isinstance(count, int) else 0,
                    content_type=properties.content_type,
                    message_type=properties.message_type,
                    message_id=properties.message_id,
                    reply_to=properties.reply_to,
                    channel=channel,
                    received=trace_stamps.now(),
                )
            )

        await channel.basic_qos(prefetch_count=self._prefetch_count)
        consuming = await channel.basic_consume(self._queue, deliver)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while batch := await self._next_batch(waiting, stopping):
                await self._settle(batch, channel)
        finally:
            stopping.cancel()
        if consuming.consumer_tag:
            await channel.basic_cancel(consuming.consumer_tag)
        if self._drained is not None:
            await self._drained()

    async def _next_batch(
        self, waiting: asyncio.Queue[Delivery], stopping: asyncio.Task[Any]
    ) -> list[Delivery]:
        if waiting.empty():
            getting: asyncio.Task[Any] = asyncio.ensure_future(waiting.get())
            try:
                await asyncio.wait([getting, stopping], return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not getting.done():
                    getting.cancel()
            batch = [getting.result()] if getting.done() and not getting.cancelled() else []
        else:
            batch = []
        if not self._stopping.is_set():
            await self._pacer.wait()
        if self._stopping.is_set():
            return []  # what was not begun is delivered again to somebody else
        size = sum(len(delivery.body) for delivery in batch)
        while len(batch) < self._batch_size and size < self._batch_bytes and not waiting.empty():
            batch.append(waiting.get_nowait())
            size += len(batch[-1].body)
        return batch

    async def _settle(self, batch: list[Delivery], channel: aiormq.Channel) -> None:
        try:
            await self._with_patience(batch)
        except Exception as error:
            if len(batch) == 1:
                await self._reject(batch[0], error)
                return
            log.warning("batch.failed", queue=self._queue, size=len(batch), error=repr(error))
            for delivery in batch:
                await self._settle([delivery], channel)
            return
        metrics.CONSUMED.labels(self._queue).inc(len(batch))
        metrics.BATCH_SIZE.labels(self._queue).observe(len(batch))
        if self._drained is not None:  # a multiple ack would settle what is still being worked on
            for delivery in batch:
                if not delivery.later:
                    await delivery.ack()
        else:
            await channel.basic_ack(batch[-1].tag, multiple=True, wait=False)

    async def _with_patience(self, batch: list[Delivery]) -> None:
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while True:
            try:
                return await self._process(batch)
            except Retry as error:
                log.warning("batch.waits", queue=self._queue, size=len(batch), error=repr(error.__cause__))
                await asyncio.sleep(backoff.next())

    async def _reject(self, delivery: Delivery, error: Exception) -> None:
        given_up = isinstance(error, self._unprocessable) or delivery.deliveries >= topology.GIVE_UP_AFTER
        metrics.REJECTED.labels(self._queue).inc()
        log.error(
            "message.failed",
            queue=self._queue,
            message_id=delivery.message_id,
            type=delivery.message_type,
            deliveries=delivery.deliveries + 1,
            dead_lettered=given_up,
            exc_info=error,
        )
        if given_up and self._set_aside is not None:
            given_up = await self._set_aside(delivery)
        await delivery.reject(requeue=not given_up)


async def one_by_one(process: Callable[[Sequence[T]], Awaitable[None]], parts: Sequence[T]) -> None:
    """All parts of a message that can be processed; then raises what the first other one raised."""
    failures: list[Exception] = []
    for part in parts:
        try:
            await process([part])
        except Retry:
            raise
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]
