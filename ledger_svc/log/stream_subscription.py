"""Reading the stream: from the cursor, inclusive, and only if it is the stream that was read before.

Source of the peculiarities: RabbitMQ's streams over AMQP 0-9-1. An offset that does not exist any more is
clamped to the first that does, one beyond the end is waited for, both without a word; and after a loss of
data the same offsets can stand for other messages. So the event of the cursor has to come first.
"""

import asyncio

import aiormq
import aiormq.abc

from common.messaging import topology
from common.messaging.consumer import offset_of
from common.observability import trace_stamps
from common.runtime.pacing import Pacer
from ledger_svc.log.message_decoder import read
from ledger_svc.log.stream_position import Cursor

BATCH_SIZE = 500
BATCH_BYTES = 8 * 1024 * 1024
PREFETCH_COUNT = 200  # acks are the stream's credit
FIRST_WITHIN_S = 10.0


class Stream:
    """The ledger's stream on one channel."""

    def __init__(self, channel: aiormq.Channel) -> None:
        self._channel = channel
        self._waiting: asyncio.Queue[aiormq.abc.DeliveredMessage] = asyncio.Queue()

    async def resume(self, cursor: Cursor) -> str | None:
        """Consume from the cursor on. Where that cannot be: why, in words, and nothing is consumed."""
        if cursor.stream_offset < 0:
            await self.begin()
            return None
        tag = await self._consume(cursor.stream_offset)
        try:
            async with asyncio.timeout(FIRST_WITHIN_S):
                first = await self._waiting.get()
        except TimeoutError:
            reason = f"it is empty, or ends before: nothing came within {FIRST_WITHIN_S:.0f} s"
        else:
            await self.ack(first)
            if (offset := offset_of(first)) != cursor.stream_offset:
                reason = f"it does not hold that offset, the next one is {offset}"
            elif any(each.event.id == cursor.event_id for each in read([first])[0]):
                return None
            else:
                reason = "another message is there"
        await self._channel.basic_cancel(tag)
        return reason

    async def begin(self) -> None:
        """Consume from the beginning of what is there."""
        await self._consume("first")

    async def batch(self, pacer: Pacer) -> list[aiormq.abc.DeliveredMessage]:
        """The next messages, within bounds: the first is waited for, and taken when `pacer` lets go."""
        messages = [await self._waiting.get()]
        await pacer.wait()
        size = len(messages[0].body)
        while len(messages) < BATCH_SIZE and size < BATCH_BYTES and not self._waiting.empty():
            messages.append(self._waiting.get_nowait())
            size += len(messages[-1].body)
        return messages

    async def ack(self, last: aiormq.abc.DeliveredMessage) -> None:
        """Give the broker credit for what was read, up to and with `last`."""
        await self._channel.basic_ack(last.delivery_tag or 0, multiple=True, wait=False)

    async def _consume(self, offset: int | str) -> str:
        waiting: asyncio.Queue[aiormq.abc.DeliveredMessage] = asyncio.Queue()
        self._waiting = waiting  # nothing of another consumer's

        async def deliver(message: aiormq.abc.DeliveredMessage) -> None:
            for each in read([message])[0] if trace_stamps.on() else ():
                trace_stamps.stamp(each.event.traceparent, "ledger.delivered")
            waiting.put_nowait(message)

        await self._channel.basic_qos(prefetch_count=PREFETCH_COUNT)
        consuming = await self._channel.basic_consume(
            topology.LEDGER_STREAM, deliver, arguments={"x-stream-offset": offset}
        )
        return str(consuming.consumer_tag)
