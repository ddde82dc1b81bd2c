"""Publishing on a real RabbitMQ: what returns is safe, what raises says what is known."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from aio_pika.abc import AbstractChannel
from pamqp.common import FieldTable

from common.errors import BrokerFull, BrokerUnavailable, Unroutable
from common.kernel.ids import uuid7
from common.messaging import topology
from common.messaging.publisher import Publisher
from tests.support.servers.broker_client import channel, put, running, take, until, work_queue
from tests.support.servers.servers import Servers
from tests.support.servers.tcp_proxy import proxy


@pytest.fixture
async def its(servers: Servers) -> AsyncIterator[AbstractChannel]:
    async with channel(servers.amqp_url) as opened:
        yield opened


@pytest.fixture
async def publisher(servers: Servers) -> AsyncIterator[Publisher]:
    made = Publisher(servers.amqp_url, "test", timeout_s=3)
    async with running(made.run()):
        yield made


async def publish(publisher: Publisher, queue: str, body: bytes = b"{}", exchange: str = "") -> None:
    await publisher.publish(
        body,
        exchange=exchange,
        routing_key=queue,
        message_id=uuid7(),
        message_type="Test",
        content_type="application/json",
        reply_to="somebody",
    )


async def publish_until_full(publisher: Publisher, queue: str, exchange: str = "") -> int:
    """How many were taken before one was refused; 100 at most."""
    for taken in range(100):
        try:
            await publish(publisher, queue, exchange=exchange)
        except BrokerFull:
            return taken
    return 100


async def test_confirmed_messages_are_there(publisher: Publisher, its: AbstractChannel) -> None:
    """What returned is in the queue, in order for whoever waits, with all its properties and persistent."""
    queue = await work_queue(its)
    for body in (b"1", b"2"):
        await publish(publisher, queue, body)
    await asyncio.gather(*(publish(publisher, queue, b"%d" % number) for number in range(3, 400)))
    found = await take(its, queue, 399)
    assert [message.body for message in found[:2]] == [b"1", b"2"]
    assert {message.body for message in found} == {b"%d" % number for number in range(1, 400)}
    assert len({message.message_id for message in found}) == 399
    first = found[0]
    assert (first.type, first.content_type, first.reply_to) == ("Test", "application/json", "somebody")
    assert first.delivery_mode == 2


async def test_unroutable(publisher: Publisher) -> None:
    """A message that no queue takes is an error, never a success; the publisher goes on."""
    for exchange in (topology.COMMANDS, ""):
        with pytest.raises(Unroutable):
            await publish(publisher, "nobody.takes.this", exchange=exchange)
    await publish(
        publisher, "test.unroutable.before", exchange=topology.EVENTS
    )  # the ledger's stream takes all


async def test_full_queue(publisher: Publisher, its: AbstractChannel) -> None:
    """A full queue refuses: certainly not taken, and taken again once there is room."""
    queue = f"test.full.{uuid7()}"
    arguments: FieldTable = {"x-queue-type": "quorum", "x-max-length": 5, "x-overflow": "reject-publish"}
    await its.declare_queue(queue, durable=True, arguments=arguments)
    taken = await publish_until_full(publisher, queue)
    assert 5 <= taken < 100
    assert len(await take(its, queue, taken)) == taken

    async def has_room() -> bool:
        try:
            await publish(publisher, queue)
        except BrokerFull:
            return False
        return True

    await until(has_room)


async def test_refused_by_one_of_several_queues(publisher: Publisher, its: AbstractChannel) -> None:
    """Safe means in every queue that it was routed to."""
    kind = f"test.{uuid7()}"
    arguments: FieldTable = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
    full = await its.declare_queue(f"{kind}.full", durable=True, arguments=arguments)
    await full.bind(topology.EVENTS, kind)
    await put(its, full.name, b"1", b"2")
    assert await publish_until_full(publisher, kind, exchange=topology.EVENTS) < 100


async def test_no_broker() -> None:
    """Nobody listens: unavailable when the time is up, not before and not much later."""
    publisher = Publisher("amqp://guest:guest@127.0.0.1:1/", "test", timeout_s=0.4)
    loop = asyncio.get_running_loop()
    async with running(publisher.run()):
        started = loop.time()
        with pytest.raises(BrokerUnavailable) as caught:
            await publish(publisher, "anywhere")
        assert 0.3 < loop.time() - started < 1.0
        assert not isinstance(caught.value, BrokerFull)
        assert not publisher.connected


async def test_a_lost_connection_loses_nothing(servers: Servers, its: AbstractChannel) -> None:
    """The connection breaks under 300 publishes: all return, none is lost, repeats have the same id."""
    queue = await work_queue(its)
    async with proxy(servers.amqp_url) as between:
        publisher = Publisher(between.url, "test", timeout_s=8)
        async with running(publisher.run()):
            await publish(publisher, queue, b"first")
            between.hang()
            under_way = [
                asyncio.create_task(publish(publisher, queue, b"%d" % number)) for number in range(300)
            ]
            await asyncio.sleep(0.05)
            between.cut()
            between.flow()
            await asyncio.gather(*under_way)
    found = await take(its, queue, 301)
    by_id = {message.message_id: message.body for message in found}
    assert sorted(by_id.values()) == sorted([b"first", *(b"%d" % number for number in range(300))])


async def test_a_broker_that_hangs(servers: Servers, its: AbstractChannel) -> None:
    """No confirm comes: unavailable when the time is up; what hung is gone when it flows again."""
    queue = await work_queue(its)
    async with proxy(servers.amqp_url) as between:
        publisher = Publisher(between.url, "test", timeout_s=0.5)
        async with running(publisher.run()):
            await until(lambda: _is_connected(publisher))
            between.hang()
            loop = asyncio.get_running_loop()
            started = loop.time()
            results = await asyncio.gather(
                *(publish(publisher, queue) for _ in range(400)), return_exceptions=True
            )
            assert loop.time() - started < 1.5
            assert {type(result) for result in results} == {BrokerUnavailable}
            between.flow()
            await publish(publisher, queue, b"after")
    assert b"after" in [message.body for message in await take(its, queue, 1)]


async def test_the_window(servers: Servers) -> None:
    """Never more than `window` publishes await their confirm; waiting for a place counts into the time."""
    publisher = Publisher(servers.amqp_url, "test", window=5, timeout_s=0.3)
    held = _Holding()
    async with running(publisher._serve(held)):  # type: ignore[arg-type]
        results = await asyncio.gather(*(publish(publisher, "q") for _ in range(50)), return_exceptions=True)
    assert held.most == 5
    assert {type(result) for result in results} == {BrokerUnavailable}


class _Holding:
    """A channel that never confirms."""

    number = 1
    delivery_tag = 0

    def __init__(self) -> None:
        self.most = 0
        self.confirmations: dict[int, asyncio.Future[object]] = {}
        self.message_id_delivery_tag: dict[str, int] = {}
        tune = SimpleNamespace(frame_max=131_072)
        self.connection = SimpleNamespace(connection_tune=tune, ready=lambda: asyncio.sleep(0))
        self.write_queue = self

    async def put(self, _frame: object) -> None:
        """Something was handed over to be sent."""
        waiting = sum(not each.done() for each in self.confirmations.values())
        self.most = max(self.most, waiting)


async def _is_connected(publisher: Publisher) -> bool:
    return publisher.connected
