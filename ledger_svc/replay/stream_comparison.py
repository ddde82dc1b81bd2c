"""The stream held against the ledger: every event of the one is in the other, with the same bytes.

- Each event that the stream delivers has to stand in the ledger at its place (lease, source, number), byte
  for byte, and under the leaf hash of these bytes.
- Each entry that was recorded from what is read has to be in it. Which these are say the batches: one that
  ended at offset b, after one that ended at offset a, took its entries from messages a+1 to b.
- The root over the stream's own bytes, on top of the tree before them, is the root on record: as long as they
  come in the order in which they were recorded, and repeats aside they do.
"""

from collections.abc import Iterator, Sequence

import msgspec

from common.postgres.pool import Connection
from common.replay.bounds import Bounds
from common.replay.shadow_schema import Sample
from ledger_svc.contracts.entry import Entry
from ledger_svc.log import stream_position
from ledger_svc.log.message_decoder import Place, Read
from ledger_svc.replay import recorded_log
from ledger_svc.replay.recorded_log import Stored
from ledger_svc.transparency import merkle_tree
from ledger_svc.transparency.merkle_tree import Frontier, leaf_hash

LOOKED_UP_AT_ONCE = 2_000
AGAIN_MAX = 10_000  # events that are not found at first and looked up again at the end


class Compared(msgspec.Struct, kw_only=True):
    """What came of it."""

    events: int = 0
    repeats: int = 0  # the same bytes once more
    awaited: int = 0  # not in the ledger, which has not yet read so far
    not_in_ledger: Sample = msgspec.field(default_factory=Sample)
    different: Sample = msgspec.field(default_factory=Sample)
    entries: int = 0  # recorded from what was read
    not_in_stream: Sample = msgspec.field(default_factory=Sample)
    tree_size: int | None = None  # of the root, computed from the stream's bytes; null: it was not
    root_hash: str | None = None
    root_on_record: str | None = None
    same: bool = False  # nothing was found


class Comparison:
    """Of the stream's events, as they come, with the entries."""

    def __init__(self, connection: Connection, bounds: Bounds, first: int, last: int) -> None:
        """`first` and `last`: the offsets that are read."""
        self.result = Compared()
        self._connection = connection
        self._bounds = bounds
        self._offsets = first, last
        self._after = self._upto = 0  # the entries that were recorded from these
        self._come = bytearray()  # a bit for each of them
        self._absent: list[tuple[Place, int, bytes]] = []  # place, offset and leaf hash of what was not found
        self._tree: Frontier | None = None  # of the entries up to the stream's last; None: not begun
        self._in_order = True

    async def begin(self) -> None:
        """Work out what has to come. To be called before the first event."""
        self._after, self._upto = await recorded_from(self._connection, *self._offsets)
        self._come = bytearray((self._upto - self._after + 7) // 8)
        self.result.entries = self._upto - self._after

    async def take(self, events: Sequence[Read]) -> None:
        """Compare these, in order."""
        for start in range(0, len(events), LOOKED_UP_AT_ONCE):
            some = events[start : start + LOOKED_UP_AT_ONCE]
            wanted = [each for each in some if self._bounds.hold(each.event.time)]
            self._in_order = self._in_order and len(wanted) == len(some)
            there = await recorded_log.at_places(self._connection, list({each.place for each in wanted}))
            for each in wanted:
                self.result.events += 1
                await self._one(each, there.get(each.place))

    async def conclude(self) -> Compared:
        """Look again for events that were not found, and for entries that did not come."""
        reached = await stream_position.stored(self._connection)
        there = await recorded_log.at_places(self._connection, list({place for place, _, _ in self._absent}))
        for place, offset, leaf in self._absent:
            if place in there:
                if leaf_hash(there[place].raw) != leaf:
                    self.result.different.add(_words(place, offset))
            elif offset > reached.stream_offset:
                self.result.awaited += 1
            else:
                self.result.not_in_ledger.add(_words(place, offset))
        for seqs in self._not_come():
            for entry in await recorded_log.numbered(self._connection, seqs):
                if self._bounds.hold(entry.occurred_at):
                    self.result.not_in_stream.add(entry_words(entry))
        if self._in_order and self._tree is not None:
            self.result.tree_size = self._tree.size
            self.result.root_hash = merkle_tree.root(self._tree).hex()
            self.result.root_on_record = (
                await recorded_log.root(self._connection, self._tree.size) or b""
            ).hex()
        found = (self.result.not_in_ledger, self.result.different, self.result.not_in_stream)
        roots_are = self.result.root_hash == self.result.root_on_record
        self.result.same = roots_are and not any(each.count for each in found)
        return self.result

    async def _one(self, each: Read, there: Stored | None) -> None:
        leaf = leaf_hash(each.raw)
        if there is None:
            if len(self._absent) < AGAIN_MAX:
                self._absent.append((each.place, each.offset, leaf))
            else:
                self.result.not_in_ledger.add(_words(each.place, each.offset))
            return
        if there.raw != each.raw or there.leaf_hash != leaf:
            self.result.different.add(f"entry {there.seq}: {_words(each.place, each.offset)}")
        await self._grow(there.seq, leaf)
        if self._after < there.seq <= self._upto:
            byte, bit = divmod(there.seq - self._after - 1, 8)
            self.result.repeats += self._come[byte] >> bit & 1
            self._come[byte] |= 1 << bit

    async def _grow(self, seq: int, leaf: bytes) -> None:
        """Add a leaf to the tree, if it is the next."""
        if self._tree is None and self._in_order:
            self._tree = await recorded_log.frontier(self._connection, seq - 1)
        if self._tree is not None and seq > self._tree.size:
            self._in_order = self._in_order and seq == self._tree.size + 1
            self._tree = merkle_tree.extend(self._tree, [leaf])[0] if self._in_order else self._tree

    def _not_come(self) -> Iterator[list[int]]:
        """Numbers of entries that have not come, some at a time."""
        some: list[int] = []
        for index in range(self._upto - self._after):
            if not self._come[index // 8] >> index % 8 & 1:
                some.append(self._after + 1 + index)
                if len(some) == LOOKED_UP_AT_ONCE:
                    yield some
                    some = []
        if some:
            yield some


async def recorded_from(connection: Connection, first: int, last: int) -> tuple[int, int]:
    """The entries that were recorded from the messages first … last: after < seq ≤ upto, (0, 0) for none.

    Only of the stream that was read last: before its generation, offsets were another's.
    """
    after = upto = 0
    generation = (await stream_position.stored(connection)).generation
    batches = recorded_log.batches_back(connection)
    batch = await anext(batches, None)
    while batch is not None and batch.generation == generation:
        before = await anext(batches, None)
        goes_on = before is not None and before.generation == generation
        if batch.stream_offset <= last:
            if (before.stream_offset + 1 if before and goes_on else 0) < first:
                break
            upto = upto or batch.last_seq
            after = before.last_seq if before else 0
        batch = before
    return after, upto


def entry_words(entry: Entry) -> str:
    """Which entry it is."""
    return f"entry {entry.seq}: {_words((entry.lease_id, entry.source, entry.sequence))}"


def _words(place: Place, offset: int | None = None) -> str:
    lease_id, source, number = place
    at = "" if offset is None else f", at offset {offset}"
    return f"number {number} of {source}, lease {lease_id}{at}"
