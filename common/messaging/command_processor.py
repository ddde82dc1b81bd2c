"""Carrying out commands: a micro-batch in one transaction, each command once, and the replies."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import asyncpg
import msgspec
import structlog

from common.errors import Retry, UnprocessableMessage
from common.messaging import command_inbox, outbox
from common.messaging.consumer import Delivery, one_by_one
from common.messaging.envelope import (
    COMMAND_BATCH_CONTENT_TYPE,
    Command,
    Event,
    Outcome,
    decode_command,
    decode_command_batch,
)
from common.messaging.reply_queue import ReplySender
from common.observability import metrics, trace_stamps
from common.postgres.pool import Connection, Pool, transaction
from common.web.problems.details import problem
from common.web.problems.types import COMMAND_SET_ASIDE, IDEMPOTENCY_KEY_REUSED

log = structlog.get_logger()


class CommandHandler(Protocol):
    """What carries out a service's commands: its unit of work."""

    async def carry_out(
        self, connection: Connection, commands: Sequence[Command]
    ) -> tuple[list[Outcome], list[Event]]:
        """Load, decide and save for a batch of commands never seen before; one outcome for each, in order."""


@dataclass(frozen=True)
class Pending:
    """A command that was recorded without an outcome: its second step is still to be done."""

    delivery: Delivery  # to be acked once the outcome is recorded
    command: Command
    fresh: bool  # seen for the first time; otherwise its second step may have been begun before


Resume = Callable[[Sequence[Pending]], Awaitable[None]]


class CommandProcessor:
    """Carries out batches of commands: inbox, change, outbox and outcome in one transaction, then reply.

    `resume` is called after the commit with the commands that are still pending (and again, when such a
    command is delivered once more): the second step settles, answers and acks them.
    """

    def __init__(
        self,
        pool: Pool,
        unit: CommandHandler,
        replies: ReplySender,
        committed: Callable[[], None],
        resume: Resume | None = None,
    ) -> None:
        self._pool = pool
        self._unit = unit
        self._replies = replies
        self._committed = committed
        self._resume = resume

    async def __call__(self, batch: list[Delivery]) -> None:
        received = [(delivery, command) for delivery in batch for command in _commands(delivery)]
        if self._resume is not None and len(received) > len(batch):
            raise UnprocessableMessage(
                "commands with a second step come alone: each is acked when its own is done"
            )
        try:
            await self._process(received)
        except Retry:
            raise
        except Exception:
            if len(batch) > 1 or len(received) == 1:
                raise
            await one_by_one(self._process, received)

    async def _process(self, received: Sequence[tuple[Delivery, Command]]) -> None:
        commands = [command for _, command in received]
        try:
            async with transaction(self._pool) as connection:
                answers, fresh = await self._carry_out(connection, commands)
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name in command_inbox.DUPLICATE_CONSTRAINTS:
                raise Retry from error  # a duplicate was faster: the next look finds it
            raise
        self._committed()
        for delivery, command in received if trace_stamps.on() else ():
            trace_stamps.stamp(command.traceparent, "worker.delivered", delivery.received)
            trace_stamps.stamp(command.traceparent, "worker.committed")
        await self._replies.send(
            (delivery.reply_to, answer)
            for (delivery, _), answer in zip(received, answers, strict=True)
            if answer.has_answer
        )
        pending = [
            Pending(delivery, command, command.command_id in fresh)
            for (delivery, command), answer in zip(received, answers, strict=True)
            if not answer.has_answer and answer.original_id is None
        ]
        if pending and self._resume is not None:
            for each in pending:
                each.delivery.later = True
            await self._resume(pending)

    async def set_aside(self, delivery: Delivery) -> bool:
        """Answer commands that are given up on, once and for all: they will not be carried out later either.

        False where that could not be recorded.
        """
        try:
            commands = _commands(delivery)
        except UnprocessableMessage:
            return True  # nobody can wait for what has no id
        ids = [command.command_id for command in commands]
        try:
            async with transaction(self._pool) as connection:
                seen = await command_inbox.find(connection, ids, [])
                lost = [command for command in commands if command.command_id not in seen.by_id]
                given_up = [(command, _given_up(command)) for command in lost]
                await command_inbox.record(connection, given_up)
        except (asyncpg.PostgresError, Retry):
            log.exception("command.not_set_aside", command_ids=ids)
            return False
        await self._replies.send((delivery.reply_to, outcome) for _, outcome in given_up)
        return True

    async def _carry_out(
        self, connection: Connection, commands: list[Command]
    ) -> tuple[list[Outcome], set[str]]:
        keys = [command.idempotency_key for command in commands if command.idempotency_key]
        seen = await command_inbox.find(connection, [command.command_id for command in commands], keys)
        fresh: dict[str, Command] = {}
        duplicates: dict[str, Command] = {}
        keys_taken: set[str] = set()
        for command in commands:
            key = command.idempotency_key
            if (
                command.command_id in seen.by_id
                or command.command_id in fresh
                or command.command_id in duplicates
            ):
                metrics.DUPLICATES.labels(command.type).inc()
            elif key is not None and (key in seen.by_key or key in keys_taken):
                duplicates[command.command_id] = command
            else:
                fresh[command.command_id] = command
                if key is not None:
                    keys_taken.add(key)
        results: list[tuple[Command, Outcome]] = []
        if fresh:
            outcomes, events = await self._unit.carry_out(connection, list(fresh.values()))
            await outbox.append(connection, events)
            for command, outcome in zip(fresh.values(), outcomes, strict=True):
                results.append((command, outcome))
                seen.add(
                    command.idempotency_key,
                    command_inbox.Known(fingerprint=command.fingerprint, outcome=outcome),
                )
        for command in duplicates.values():
            assert command.idempotency_key is not None
            outcome = answer_to_duplicate(command, seen.by_key[command.idempotency_key])
            results.append((command, outcome))
            seen.add(None, command_inbox.Known(fingerprint=command.fingerprint, outcome=outcome))
        await command_inbox.record(connection, results)
        return [seen.by_id[command.command_id].outcome for command in commands], set(fresh)


def answer_to_duplicate(command: Command, known: command_inbox.Known) -> Outcome:
    """The first command's answer to a later one with the same key; 422 where the request is another."""
    if command.fingerprint != known.fingerprint:
        return Outcome(
            command_id=command.command_id,
            status="rejected",
            http_status=422,
            body=key_reused(command.command_id),
            original_id=command.command_id,
        )
    original = known.outcome
    return msgspec.structs.replace(
        original,
        command_id=command.command_id,
        replayed=True,
        original_id=original.original_id or original.command_id,
    )


def key_reused(command_id: str) -> msgspec.Raw:
    """The problem that answers an Idempotency-Key which came with another request before."""
    return problem(
        IDEMPOTENCY_KEY_REUSED,
        "This Idempotency-Key was first used with another request; use a new key for a new request.",
        instance=f"/api/v1/commands/{command_id}",
    )


def _given_up(command: Command) -> Outcome:
    return Outcome(
        command_id=command.command_id,
        status="rejected",
        http_status=500,
        body=problem(
            COMMAND_SET_ASIDE,
            "The command could not be carried out; it was set aside for an operator.",
            instance=f"/api/v1/commands/{command.command_id}",
        ),
    )


def _commands(delivery: Delivery) -> list[Command]:
    try:
        if delivery.content_type == COMMAND_BATCH_CONTENT_TYPE:
            return decode_command_batch(delivery.body)
        return [decode_command(delivery.body)]
    except msgspec.DecodeError as error:
        raise UnprocessableMessage(str(error)) from error
