"""Comparing what a service has told with what the ledger has recorded, over the broker.

The stream between them may lose what it had confirmed; the outbox and the ledger are both in PostgreSQL. So
the ledger says by a command what it holds of a set of events, and the service looks into its outbox. Two
kinds of sets tell cheaply whether anything is missing, by number and digest of the exact bytes. The third
lists the events: that names what differs, and compares every entry, whatever its id says. What the ledger
lacks is published again. Whoever has an event already recognises the repeat, so asking too often costs work
and nothing else.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta

from common.errors import UnprocessableMessage
from common.kernel.clock import utcnow
from common.messaging import outbox
from common.messaging.command_processor import CommandHandler
from common.messaging.envelope import Command, Event, Outcome, encode
from common.messaging.event_processor import EventHandler
from common.messaging.outbox_differences import What
from common.postgres.pool import Connection

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


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """An event that the ledger has."""

    event_id: str
    leaf_hash: bytes  # of its exact bytes; base64 in JSON


class Listing(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Events one by one; with `since` and `until` these are all that the ledger has of that window.

    Each is looked for by its id, wherever that lies. Of a window, what the outbox has besides is missing in
    the ledger, and is published again.
    """

    events: Annotated[list[Known], Meta(max_length=EVENTS_PER_SET)]
    since: str | None = None  # an event id, inclusive
    until: str | None = None  # an event id, exclusive


Set = Range | Window | Listing


class ReconcileEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Compare these sets with the outbox, and publish again those that differ."""

    sets: Annotated[list[Set], Meta(min_length=1, max_length=SETS_PER_COMMAND)]


class Differing(msgspec.Struct, frozen=True, kw_only=True):
    """An event in which ledger and outbox differ."""

    differs: What
    event_id: str
    # Of a missing one, which the ledger cannot know:
    lease_id: str | None = None
    event_type: str | None = None
    sequence: int | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the outbox holds of one set."""

    count: int
    digest: str
    pending: int  # how many of them were still to be published for the first time
    # Of a window with more than EVENTS_PER_SET events, which was not compared: where it would have to end.
    until: str | None = None
    differing: list[Differing] = []  # of a listing; what is pending is none, it is on its way


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


class Unit(CommandHandler, EventHandler, Protocol):
    """A service's unit of work."""


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
        raise UnprocessableMessage(str(error)) from error
    ranges = [each for each in asked.sets if isinstance(each, Range)]
    by_numbers = iter(await _compare_numbers(connection, ranges) if ranges else [])
    answers = [
        next(by_numbers) if isinstance(each, Range) else await _compare(connection, each)
        for each in asked.sets
    ]
    return Outcome(
        command_id=command.command_id,
        status="succeeded",
        http_status=200,
        body=msgspec.Raw(encode(Reconciliation(answers=answers))),
    )


async def _compare_numbers(connection: Connection, asked: Sequence[Range]) -> list[Answer]:
    places = [(each.lease_id, each.first, each.last) for each in asked]
    rows = await connection.fetch(
        outbox.queries.outbox_ranges, *zip(*places, strict=True), _kept_since(), EVENTS_PER_SET
    )
    of = [[row for row in rows if row["place"] == place] for place in range(1, len(asked) + 1)]
    answers = [_summed(theirs) for theirs in of]
    again = [
        row["id"]
        for each, answer, theirs in zip(asked, answers, of, strict=True)
        if (answer.count, answer.digest) != (each.count, each.digest)
        for row in theirs
    ]
    if again:
        await connection.execute(outbox.queries.publish_again, again)
    return answers


async def _compare(connection: Connection, asked: Window | Listing) -> Answer:
    if isinstance(asked, Listing):
        return await _compare_each(connection, asked)
    rows = await _window(connection, asked.since, asked.until)
    if len(rows) > EVENTS_PER_SET:
        return Answer(count=len(rows), digest="", pending=0, until=rows[-1]["event_id"])
    return _summed(rows)


async def _compare_each(connection: Connection, asked: Listing) -> Answer:
    """A window's difference is told event by event, and only what the ledger lacks is published again."""
    rows = await connection.fetch(outbox.queries.outbox_events, [each.event_id for each in asked.events])
    told = {row["event_id"]: row["leaf_hash"] for row in rows}
    differing = []
    for each in asked.events:
        if (leaf_hash := told.get(each.event_id)) != each.leaf_hash:
            differs: What = "unknown" if leaf_hash is None else "other_bytes"
            differing.append(Differing(differs=differs, event_id=each.event_id))
    lacking: list[Any] = []
    if asked.since is not None and asked.until is not None:
        known = {each.event_id for each in asked.events}
        window = await _window(connection, asked.since, asked.until)
        lacking = [row for row in window if row["event_id"] not in known]
    if lacking:
        names = await connection.fetch(
            outbox.queries.outbox_names, [row["id"] for row in lacking if not row["pending"]]
        )
        differing += [Differing(differs="missing", **row) for row in names]
        await connection.execute(outbox.queries.publish_again, [row["id"] for row in lacking])
    return Answer(
        count=len(rows),
        digest=digest(row["leaf_hash"] for row in rows),
        pending=sum(row["pending"] for row in lacking),
        differing=differing,
    )


async def _window(connection: Connection, since: str, until: str) -> list[Any]:
    wanted = (since, until, _kept_since(), EVENTS_PER_SET + 1)
    rows: list[Any] = await connection.fetch(outbox.queries.outbox_window, *wanted)
    return rows


def _summed(rows: Sequence[Any]) -> Answer:
    return Answer(
        count=len(rows),
        digest=digest(row["leaf_hash"] for row in rows),
        pending=sum(row["pending"] for row in rows),
    )


def _kept_since() -> datetime:
    return utcnow() - KEPT
