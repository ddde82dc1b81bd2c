"""A plain AMQP client for the tests: to see what the code under test has done to the broker."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aiormq.exceptions import AMQPError
from pamqp.common import FieldTable

from common.kernel.ids import uuid7
from common.messaging import topology
from common.runtime.tasks import cancel_and_wait
from deployment.local.native import rabbitmq, server_binaries
from deployment.local.settings import Settings
from tests.support.servers.servers import Servers


@asynccontextmanager
async def channel(amqp_url: str) -> AsyncIterator[AbstractChannel]:
    """A channel with confirms on a connection of its own."""
    connection = await aio_pika.connect(amqp_url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def declare_topology(amqp_url: str) -> None:
    """Declare what every process of the product declares."""
    async with channel(amqp_url) as its:
        await topology.declare(cast(aiormq.Channel, await its.get_underlay_channel()))


class Watch:
    """Looks at queues over a connection that it keeps, and makes anew where the broker was away."""

    def __init__(self, amqp_url: str) -> None:
        self._amqp_url = amqp_url
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    async def depth(self, queue: str) -> int:
        """Messages that wait in the queue."""
        try:
            return await self._depth(queue)
        except (AMQPError, RuntimeError):  # a connection that the broker has cut does not always say so
            await self.close()
            return await self._depth(queue)

    async def _depth(self, queue: str) -> int:
        if self._connection is None:
            self._connection = await aio_pika.connect(self._amqp_url)
            self._channel = await self._connection.channel()
        assert self._channel is not None
        declared = await self._channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
        self._connection = None


async def until(reached: Callable[[], Awaitable[bool]], within_s: float = 60) -> None:
    """Ask until it is so; fails where it is not so in time."""
    async with asyncio.timeout(within_s):
        while not await reached():  # noqa: ASYNC110 nobody tells us
            await asyncio.sleep(0.02)


async def work_queue(its: AbstractChannel) -> str:
    """A work queue as the product declares them, and its dead letters, under a name of its own."""
    name = f"test.{uuid7()}"
    await its.declare_queue(
        f"{name}.dead", durable=True, arguments=cast(FieldTable, topology.DEAD_QUEUE_ARGUMENTS)
    )
    dead = await its.get_queue(f"{name}.dead")
    await dead.bind(topology.DEAD_LETTERS, name)
    arguments = topology.WorkQueue(name=name, exchange=topology.COMMANDS, binding=[]).arguments
    await its.declare_queue(name, durable=True, arguments=cast(FieldTable, arguments))
    return name


async def put(its: AbstractChannel, queue: str, *bodies: bytes) -> None:
    """Publish straight into a queue."""
    exchange = its.default_exchange
    await asyncio.gather(
        *(exchange.publish(aio_pika.Message(body, message_id=uuid7()), routing_key=queue) for body in bodies)
    )


async def take(
    its: AbstractChannel, queue: str, count: int, within_s: float = 60
) -> list[AbstractIncomingMessage]:
    """The next messages of a queue, acked."""
    source = await its.get_queue(queue)
    taken: list[AbstractIncomingMessage] = []

    async def reached() -> bool:
        while (message := await source.get(fail=False)) is not None:
            await message.ack()
            taken.append(message)
        return len(taken) >= count

    await until(reached, within_s)
    return taken


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Tasks beside the block, cancelled after it; what one raised is raised here."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield tasks
    finally:
        await cancel_and_wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


def control(servers: Servers, *arguments: str) -> None:
    """Run rabbitmqctl on the private broker."""
    assert servers.stack is not None
    layout = servers.stack.layout
    program = server_binaries.find().rabbitmq_server
    assert program is not None
    subprocess.run(
        [str(program.with_name("rabbitmqctl")), *arguments],
        env={"PATH": os.environ["PATH"]}
        | rabbitmq.environment(layout, Settings(run_dir=layout.root).recall().ports),
        check=True,
        capture_output=True,
        timeout=60,
    )
