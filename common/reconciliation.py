"""Comparing what a service has told with what the ledger has recorded, over the broker.

The stream between them may lose what it had confirmed; the outbox and the ledger are both in PostgreSQL. So
the ledger says by a command what it holds of a set of events, their number and a digest of their exact bytes;
the service looks into its outbox and, where that differs, publishes the set again. Whoever has an event
already recognises the repeat, so asking too often costs work and nothing else.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from common import outbox
from common.clock import utcnow
from common.db import Connection
from common.envelope import Command, Event, Outcome, encode
from common.worker import Poison, Unit

TYPE = "ReconcileEvents"
EVENTS_PER_SET = 1_000  # more are not compared, or published again, at once
SETS_PER_COMMAND = 20
# What is about to be pruned counts as gone: it must not become pending in that moment.
KEPT = outbox.HORIZON - timedelta(hours=1)
REACH = KEPT - timedelta(hours=1)  # so far back the ledger compares; in between, clocks may differ

Number = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Range(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Events of one lease by their numbers."""

    lease_id: str
    first: Number
    last: Number
    count: int  # how many of them the ledger has
    digest: str  # of those


class Window(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Events of all leases by their ids, which are UUIDv7 and tell when they were made."""

    since: str  # an event id, inclusive
    until: str  # an event id, exclusive
    count: int  # how many of them the ledger has
    digest: str  # of those


Set = Range | Window


class ReconcileEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Compare these sets with the outbox, and publish again those that differ."""

    sets: Annotated[list[Set], Meta(min_length=1, max_length=SETS_PER_COMMAND)]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the outbox holds of one set."""

    count: int
    digest: str
    pending: int  # how many of them were still to be published for the first time
    # Of a window with more than EVENTS_PER_SET events, which was not compared: where it would have to end.
    until: str | None = None


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of ReconcileEvents: an answer for each set, in order."""

    answers: list[Answer]


_decode = msgspec.json.Decoder(ReconcileEvents).decode


def digest(leaf_hashes: Iterable[bytes]) -> str:
    """One hash of a set of different events, whatever their order: the XOR of their leaf hashes, in hex.

    It tells sets apart that differ by accident, which is what it is for; a proof is the ledger's tree.
    """
    total = 0
    for leaf_hash in leaf_hashes:
        total ^= int.from_bytes(leaf_hash)
    return f"{total:064x}"


class WithReconciliation:
    """A service's unit of work that carries out ReconcileEvents besides."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def carry_out(
        self, connection: Connection, commands: Sequence[Command]
    ) -> tuple[list[Outcome], list[Event]]:
        """As the service's own unit of work."""
        own = [command for command in commands if command.type != TYPE]
        outcomes, events = await self._unit.carry_out(connection, own) if own else ([], [])
        decided = iter(outcomes)
        return [
            await _reconcile(connection, command) if command.type == TYPE else next(decided)
            for command in commands
        ], events

    async def project(self, connection: Connection, events: Sequence[Event]) -> list[Event]:
        """As the service's own unit of work."""
        return await self._unit.project(connection, events)


async def _reconcile(connection: Connection, command: Command) -> Outcome:
    try:
        asked = _decode(command.data)
    except msgspec.DecodeError as error:
        raise Poison(str(error)) from error
    answers = [await _compare(connection, each) for each in asked.sets]
    return Outcome(
        command_id=command.command_id,
        status="succeeded",
        http_status=200,
        body=msgspec.Raw(encode(Reconciliation(answers=answers))),
    )


async def _compare(connection: Connection, asked: Set) -> Answer:
    kept_since, limit = utcnow() - KEPT, EVENTS_PER_SET + 1
    queries = outbox.queries
    if isinstance(asked, Range):
        place = (asked.lease_id, asked.first, asked.last)
        rows = await connection.fetch(queries.outbox_range, *place, kept_since, limit)
        rows = rows[:EVENTS_PER_SET]
    else:
        rows = await connection.fetch(queries.outbox_window, asked.since, asked.until, kept_since, limit)
        if len(rows) > EVENTS_PER_SET:
            return Answer(count=len(rows), digest="", pending=0, until=rows[-1]["event_id"])
    answer = Answer(
        count=len(rows),
        digest=digest(row["leaf_hash"] for row in rows),
        pending=sum(row["pending"] for row in rows),
    )
    if (answer.count, answer.digest) != (asked.count, asked.digest):
        await connection.execute(queries.publish_again, [row["id"] for row in rows])
    return answer
