"""Consuming in batches from a real RabbitMQ: acks, failures, patience, the end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest
from aio_pika.abc import AbstractChannel
from pamqp.common import FieldTable

from common.errors import Retry
from common.messaging import topology
from common.messaging.consumer import BatchConsumer, Delivery
from tests.support.servers.broker_client import Watch, channel, put, running, take, until, work_queue
from tests.support.servers.servers import Servers
from tests.support.servers.tcp_proxy import proxy


@pytest.fixture
async def its(servers: Servers) -> AsyncIterator[AbstractChannel]:
    async with channel(servers.amqp_url) as opened:
        yield opened


@pytest.fixture
async def watch(servers: Servers) -> AsyncIterator[Watch]:
    watch = Watch(servers.amqp_url)
    yield watch
    await watch.close()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.messaging.consumer.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("common.messaging.consumer.LONGEST_PAUSE_S", 0.02)


class Recording:
    """A processor that remembers what it was given, and fails where it is told to."""

    def __init__(self, **failures: Exception) -> None:
        self.batches: list[list[Delivery]] = []
        self.failures = {word.encode(): error for word, error in failures.items()}
        self.done: list[bytes] = []

    async def __call__(self, batch: list[Delivery]) -> None:
        self.batches.append(list(batch))
        await asyncio.sleep(0.005)  # others come in meanwhile
        for delivery in batch:
            if (error := self.failures.get(delivery.body)) is not None:
                raise error
        self.done += [delivery.body for delivery in batch]

    def times(self, body: bytes) -> int:
        """How often a message came alone."""
        return sum(1 for batch in self.batches if [delivery.body for delivery in batch] == [body])


async def test_batches(servers: Servers, its: AbstractChannel, watch: Watch) -> None:
    """What waits is processed in batches of the size asked for, in order, once, and acked."""
    queue = await work_queue(its)
    bodies = [b"%d" % number for number in range(250)]
    await put(its, queue, *bodies)
    record = Recording()
    consumer = BatchConsumer(servers.amqp_url, queue, record, batch_size=100, prefetch_count=300)
    async with running(consumer.run()) as [task]:
        await until(lambda: _all(record, 250))
        consumer.stop()
        await asyncio.wait_for(task, 5)
    assert record.done == bodies
    assert max(len(batch) for batch in record.batches) <= 100
    assert len(record.batches) < 30
    assert await watch.depth(queue) == 0
    assert {delivery.deliveries for batch in record.batches for delivery in batch} == {0}


async def test_one_bad_message_hurts_no_other(servers: Servers, its: AbstractChannel, watch: Watch) -> None:
    """A batch that fails is done one by one; what fails alone ends in the dead letters, after its limit."""
    queue = await work_queue(its)
    good = [b"good-%d" % number for number in range(40)]
    await put(its, queue, *good[:20], b"bad", *good[20:])
    record = Recording(bad=RuntimeError("no"))
    async with running(BatchConsumer(servers.amqp_url, queue, record).run()):
        [dead] = await take(its, f"{queue}.dead", 1)
    assert dead.body == b"bad"
    assert Counter(record.done) == Counter(good)
    assert record.times(b"bad") == topology.GIVE_UP_AFTER + 1
    assert await watch.depth(queue) == 0


async def test_poison(servers: Servers, its: AbstractChannel) -> None:
    """What can never be processed goes straight to the dead letters, at its first delivery."""
    queue = await work_queue(its)
    await put(its, queue, b"one", b"poison", b"two")
    record = Recording(poison=ValueError("no event"))
    async with running(BatchConsumer(servers.amqp_url, queue, record).run()):
        [dead] = await take(its, f"{queue}.dead", 1)
        await until(lambda: _all(record, 2))
    assert dead.body == b"poison"
    assert record.times(b"poison") == 1
    assert record.done == [b"one", b"two"]
    assert {each.deliveries for batch in record.batches for each in batch} == {0}


async def test_what_is_given_up_on_is_told(servers: Servers, its: AbstractChannel) -> None:
    """`set_aside` is called right before a message goes to the dead letters, which waits until it could."""
    queue = await work_queue(its)
    await put(its, queue, b"poison", b"bad")
    told: list[bytes] = []

    async def set_aside(delivery: Delivery) -> bool:
        told.append(delivery.body)
        return told.count(delivery.body) == 2

    record = Recording(poison=ValueError("no event"), bad=RuntimeError("no"))
    consumer = BatchConsumer(servers.amqp_url, queue, record, set_aside=set_aside)
    async with running(consumer.run()):
        dead = await take(its, f"{queue}.dead", 2)
    assert sorted(message.body for message in dead) == [b"bad", b"poison"]
    assert sorted(told) == [b"bad", b"bad", b"poison", b"poison"]


async def test_patience(servers: Servers, its: AbstractChannel, watch: Watch) -> None:
    """While something is away, the same batch waits; no delivery is counted, nothing is dead-lettered."""
    queue = await work_queue(its)
    await put(its, queue, *(b"%d" % number for number in range(10)))
    tries = 0
    done: list[Delivery] = []

    async def process(batch: list[Delivery]) -> None:
        nonlocal tries
        tries += 1
        if tries <= 3 * topology.GIVE_UP_AFTER:
            raise Retry from OSError("away")
        done.extend(batch)

    async with running(BatchConsumer(servers.amqp_url, queue, process).run()):
        await until(lambda: _reached(lambda: len(done) == 10))
    assert [delivery.deliveries for delivery in done] == [0] * 10
    assert not any(delivery.redelivered for delivery in done)
    assert await watch.depth(f"{queue}.dead") == 0


async def test_stop_finishes_the_batch_in_hand(servers: Servers, its: AbstractChannel, watch: Watch) -> None:
    """`stop`: the batch in hand is finished and acked, the others go back, `run` returns."""
    queue = await work_queue(its)
    await put(its, queue, *(b"%d" % number for number in range(60)))
    begun, done = asyncio.Event(), []

    async def slow(batch: list[Delivery]) -> None:
        begun.set()
        await asyncio.sleep(0.3)
        done.extend(batch)

    consumer = BatchConsumer(servers.amqp_url, queue, slow, batch_size=10)
    async with running(consumer.run()) as [task]:
        await begun.wait()
        consumer.stop()
        await asyncio.wait_for(task, 5)
    assert len(done) <= 10
    await until(lambda: _depth(watch, queue, 60 - len(done)))
    left = await take(its, queue, 60 - len(done))
    assert {message.body for message in left}.isdisjoint(delivery.body for delivery in done)


async def test_stop_while_idle(servers: Servers, its: AbstractChannel) -> None:
    """Nothing to do: `stop` ends it at once."""
    queue = await work_queue(its)
    consumer = BatchConsumer(servers.amqp_url, queue, Recording())
    async with running(consumer.run()) as [task]:
        await asyncio.sleep(0.3)
        consumer.stop()
        await asyncio.wait_for(task, 2)


async def test_a_lost_connection(servers: Servers, its: AbstractChannel, watch: Watch) -> None:
    """The connection breaks while a batch is processed: everything comes again, and is acked in the end."""
    queue = await work_queue(its)
    bodies = {b"%d" % number for number in range(50)}
    await put(its, queue, *sorted(bodies))
    async with proxy(servers.amqp_url) as between:
        seen: list[Delivery] = []

        async def process(batch: list[Delivery]) -> None:
            seen.extend(batch)
            if between.connections == 1:
                between.cut()
                await asyncio.sleep(0.05)

        async with running(BatchConsumer(between.url, queue, process, batch_size=20).run()):
            await until(lambda: _depth(watch, queue, 0))
            await until(lambda: _reached(lambda: bodies == {each.body for each in seen if each.redelivered}))
    assert await watch.depth(f"{queue}.dead") == 0


async def test_cancelled_by_the_broker(servers: Servers, its: AbstractChannel) -> None:
    """The queue is deleted and declared again: the consumer is told, and consumes again."""
    queue = await work_queue(its)
    record = Recording()
    async with running(BatchConsumer(servers.amqp_url, queue, record).run()):
        await put(its, queue, b"before")
        await until(lambda: _all(record, 1))
        await its.queue_delete(queue)
        await asyncio.sleep(1)  # RabbitMQ 3.10 tells late; a queue declared before that is not noticed
        arguments = topology.WorkQueue(name=queue, exchange=topology.COMMANDS, binding=[]).arguments
        await its.declare_queue(queue, durable=True, arguments=cast(FieldTable, arguments))
        await put(its, queue, b"after")
        await until(lambda: _all(record, 2))
    assert record.done == [b"before", b"after"]


async def test_connections_that_end_do_not_count(
    servers: Servers, its: AbstractChannel, watch: Watch
) -> None:
    """The broker counts each of them as a delivery; what never failed is not given up on for that."""
    queue = await work_queue(its)
    await put(its, queue, b"patient")
    seen: list[int] = []
    stuck = asyncio.Event()

    async def process(batch: list[Delivery]) -> None:
        seen.append(batch[0].deliveries)
        if len(seen) <= topology.GIVE_UP_AFTER + 3:
            stuck.set()
            await asyncio.Event().wait()

    async with proxy(servers.amqp_url) as between, running(BatchConsumer(between.url, queue, process).run()):
        for _ in range(topology.GIVE_UP_AFTER + 3):
            await stuck.wait()
            stuck.clear()
            between.cut()
        await until(lambda: _reached(lambda: len(seen) == topology.GIVE_UP_AFTER + 4), 20)
        await until(lambda: _depth(watch, queue, 0))
    assert await watch.depth(f"{queue}.dead") == 0
    assert seen[-1] > topology.GIVE_UP_AFTER


async def test_work_that_ends_later(servers: Servers, its: AbstractChannel, watch: Watch) -> None:
    """Deliveries marked `later` are acked by whoever has them; `stop` waits for those."""
    queue = await work_queue(its)
    await put(its, queue, b"now", b"later", b"now")
    kept: list[Delivery] = []
    acked = asyncio.Event()

    async def process(batch: list[Delivery]) -> None:
        for delivery in batch:
            if delivery.body == b"later":
                delivery.later = True
                kept.append(delivery)

    async def drained() -> None:
        await asyncio.sleep(0.2)
        await kept[0].ack()
        acked.set()

    consumer = BatchConsumer(servers.amqp_url, queue, process, drained=drained)
    async with running(consumer.run()) as [task]:
        await until(lambda: _reached(lambda: bool(kept)))
        consumer.stop()
        await asyncio.wait_for(task, 5)
        assert acked.is_set()
    assert await watch.depth(queue) == 0


async def test_two_consumers_share(servers: Servers, its: AbstractChannel) -> None:
    """Two workers on a queue: each message is done by one of them."""
    queue = await work_queue(its)
    one, two = Recording(), Recording()
    consumers = [
        BatchConsumer(servers.amqp_url, queue, record, batch_size=5, prefetch_count=10)
        for record in (one, two)
    ]
    async with running(*(consumer.run() for consumer in consumers)):
        await asyncio.sleep(0.3)
        await put(its, queue, *(b"%d" % number for number in range(200)))
        await until(lambda: _reached(lambda: len(one.done) + len(two.done) >= 200))
    assert one.done
    assert two.done
    assert len({*one.done, *two.done}) == 200


async def _all(record: Recording, count: int) -> bool:
    return len(record.done) >= count


async def _reached(condition: Callable[[], bool]) -> bool:
    return condition()


async def _depth(watch: Watch, queue: str, count: int) -> bool:
    return await watch.depth(queue) == count
