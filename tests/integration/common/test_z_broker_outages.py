"""The broker blocks, and goes away: 503 while it lasts, and everything works again afterwards without help.

Named so that it comes last of the bus's tests: the one broker of the session is stopped here.
"""

import asyncio

import pytest

from common.errors import BrokerUnavailable
from common.kernel.ids import uuid7
from common.messaging.consumer import BatchConsumer, Delivery
from common.messaging.publisher import Publisher
from tests.support.builders.bad_values import NEW_LEASE
from tests.support.servers.apis import Fronts
from tests.support.servers.broker_client import channel, control, running, until, work_queue
from tests.support.servers.servers import Servers

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def publish(publisher: Publisher, queue: str, body: bytes) -> bool:
    try:
        await publisher.publish(
            body,
            exchange="",
            routing_key=queue,
            message_id=uuid7(),
            message_type="Test",
            content_type="application/json",
        )
    except BrokerUnavailable:
        return False
    return True


async def test_resource_alarm(servers: Servers, fronts: Fronts) -> None:
    """An alarm blocks publishing: unavailable in time, and 503; reading goes on; then it is over."""
    if servers.stack is None:
        pytest.skip("needs a broker of its own")
    async with channel(servers.amqp_url) as its:
        queue = await work_queue(its)
    seen: list[bytes] = []

    async def process(batch: list[Delivery]) -> None:
        seen.extend(delivery.body for delivery in batch)

    publisher = Publisher(servers.amqp_url, "test", timeout_s=1)
    consumer = BatchConsumer(servers.amqp_url, queue, process)
    async with running(publisher.run(), consumer.run()):
        assert await publish(publisher, queue, b"before")
        await asyncio.to_thread(control, servers, "set_disk_free_limit", "900000GB")
        try:
            await until(lambda: _refused(publisher, queue))
            answer = await fronts.ask("lease", "POST", "/api/v1/leases", NEW_LEASE, Prefer="respond-async")
            assert int(answer.problem(503).headers["retry-after"]) >= 1
            assert (await fronts.ask("lease", "GET", "/api/v1/leases")).status == 200
        finally:
            await asyncio.to_thread(control, servers, "set_disk_free_limit", "200MB")
        await until(lambda: publish(publisher, queue, b"after"), 20)
        await until(lambda: _seen(seen, b"after"))
        assert b"before" in seen
    await until(lambda: _taken(fronts), 20)


async def test_broker_away_and_back(servers: Servers, fronts: Fronts) -> None:
    """The broker stops and starts: publisher, consumer and fronts are back by themselves."""
    if servers.stack is None:
        pytest.skip("needs a broker of its own")
    async with channel(servers.amqp_url) as its:
        queue = await work_queue(its)
    seen: list[bytes] = []

    async def process(batch: list[Delivery]) -> None:
        seen.extend(delivery.body for delivery in batch)

    publisher = Publisher(servers.amqp_url, "test", timeout_s=1)
    async with running(publisher.run(), BatchConsumer(servers.amqp_url, queue, process).run()):
        assert await publish(publisher, queue, b"before")
        await until(lambda: _seen(seen, b"before"))
        await asyncio.to_thread(servers.stack.stop_program, "rabbitmq")
        try:
            loop = asyncio.get_running_loop()
            started = loop.time()
            assert not await publish(publisher, queue, b"lost")
            assert loop.time() - started < 2
            for service in ("lease", "payment", "ledger"):
                health = await fronts.ask(service, "GET", "/health")
                assert health.status == 503
                assert health.json["checks"]["rabbitmq"] != "ok"
                assert health.json["checks"]["postgres"] == "ok"
            posting = asyncio.create_task(fronts.ask("lease", "POST", "/api/v1/leases", NEW_LEASE))
            assert (await fronts.ask("lease", "GET", "/api/v1/leases")).status == 200
        finally:  # starting takes longer than a front waits for the broker
            await asyncio.to_thread(servers.stack.start_program, "rabbitmq")
        assert (await posting).problem(503).headers["retry-after"]
        await until(lambda: publish(publisher, queue, b"after"), 20)
        await until(lambda: _seen(seen, b"after"), 20)
    await until(lambda: _taken(fronts), 20)
    await until(lambda: _healthy(fronts), 20)


async def _refused(publisher: Publisher, queue: str) -> bool:
    return not await publish(publisher, queue, b"blocked")


async def _seen(seen: list[bytes], body: bytes) -> bool:
    return body in seen


async def _taken(fronts: Fronts) -> bool:
    answer = await fronts.ask("lease", "POST", "/api/v1/leases", NEW_LEASE, Prefer="respond-async")
    return answer.status == 202


async def _healthy(fronts: Fronts) -> bool:
    answers = [await fronts.ask(service, "GET", "/health") for service in ("lease", "payment", "ledger")]
    return all(answer.status == 200 for answer in answers)
