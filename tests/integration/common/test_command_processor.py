"""Commands and events in one transaction each: carried out once, whatever comes twice or fails."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, cast

import asyncpg
import msgspec
import pytest

from common.errors import Retry, UnprocessableMessage
from common.kernel.clock import utcnow
from common.kernel.ids import uuid7
from common.messaging import command_inbox
from common.messaging.command_processor import CommandProcessor, Pending
from common.messaging.consumer import Delivery
from common.messaging.envelope import (
    COMMAND_BATCH_CONTENT_TYPE,
    EVENT_CONTENT_TYPE,
    Command,
    Event,
    Outcome,
    encode,
)
from common.postgres.pool import Pool
from tests.support.servers.database import empty, owner, pools
from tests.support.servers.servers import Servers

BODY = msgspec.Raw(b'{"made":true}')


@pytest.fixture
async def its(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    async with owner(servers) as connection:
        await empty(connection, "lease")
        yield connection
        await empty(connection, "lease")


@pytest.fixture
async def pool(servers: Servers, its: asyncpg.Connection) -> AsyncIterator[Pool]:
    async with pools(servers, "lease") as [opened]:
        yield opened


class Unit:
    """Carries out by writing an event; may be told to wait, to fail, or to leave the outcome open."""

    def __init__(self, *, pending: bool = False) -> None:
        self.carried_out: list[str] = []
        self.pending = pending
        self.before: Callable[[], Awaitable[None]] | None = None
        self.after: Callable[[], Awaitable[None]] | None = None

    async def carry_out(
        self, _connection: Any, commands: Sequence[Command]
    ) -> tuple[list[Outcome], list[Event]]:
        if self.before is not None:
            await self.before()
        self.carried_out += [command.command_id for command in commands]
        outcomes = [
            Outcome(command_id=command.command_id, status="pending")
            if self.pending
            else Outcome(
                command_id=command.command_id, status="succeeded", http_status=201, body=BODY, location="/x"
            )
            for command in commands
        ]
        events = [
            Event(
                id=uuid7(),
                source="/test",
                type="test.happened",
                subject=uuid7(),
                time="2026-11-23T08:00:00.000000Z",
                sequence=1,
                correlationid=command.command_id,
                causationid=command.command_id,
                data=msgspec.Raw(b"{}"),
            )
            for command in commands
        ]
        if self.after is not None:
            await self.after()
        return outcomes, events

    async def project(self, _connection: Any, _events: Sequence[Event]) -> list[Event]:
        raise NotImplementedError


class Replies:
    """Remembers what would have been replied."""

    def __init__(self) -> None:
        self.sent: list[tuple[str | None, Outcome]] = []

    async def send(self, outcomes: Any) -> None:
        self.sent += list(outcomes)

    def of(self, command: Command) -> Outcome:
        [found] = [outcome for _, outcome in self.sent if outcome.command_id == command.command_id]
        return found


def processor(pool: Pool, unit: Unit, replies: Replies, resume: Any = None) -> CommandProcessor:
    return CommandProcessor(pool, unit, cast(Any, replies), lambda: None, resume)


def command(key: str | None = None, fingerprint: str | None = None) -> Command:
    return Command(
        command_id=uuid7(),
        type="Test",
        submitted_at=utcnow(),
        idempotency_key=key,
        fingerprint=fingerprint,
        data=msgspec.Raw(b"{}"),
    )


def together(*commands: Command) -> Delivery:
    return delivery(encode(list(commands)), COMMAND_BATCH_CONTENT_TYPE)


def deliveries(*commands: Command) -> list[Delivery]:
    return [delivery(encode(each)) for each in commands]


def delivery(body: bytes, content_type: str = EVENT_CONTENT_TYPE) -> Delivery:
    return Delivery(
        body=body,
        tag=1,
        redelivered=False,
        deliveries=0,
        content_type=content_type,
        message_type=None,
        message_id=None,
        reply_to="front",
        channel=cast(Any, None),
    )


async def rows(its: asyncpg.Connection) -> tuple[int, int]:
    """Commands recorded, events told."""
    return (
        await its.fetchval("SELECT count(*) FROM lease.commands"),
        await its.fetchval("SELECT count(*) FROM lease.outbox"),
    )


async def test_carried_out_once(pool: Pool, its: asyncpg.Connection) -> None:
    """A batch, the same batch again, one command three times in a batch: one effect each, same answers."""
    unit, replies = Unit(), Replies()
    process = processor(pool, unit, replies)
    one, two, three = command(), command(), command()
    await process(deliveries(one, two))
    await process(deliveries(two, one, three, three, three))
    assert unit.carried_out == [one.command_id, two.command_id, three.command_id]
    assert await rows(its) == (3, 3)
    assert len(replies.sent) == 7
    assert {(outcome.http_status, bytes(outcome.body)) for _, outcome in replies.sent} == {(201, bytes(BODY))}
    stored = dict(await command_inbox.outcomes(pool, [one.command_id]))
    assert [(each.status, each.location) for each in stored.values()] == [("succeeded", "/x")]


async def test_duplicates(pool: Pool, its: asyncpg.Connection) -> None:
    """The same key: in one batch, later, and after a redelivery — the first one's answer, marked as such."""
    unit, replies = Unit(), Replies()
    process = processor(pool, unit, replies)
    first, same_batch, later = command("key", "print"), command("key", "print"), command("key", "print")
    await process(deliveries(first, same_batch))
    await process(deliveries(later))
    await process(deliveries(same_batch))
    assert unit.carried_out == [first.command_id]
    assert not replies.of(first).replayed
    for duplicate in (later,):
        answer = replies.of(duplicate)
        assert (answer.replayed, answer.http_status, bytes(answer.body)) == (True, 201, bytes(BODY))
        assert answer.original_id == first.command_id
    assert await rows(its) == (3, 1)
    for each in (first, same_batch, later):
        [(_, stored)] = await command_inbox.outcomes(pool, [each.command_id])
        assert (stored.status, stored.http_status, bytes(stored.body)) == ("succeeded", 201, bytes(BODY))


async def test_a_key_with_another_request(pool: Pool, its: asyncpg.Connection) -> None:
    """Another fingerprint: 422, kept as that command's own outcome; the first one's answer stays."""
    unit, replies = Unit(), Replies()
    process = processor(pool, unit, replies)
    first, other, again = command("key", "print"), command("key", "other"), command("key", "print")
    await process(deliveries(first, other))
    await process(deliveries(again))
    assert unit.carried_out == [first.command_id]
    assert (replies.of(other).http_status, replies.of(other).status) == (422, "rejected")
    assert json.loads(bytes(replies.of(other).body))["title"] == "Idempotency key reused"
    assert replies.of(again).http_status == 201
    [(_, stored)] = await command_inbox.outcomes(pool, [other.command_id])
    assert stored.http_status == 422


@pytest.mark.parametrize("same_command", [True, False])
async def test_two_workers_at_once(servers: Servers, its: asyncpg.Connection, same_command: bool) -> None:
    """Duplicates, or one command delivered twice, in two workers at once: one effect; the other waits."""
    first = command("key", "print")
    second = first if same_command else command("key", "print")
    barrier = asyncio.Barrier(2)
    units, replies = (Unit(), Unit()), (Replies(), Replies())

    async def together() -> None:
        async with asyncio.timeout(5):
            await barrier.wait()

    for unit in units:
        unit.after = together  # both have looked into the inbox and found nothing
    async with pools(servers, "lease", 2) as both:
        processes = [
            processor(pool, unit, each) for pool, unit, each in zip(both, units, replies, strict=True)
        ]
        results = await asyncio.gather(
            processes[0](deliveries(first)), processes[1](deliveries(second)), return_exceptions=True
        )
        failed = [number for number, result in enumerate(results) if result is not None]
        assert len(failed) == 1
        assert isinstance(results[failed[0]], Retry)
        assert await rows(its) == (1, 1)
        await processes[failed[0]](deliveries(second if failed[0] else first))  # as the consumer does
    assert await rows(its) == ((1, 1) if same_command else (2, 1))
    [(_, answer)] = replies[failed[0]].sent
    assert (answer.http_status, bytes(answer.body)) == (201, bytes(BODY))


async def test_duplicate_of_a_pending_one(pool: Pool, its: asyncpg.Connection) -> None:
    """The first one's second step is under way: no answer yet, and its outcome for both in the end."""
    unit, replies = Unit(pending=True), Replies()
    resumed: list[tuple[str, bool]] = []

    async def resume(pending: Sequence[Pending]) -> None:
        resumed.extend((each.command.command_id, each.fresh) for each in pending)

    process = processor(pool, unit, replies, resume)
    first, duplicate = command("key", "print"), command("key", "print")
    batch = deliveries(first)
    await process(batch)
    assert [each.later for each in batch] == [True]
    batch = deliveries(duplicate)
    await process(batch)
    assert [each.later for each in batch] == [False]
    await process(deliveries(first))
    assert resumed == [(first.command_id, True), (first.command_id, False)]
    assert replies.sent == []
    async with pool.acquire() as connection:
        done = Outcome(command_id=first.command_id, status="succeeded", http_status=201, body=BODY)
        await command_inbox.complete(connection, [done])
        again = Outcome(command_id=first.command_id, status="rejected", http_status=402, body=BODY)
        await command_inbox.complete(connection, [again])  # the first word stands
    for each in (first, duplicate):
        [(_, stored)] = await command_inbox.outcomes(pool, [each.command_id])
        assert (stored.status, stored.http_status) == ("succeeded", 201)
    await process(deliveries(first, command("key", "print")))
    assert [outcome.http_status for _, outcome in replies.sent] == [201, 201]
    assert len(resumed) == 2


async def test_a_failure_leaves_nothing(pool: Pool, its: asyncpg.Connection) -> None:
    """The unit fails after it has written: no event, no outcome, and the same commands work afterwards."""
    unit, replies = Unit(), Replies()

    async def fail() -> None:
        raise RuntimeError("no")

    unit.after = fail
    process = processor(pool, unit, replies)
    batch = deliveries(command("key", "print"))
    with pytest.raises(RuntimeError):
        await process(batch)
    assert await rows(its) == (0, 0)
    assert replies.sent == []
    unit.after = None
    await process(batch)
    assert await rows(its) == (1, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"command_id": 1}',
        b'{"command_id": "x", "type": "T", "submitted_at": "yesterday", "data": {}}',
        encode({"command_id": "x"}),
    ],
)
async def test_unprocessable_message(pool: Pool, its: asyncpg.Connection, body: bytes) -> None:
    """What is no command is poison, and is given up on without an answer."""
    process = processor(pool, Unit(), Replies())
    with pytest.raises(UnprocessableMessage):
        await process([delivery(body)])
    await process.set_aside(delivery(body))
    assert await rows(its) == (0, 0)


async def test_the_database_goes_away(servers: Servers, its: asyncpg.Connection) -> None:
    """A connection that ends under the batch means patience, not a failed delivery."""
    async with pools(servers, "lease") as [pool]:
        unit = Unit()

        async def cut() -> None:
            await its.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test-0'"
            )
            await asyncio.sleep(0.05)

        unit.after = cut
        process = processor(pool, unit, Replies())
        batch = deliveries(command())
        with pytest.raises(Retry):
            await process(batch)
        unit.after = None
        await process(batch)
    assert await rows(its) == (1, 1)


async def test_what_is_given_up_on_has_an_answer(pool: Pool, its: asyncpg.Connection) -> None:
    """A command that is set aside: 500 for whoever waits, and never carried out later."""
    unit, replies = Unit(), Replies()
    process = processor(pool, unit, replies)
    given_up = command("key", "print")
    [one] = deliveries(given_up)
    await process.set_aside(one)
    await process.set_aside(one)
    assert replies.of(given_up).http_status == 500
    await process(deliveries(given_up, command("key", "print")))
    assert unit.carried_out == []
    assert {outcome.http_status for _, outcome in replies.sent} == {500}


async def test_commands_that_share_a_message(pool: Pool, its: asyncpg.Connection) -> None:
    """Each is carried out and answered, duplicates among them too; the message again changes nothing."""
    unit, replies = Unit(), Replies()
    process = processor(pool, unit, replies)
    shared = [command("key", "print"), command(), command("key", "print"), command()]
    message = together(*shared)
    for _ in range(2):
        await process([message, *deliveries(command())])
        assert [replies.of(each).http_status for each in shared] == [201] * 4
        assert [each.command_id for each in shared if replies.of(each).replayed] == [shared[2].command_id]
        replies.sent.clear()
    assert len(unit.carried_out) == len(set(unit.carried_out)) == 5
    assert await rows(its) == (6, 5)


async def test_one_that_fails_takes_none_of_its_message_along(pool: Pool, its: asyncpg.Connection) -> None:
    """The others are carried out and answered; given up on, only the one is answered with 500."""
    unit, replies = Unit(), Replies()
    bad = command()

    async def fail() -> None:
        if bad.command_id in unit.carried_out:
            unit.carried_out.remove(bad.command_id)
            raise RuntimeError("no")

    unit.after = fail
    process = processor(pool, unit, replies)
    good = [command(), command()]
    message = together(good[0], bad, good[1])
    with pytest.raises(RuntimeError):
        await process([message])
    assert {outcome.command_id for _, outcome in replies.sent} == {each.command_id for each in good}
    assert await rows(its) == (2, 2)
    replies.sent.clear()
    await process.set_aside(message)
    assert [(outcome.command_id, outcome.http_status) for _, outcome in replies.sent] == [
        (bad.command_id, 500)
    ]
    assert await rows(its) == (3, 2)


async def test_second_steps_come_alone(pool: Pool, its: asyncpg.Connection) -> None:
    """Commands that are acked one by one may not share a message: refused before anything is done."""

    async def resume(_pending: Sequence[Pending]) -> None:
        raise AssertionError("not to be called")

    with pytest.raises(UnprocessableMessage):
        await processor(pool, Unit(pending=True), Replies(), resume)([together(command(), command())])
    assert await rows(its) == (0, 0)
