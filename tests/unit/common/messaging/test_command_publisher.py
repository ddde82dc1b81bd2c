"""Commands that come together share messages; one that comes alone is not held up."""

import asyncio
from typing import Any, cast

import msgspec
import pytest

from common.errors import BrokerFull
from common.kernel.clock import utcnow
from common.kernel.ids import uuid7
from common.messaging.command_publisher import CommandPublisher
from common.messaging.envelope import (
    COMMAND_BATCH_CONTENT_TYPE,
    COMMAND_CONTENT_TYPE,
    Command,
    decode_command_batch,
    encode,
)


class Publisher:
    """Notes what is published, and confirms or refuses it a little later."""

    def __init__(self) -> None:
        self.published: list[tuple[bytes, dict[str, Any]]] = []
        self.failure: Exception | None = None

    async def publish(self, body: bytes, **properties: Any) -> None:
        await asyncio.sleep(0.01)
        if self.failure is not None:
            raise self.failure
        self.published.append((body, properties))


def command(data: bytes = b"{}") -> Command:
    return Command(command_id=uuid7(), type="Test", submitted_at=utcnow(), data=msgspec.Raw(data))


def sender(publisher: Publisher, per_message: int = 20) -> CommandPublisher:
    return CommandPublisher("queue", cast(Any, publisher), per_message=per_message)


async def test_alone() -> None:
    """After a pause: at once, in the plain form."""
    publisher = Publisher()
    one = command()
    async with asyncio.timeout(1):
        await sender(publisher).send(one, "front")
    [(body, properties)] = publisher.published
    assert body == encode(one)
    assert properties["content_type"] == COMMAND_CONTENT_TYPE
    assert (properties["routing_key"], properties["reply_to"]) == ("queue", "front")
    assert properties["message_id"] == one.command_id


async def test_together() -> None:
    """A burst goes in full messages, each command once, with ids that are not used twice."""
    publisher = Publisher()
    burst = [command() for _ in range(45)]
    its = sender(publisher)
    await asyncio.gather(*(its.send(each, "front") for each in burst))
    messages = [decode_command_batch(body) for body, _ in publisher.published]
    assert sorted(len(message) for message in messages) == [5, 20, 20]
    assert sorted(each.command_id for message in messages for each in message) == sorted(
        each.command_id for each in burst
    )
    assert {properties["content_type"] for _, properties in publisher.published} == {
        COMMAND_BATCH_CONTENT_TYPE
    }
    assert len({properties["message_id"] for _, properties in publisher.published}) == 3


async def test_one_each() -> None:
    """Where commands may not share: a message each."""
    publisher = Publisher()
    its = sender(publisher, per_message=1)
    await asyncio.gather(*(its.send(command(), "front") for _ in range(3)))
    assert [properties["content_type"] for _, properties in publisher.published] == [COMMAND_CONTENT_TYPE] * 3


async def test_large_ones_and_other_fronts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message has room for so many bytes, and one address for its replies."""
    monkeypatch.setattr("common.messaging.command_publisher.MESSAGE_BYTES_MAX", 1_000)
    publisher = Publisher()
    its = sender(publisher)
    large = command(b'"%s"' % (b"x" * 600))
    for_whom = [(large, "front"), (large, "front"), (command(), "front"), (command(), "x")]
    await asyncio.gather(*(its.send(each, front) for each, front in for_whom))
    assert sorted(properties["reply_to"] for _, properties in publisher.published) == ["front", "front", "x"]


async def test_refused() -> None:
    """All of a refused message hear of it, those who have gone leave no trace, and the next one is taken."""
    publisher = Publisher()
    publisher.failure = BrokerFull("full")
    its = sender(publisher)
    gone = asyncio.ensure_future(its.send(command(), "front"))
    results = asyncio.gather(*(its.send(command(), "front") for _ in range(3)), return_exceptions=True)
    await asyncio.sleep(0)
    gone.cancel()
    assert all(isinstance(result, BrokerFull) for result in await results)
    publisher.failure = None
    await its.send(command(), "front")
    assert len(publisher.published) == 1
