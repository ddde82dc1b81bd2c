"""The inbox of commands: each is carried out once, and its outcome is kept for whoever asks again."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from common.kernel.clock import utcnow
from common.messaging.envelope import Command, Outcome
from common.postgres.pool import Connection, Pool, Queries

queries = Queries(Path(__file__).with_name("queries.sql"))

# Unique constraints that a duplicate, carried out at the same moment by another worker, runs into.
DUPLICATE_CONSTRAINTS = ("commands_pkey", "commands_idempotency_key")


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A command that was seen before."""

    fingerprint: str | None  # hex SHA-256 of the request it came with
    outcome: Outcome


class Seen:
    """What the inbox knows of a batch of commands, by id and by idempotency key."""

    def __init__(self, known: Iterable[tuple[str | None, Known]]) -> None:
        self.by_id: dict[str, Known] = {}
        self.by_key: dict[str, Known] = {}
        for key, entry in known:
            self.add(key, entry)

    def add(self, key: str | None, entry: Known) -> None:
        """Remember one more."""
        self.by_id[entry.outcome.command_id] = entry
        if key is not None:
            self.by_key[key] = entry


async def find(connection: Connection | Pool, ids: Sequence[str], keys: Sequence[str]) -> Seen:
    """Commands seen before, by their ids or by their idempotency keys."""
    rows = await connection.fetch(queries.find_commands, ids, keys)
    return Seen(
        (row["idempotency_key"], Known(fingerprint=row["fingerprint"], outcome=_outcome(row))) for row in rows
    )


async def outcomes(pool: Pool, ids: Sequence[str]) -> list[tuple[Any, Outcome]]:
    """(submitted_at, outcome) of the commands that are recorded; a duplicate's outcome is its original's."""
    rows = await pool.fetch(queries.outcomes, ids)
    return [(row["submitted_at"], _outcome(row)) for row in rows]


def outcomes_of(pool: Pool) -> Callable[[list[str]], Awaitable[list[Outcome]]]:
    """The look-up that a front's ReplyInbox falls back on."""

    async def look_up(ids: list[str]) -> list[Outcome]:
        return [outcome for _, outcome in await outcomes(pool, ids)]

    return look_up


async def record(connection: Connection, results: Sequence[tuple[Command, Outcome]]) -> None:
    """Record commands with their outcomes. Raises UniqueViolationError on DUPLICATE_CONSTRAINTS."""
    if not results:
        return
    # a duplicate's row carries no key of its own: the key is its original's
    keys = [None if outcome.original_id else command.idempotency_key for command, outcome in results]
    commands, found = zip(*results, strict=True)
    await connection.execute(
        queries.record_commands,
        [command.command_id for command in commands],
        [command.type for command in commands],
        keys,
        [command.fingerprint for command in commands],
        *_status_columns(found),
        [outcome.original_id for outcome in found],
        [command.submitted_at for command in commands],
        _completed(found),
    )


async def complete(connection: Connection, found: Sequence[Outcome]) -> None:
    """Record the outcomes of commands that were pending; one that has its final outcome keeps it.

    An outcome that is pending itself is what is known so far; the final one replaces it.
    """
    if found:
        await connection.execute(
            queries.complete_commands,
            [outcome.command_id for outcome in found],
            *_status_columns(found),
            _completed(found),
        )


def _completed(found: Sequence[Outcome]) -> list[datetime | None]:
    return [None if outcome.status == "pending" else utcnow() for outcome in found]


def _status_columns(found: Sequence[Outcome]) -> tuple[list[object], ...]:
    return (
        [outcome.status for outcome in found],
        [outcome.http_status for outcome in found],
        [bytes(outcome.body) for outcome in found],
        [outcome.location for outcome in found],
        [outcome.token for outcome in found],
    )


def _outcome(row: Any) -> Outcome:
    return Outcome(
        command_id=row["command_id"],
        status=row["status"],
        http_status=row["http_status"],
        body=msgspec.Raw(row["body"]),
        location=row["location"],
        token=row["token"],
        replayed=row["original_id"] not in (None, row["command_id"]),
        original_id=row["original_id"],
        completed_at=row["completed_at"],
    )
