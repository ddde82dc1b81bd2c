"""The ledger's entries read again: columns, leaf hashes, nodes and roots worked out anew from the bytes."""

from datetime import datetime

import msgspec

from common.db import Connection
from common.replay.beside import Sample
from common.replay.bounds import Bounds
from common.replay.progress import progress
from ledger_svc import entry as entries
from ledger_svc import events, merkle
from ledger_svc.entry import Entry
from ledger_svc.merkle import Frontier, Node
from ledger_svc.replay import record
from ledger_svc.replay.sources import LEDGER, seqs
from ledger_svc.store import Head


class Recomputed(msgspec.Struct, kw_only=True):
    """What came of it."""

    source: str = LEDGER
    first_seq: int
    last_seq: int
    entries: int = 0
    missing: Sample = msgspec.field(default_factory=Sample)  # numbers that no entry has
    different: Sample = msgspec.field(default_factory=Sample)  # entries that are not what their bytes say
    astray: Sample = msgspec.field(default_factory=Sample)  # not found by lease or by id, or found twice
    nodes: int = 0
    wrong_nodes: Sample = msgspec.field(default_factory=Sample)
    batches: int = 0
    wrong_batches: Sample = msgspec.field(default_factory=Sample)  # by root, or by what they call the last
    root_hash: str = ""  # of the entries up to the last, from their bytes
    root_on_record: str = ""
    same: bool = False


async def verify_entries(connection: Connection, bounds: Bounds) -> Recomputed:
    """Work everything out anew and compare it with what is stored. Raises Unreadable."""
    after, upto = await seqs(connection, bounds)
    result = Recomputed(first_seq=after + 1, last_seq=upto)
    work = _Recomputation(connection, result, await record.frontier(connection, after))
    batches = record.batches(connection, after, upto)
    batch = await anext(batches, None)
    with progress("reading the ledger", upto - after, "entries") as advance:
        async for some in record.entries(connection, after, upto):
            for entry in some:
                work.add(entry)
                while batch is not None and batch.last_seq <= entry.seq:
                    work.end_batch(batch, entry, await record.stated_root(connection, batch))
                    batch = await anext(batches, None)
            await work.compare_nodes()
            for seq in await record.astray(connection, some[0].seq - 1, some[-1].seq):
                result.astray.add(f"entry {seq}")
            advance(len(some))
    for found, by in zip(await record.references(connection, after, upto), ("lease", "id"), strict=True):
        if found > result.entries:
            result.astray.add(f"{found - result.entries} more are found by {by}")
    on_record = await record.root(connection, upto)
    result.root_hash, result.root_on_record = work.root.hex(), (on_record or b"").hex()
    wrong = (result.missing, result.different, result.astray, result.wrong_nodes, result.wrong_batches)
    result.same = not any(each.count for each in wrong) and result.root_hash == result.root_on_record
    return result


class _Recomputation:
    def __init__(self, connection: Connection, result: Recomputed, tree: Frontier) -> None:
        self._connection = connection
        self._result = result
        self._tree = tree
        self._leaves: list[bytes] = []  # of entries that are not yet in the tree
        self._nodes: list[Node] = []  # that are not yet compared
        self._next = result.first_seq
        self._times: set[datetime] = set()  # of recording, of entries whose batch has not ended yet

    def add(self, entry: Entry) -> None:
        if entry.seq != self._next:
            self._result.missing.add(f"{self._next} to {entry.seq - 1}")
        self._next = entry.seq + 1
        self._result.entries += 1
        try:
            told = entries.seal(
                events.decode(entry.raw), entry.raw, seq=entry.seq, recorded_at=entry.recorded_at
            )
        except events.MalformedEvent as error:
            self._result.different.add(f"entry {entry.seq}: {error}")
        else:
            columns = Entry.__struct_fields__
            if wrong := [name for name in columns if getattr(told, name) != getattr(entry, name)]:
                self._result.different.add(f"entry {entry.seq}: {', '.join(wrong)}")
        self._leaves.append(merkle.leaf_hash(entry.raw))
        self._times.add(entry.recorded_at)

    def end_batch(self, batch: Head, last: Entry, stated_root: bytes | None) -> None:
        """Its last entry has been added; `stated_root`: by its checkpoint."""
        self._result.batches += 1
        ends = (batch.last_seq, batch.event_id) == (last.seq, last.event_id)
        timed, self._times = self._times <= {batch.recorded_at}, set()
        if not (ends and timed and batch.root_hash == self.root == stated_root):
            self._result.wrong_batches.add(f"the batch that ends with entry {batch.last_seq}")

    @property
    def root(self) -> bytes:
        """Of all that was added."""
        self._tree, nodes = merkle.extend(self._tree, self._leaves)
        self._leaves = []
        self._nodes += nodes
        return merkle.root(self._tree)

    async def compare_nodes(self) -> None:
        """Compare the nodes that were completed."""
        stored = await record.nodes(self._connection, [(node.level, node.position) for node in self._nodes])
        for node in self._nodes:
            if stored.get((node.level, node.position)) != node.hash:
                self._result.wrong_nodes.add(f"level {node.level}, position {node.position}")
        self._result.nodes += len(self._nodes)
        self._nodes = []
