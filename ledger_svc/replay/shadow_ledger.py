"""A shadow ledger, beside the live one, of the same events, appended by the same code.

The live ledger says in which order and in which batches the events were recorded and when, which is not in
their bytes; the bytes come from the stream, or from the live entries. So where all is well every batch of the
second ledger is that of the first, with its root and its totals; and where the live entries were changed, the
stream's bytes give the root that was on record before.
"""

from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from common.postgres.pool import Connection
from common.replay import stream_reader
from common.replay.bounds import Unreadable
from common.replay.progress import progress
from common.replay.shadow_schema import Sample
from ledger_svc.accounting import totals
from ledger_svc.contracts import envelope
from ledger_svc.event_types import registry
from ledger_svc.log import append_batch, repository
from ledger_svc.log.message_decoder import Read, read
from ledger_svc.log.repository import Head
from ledger_svc.replay import recorded_log
from ledger_svc.transparency import merkle_tree
from ledger_svc.transparency.merkle_tree import Frontier

LIVE, SHADOW = "ledger", "ledger_rebuilt"
MIGRATIONS = Path(__file__).parents[1] / "log/migrations"

ROWS_AT_ONCE = 2_000


class Built(msgspec.Struct, kw_only=True):
    """What was built so far."""

    head: Head = Head()
    upto: int = 0  # the live entry up to which it goes
    batches: int = 0
    other_batches: Sample = msgspec.field(default_factory=Sample)  # that are not as the live ledger has them
    not_in_ledger: Sample = msgspec.field(default_factory=Sample)  # events that are in the stream only
    not_in_stream: Sample = msgspec.field(default_factory=Sample)  # entries that are in the ledger only


class ShadowLedger:
    """It grows batch by batch, as the live one did."""

    def __init__(self, live: Connection, shadow_db: Connection, amqp_url: str | None) -> None:
        """`amqp_url`: of the broker whose stream gives the bytes; None: the live entries give them."""
        self.built = Built()
        self._live = live
        self._shadow = shadow_db
        self._amqp_url = amqp_url
        self._frontier: Frontier = merkle_tree.EMPTY
        self._offset = 0  # of the stream's next message
        self._vkey = ""  # of those that have signed the live ledger's checkpoints, the last
        self._room = 0  # the first entry that needs more partitions

    async def extend(self, end: Head) -> None:
        """Build on, up to a batch of the live ledger. Raises Unreadable."""
        if not self._vkey:
            vkeys = await repository.keys(self._live)
            if not vkeys:
                raise Unreadable(
                    "no batch of the ledger is signed, so no key says whose log a second one would be:"
                    " start its writer, which signs from the next event on, then try again"
                )
            await self._shadow.execute(recorded_log.queries.take_over_keys)
            self._vkey = vkeys[0]
        if self._amqp_url is not None and end.stream_offset >= self._offset:
            await self._stage(self._amqp_url, end)
        total = end.last_seq - self.built.upto
        await self._shadow.execute(recorded_log.queries.allow_unsigned)  # from before there were checkpoints
        with progress("building the second ledger", total, "entries") as advance:
            async for batch in recorded_log.batches(self._live, self.built.upto, end.last_seq):
                await self._append(batch)
                advance(batch.last_seq - self.built.upto)
                self.built.upto = batch.last_seq
        await self._shadow.execute(recorded_log.queries.no_more_unsigned)

    async def _append(self, batch: Head) -> None:
        """Append what a batch of the live ledger has appended."""
        self.built.batches += 1
        rows = await self._rows(self.built.upto, batch.last_seq)
        if len(rows) < batch.last_seq - self.built.upto:
            there = {row["seq"] for row in rows}
            for seq in range(self.built.upto + 1, batch.last_seq + 1):
                if seq not in there:
                    self.built.not_in_stream.add(f"entry {seq}")
        if not rows:
            self.built.other_batches.add(_named(batch))
            return
        fresh = [_readable(row["seq"], row["raw"], batch.stream_offset) for row in rows]
        assert batch.recorded_at is not None  # it is of a batch
        made = await append_batch.prepare(
            self._shadow, self.built.head, self._frontier, fresh, batch.recorded_at
        )
        # What does not follow from the events is taken over, as it is from one batch to the next.
        follows = ("last_seq", "event_id", "root_hash", "totals")
        head = replace(batch, **{name: getattr(made.head, name) for name in follows})
        if replace(head, totals=batch.totals) != batch or totals.differences(batch.totals, head.totals):
            self.built.other_batches.add(_named(batch))
        if head.last_seq >= self._room:
            self._room = await self._shadow.fetchval(recorded_log.queries.make_room)
        async with self._shadow.transaction():
            await repository.append(self._shadow, made.entries, made.nodes, head, self._vkey)
        self.built.head, self._frontier = head, made.frontier

    async def _rows(self, after: int, upto: int) -> list[Any]:
        if self._amqp_url is None:
            found = await self._live.fetch(recorded_log.queries.raws, after, upto)
        else:
            found = await self._shadow.fetch(recorded_log.queries.staged, after, upto)
        return list(found)

    async def _stage(self, amqp_url: str, end: Head) -> None:
        """Put the stream's bytes into a table, under the numbers that the live ledger has given them."""
        await self._shadow.execute(recorded_log.queries.make_staged)
        async with stream_reader.opened(amqp_url) as source:
            extent = await source.extent()
            if extent is None:
                raise Unreadable("the stream is empty")
            if extent.first > self._offset:
                raise Unreadable(
                    f"the stream begins with offset {extent.first}: what was before is in it no longer;"
                    " --source ledger reads the live entries instead"
                )
            last = min(extent.last, end.stream_offset)
            with progress("reading the stream", last - self._offset + 1, "messages") as advance:
                async for messages in source.read(self._offset, last):
                    some, _malformed = read(messages)
                    for start in range(0, len(some), ROWS_AT_ONCE):
                        await self._stage_some(some[start : start + ROWS_AT_ONCE])
                    advance(len(messages))
        self._offset = end.stream_offset + 1

    async def _stage_some(self, some: list[Read]) -> None:
        there = await recorded_log.numbers_at(self._live, list({each.place for each in some}))
        rows: dict[int, bytes] = {}
        for each in some:
            if each.place in there:
                rows.setdefault(there[each.place], each.raw)  # as it came first
            else:
                self.built.not_in_ledger.add("number {2} of {1}, lease {0}".format(*each.place))
        await self._shadow.execute(recorded_log.queries.stage, list(rows), list(rows.values()))


def _readable(seq: int, raw: bytes, offset: int) -> Read:
    try:
        event = envelope.decode(raw)
        registry.data_of(event)
    except (envelope.MalformedEvent, envelope.UnknownEventType) as error:
        raise Unreadable(f"entry {seq} cannot be read, and nothing can be built past it: {error}") from error
    return Read(offset, event, raw)


def _named(batch: Head) -> str:
    return f"the batch that ends with entry {batch.last_seq}"
