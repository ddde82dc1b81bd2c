"""A plain AMQP client for the tests: to see what the code under test has done to the broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection


@asynccontextmanager
async def channel(amqp_url: str) -> AsyncIterator[AbstractChannel]:
    """A channel with confirms on a connection of its own."""
    connection = await aio_pika.connect(amqp_url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


class Watch:
    """Looks at queues over a connection that it keeps, and makes anew where the broker was away."""

    def __init__(self, amqp_url: str) -> None:
        self._amqp_url = amqp_url
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    async def depth(self, queue: str) -> int:
        """Messages that wait in the queue."""
        if self._connection is None or self._connection.is_closed:
            self._connection = await aio_pika.connect(self._amqp_url)
            self._channel = None
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._connection.channel()
        declared = await self._channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
