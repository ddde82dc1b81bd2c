"""Reading the stream again, from a place to a place, on a plain connection that only consumes.

Source of the peculiarities: RabbitMQ's streams over AMQP 0-9-1. Prefetch and acks are required, acks are
credit; offsets that do not exist are clamped without a word; an instant means the beginning of a chunk; and
nobody says where the stream ends, for the broker's own count of messages is seconds old.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple, cast

import aio_pika
import aiormq
import aiormq.abc
from aio_pika.abc import AbstractConnection

from common.messaging import topology
from common.messaging.consumer import offset_of
from common.replay.bounds import Unreadable

Message = aiormq.abc.DeliveredMessage

CONNECT_WITHIN_S = 10.0
PREFETCH_COUNT = 200  # messages of at most some hundred KB, so memory is bounded
AT_ONCE = 200
QUIET_S = 30.0  # with nothing delivered, where something has to come …
NOTHING_SINCE_S = 5.0  # … or where perhaps nothing was published since an instant
EMPTY_S = 2.0  # until a stream counts as empty that the broker counts no messages in
SETTLED_S = 0.3  # with nothing delivered after the last chunk: that was its end
SETTLED_MAX_S = 3.0  # … or so long, while more is published all the time


class Extent(NamedTuple):
    """What a stream holds: offsets, both included."""

    first: int
    last: int


class Stream:
    """A stream to be read again."""

    def __init__(self, connection: AbstractConnection, name: str) -> None:
        self._connection = connection
        self._name = name

    async def extent(self) -> Extent | None:
        """What it holds now; None where it is empty. Raises Unreadable where there is no such stream."""
        try:
            async with self._connection.channel(publisher_confirms=False) as channel:
                underlay = await channel.get_underlay_channel()
                declared = await underlay.queue_declare(self._name, passive=True)
        except aiormq.exceptions.ChannelNotFoundEntity:
            raise Unreadable(f"the broker has no stream {self._name}") from None
        patience_s = QUIET_S if declared.message_count else EMPTY_S
        async with self._consuming("first") as waiting:
            first = await _next(waiting, patience_s)
        if first is None:
            return None
        return Extent(offset_of(first), await self._last())

    async def read(self, start: int | datetime | None, last: int) -> AsyncIterator[list[Message]]:
        """Messages from `start` (None: the first) to offset `last`, some at a time.

        The first may have a higher offset than was asked for: the stream begins there. From an instant on,
        there may be nothing. Raises Unreadable where the broker stops delivering before `last`.
        """
        reached = -1
        patience_s = NOTHING_SINCE_S if isinstance(start, datetime) else QUIET_S
        async with self._consuming("first" if start is None else start) as waiting:
            while reached < last:
                first = await _next(waiting, patience_s)
                if first is None and reached < 0 and isinstance(start, datetime):
                    return
                if first is None:
                    raise Unreadable(f"the broker has delivered nothing more after offset {reached}")
                patience_s = QUIET_S
                messages = [first]
                while len(messages) < AT_ONCE and not waiting.empty():
                    messages.append(waiting.get_nowait())
                reached = offset_of(messages[-1])
                wanted = [message for message in messages if offset_of(message) <= last]
                if wanted:
                    yield wanted
                await waiting.ack(messages[-1])

    async def _last(self) -> int:
        """The offset of the last message. "last" delivers from the beginning of the last chunk on."""
        found = -1
        deadline = asyncio.get_running_loop().time() + SETTLED_MAX_S
        async with self._consuming("last") as waiting:
            patience_s = QUIET_S
            while message := await _next(waiting, patience_s):
                found = offset_of(message)
                await waiting.ack(message)
                patience_s = min(SETTLED_S, max(0.0, deadline - asyncio.get_running_loop().time()))
        return found

    @asynccontextmanager
    async def _consuming(self, start: str | int | datetime) -> AsyncIterator["_Waiting"]:
        # The channel ends with the block, and with it the consumer and what it still has coming.
        async with self._connection.channel(publisher_confirms=False) as channel:
            underlay = cast(aiormq.Channel, await channel.get_underlay_channel())
            waiting = _Waiting(underlay)

            async def deliver(message: Message) -> None:
                waiting.put_nowait(message)

            await underlay.basic_qos(prefetch_count=PREFETCH_COUNT)
            await underlay.basic_consume(self._name, deliver, arguments={"x-stream-offset": start})
            yield waiting


class _Waiting(asyncio.Queue[Message]):
    """What a consumer was delivered and nobody has looked at yet."""

    def __init__(self, channel: aiormq.Channel) -> None:
        super().__init__()
        self.channel = channel

    async def ack(self, message: Message) -> None:
        """Give the broker credit for all up to this one."""
        await self.channel.basic_ack(message.delivery_tag or 0, multiple=True, wait=False)


@asynccontextmanager
async def opened(amqp_url: str, name: str = topology.LEDGER_STREAM) -> AsyncIterator[Stream]:
    """The stream of that name; nothing is declared. Raises Unreadable where the broker cannot be reached."""
    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            connection = await aio_pika.connect(amqp_url, client_properties={"connection_name": "replay"})
    except (OSError, TimeoutError, aio_pika.exceptions.AMQPError) as error:
        raise Unreadable(f"the broker cannot be reached: {error!r}") from error
    try:
        yield Stream(connection, name)
    finally:
        await connection.close()


async def _next(waiting: _Waiting, within_s: float) -> Message | None:
    """The next message; None where none comes in time. Raises Unreadable where the connection is lost."""
    if not waiting.empty():
        return waiting.get_nowait()
    getting: asyncio.Future[Any] = asyncio.ensure_future(waiting.get())
    closing = waiting.channel.closing
    try:
        await asyncio.wait([getting, closing], timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return cast(Message, getting.result())
    finally:
        getting.cancel()
    if closing.done():
        raise Unreadable("the connection to the broker was lost; begin again")
    return None
