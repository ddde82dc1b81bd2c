"""Replies: outcomes find the request that waits for them, also when the reply itself is lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import msgspec
import pytest

from common.kernel.ids import uuid7
from common.messaging.envelope import Outcome
from common.messaging.reply_queue import ReplyInbox, ReplySender
from tests.support.servers.broker_client import running, until
from tests.support.servers.servers import Servers


def outcome(command_id: str, status: Literal["pending", "succeeded"] = "succeeded") -> Outcome:
    return Outcome(command_id=command_id, status=status, http_status=201, body=msgspec.Raw(b'{"a":1}'))


class Stored:
    """What the database knows."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.asked: list[list[str]] = []
        self.broken = False

    async def __call__(self, ids: list[str]) -> list[Outcome]:
        self.asked.append(ids)
        if self.broken:
            raise OSError("away")
        return [self.outcomes[each] for each in ids if each in self.outcomes]


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Stored:
    monkeypatch.setattr("common.messaging.reply_queue.LOOK_UP_EVERY_S", 0.05)
    monkeypatch.setattr("common.messaging.reply_queue.LOOK_UP_AFTER_S", 0.1)
    return Stored()


@pytest.fixture
async def pair(servers: Servers, stored: Stored) -> AsyncIterator[tuple[ReplyInbox, ReplySender]]:
    inbox = ReplyInbox(servers.amqp_url, "test", stored)
    sender = ReplySender(servers.amqp_url, "test")
    async with running(inbox.run(), sender.run()):
        await until(lambda: _ready(inbox, sender))
        yield inbox, sender


async def _ready(inbox: ReplyInbox, sender: ReplySender) -> bool:
    return inbox.queue is not None and sender._channel is not None


async def test_outcomes_arrive(pair: tuple[ReplyInbox, ReplySender], stored: Stored) -> None:
    """Hundreds of outcomes in a few messages: each to its own request, none looked up."""
    inbox, sender = pair
    ids = [uuid7() for _ in range(250)]
    futures = [inbox.expect(each) for each in ids]
    await sender.send((inbox.queue, outcome(each)) for each in reversed(ids))
    found = await asyncio.wait_for(asyncio.gather(*futures), 5)
    assert [each.command_id for each in found] == ids
    assert stored.asked == []
    for each in ids:
        inbox.forget(each)
    assert inbox.waiting == 0


async def test_shared(pair: tuple[ReplyInbox, ReplySender]) -> None:
    """Two requests for one command share its outcome; one that gives up does not take it from the other."""
    inbox, sender = pair
    command_id = uuid7()
    first, second = inbox.expect(command_id), inbox.expect(command_id)
    inbox.forget(command_id)
    await sender.send([(inbox.queue, outcome(command_id))])
    assert await asyncio.wait_for(second, 5) is await first
    inbox.forget(command_id)
    assert inbox.waiting == 0


async def test_a_lost_reply_is_looked_up(pair: tuple[ReplyInbox, ReplySender], stored: Stored) -> None:
    """No reply comes: the stored outcome is found; a pending one without anything to say is none."""
    inbox, _ = pair
    lost, pending = uuid7(), uuid7()
    stored.outcomes = {lost: outcome(lost), pending: Outcome(command_id=pending, status="pending")}
    future, other = inbox.expect(lost), inbox.expect(pending)
    assert (await asyncio.wait_for(future, 5)).command_id == lost
    assert not other.done()
    stored.outcomes[pending] = outcome(pending, "pending")  # what is known so far is an answer
    assert (await asyncio.wait_for(other, 5)).status == "pending"
    assert all(len(ids) <= 2 for ids in stored.asked)


async def test_the_database_is_away(pair: tuple[ReplyInbox, ReplySender], stored: Stored) -> None:
    """A look-up that fails is tried again."""
    inbox, _ = pair
    command_id = uuid7()
    stored.outcomes, stored.broken = {command_id: outcome(command_id)}, True
    future = inbox.expect(command_id)
    await until(lambda: _asked(stored, 2))
    stored.broken = False
    assert (await asyncio.wait_for(future, 5)).command_id == command_id


async def _asked(stored: Stored, times: int) -> bool:
    return len(stored.asked) >= times


async def test_replies_nobody_waits_for(pair: tuple[ReplyInbox, ReplySender]) -> None:
    """Late replies, replies to fronts that are gone and to nobody are dropped without harm."""
    inbox, sender = pair
    await sender.send(
        [(inbox.queue, outcome(uuid7())), ("replies.gone", outcome(uuid7())), (None, outcome(uuid7()))]
    )
    command_id = uuid7()
    future = inbox.expect(command_id)
    await sender.send([(inbox.queue, outcome(command_id))])
    assert (await asyncio.wait_for(future, 5)).command_id == command_id
