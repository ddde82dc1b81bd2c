"""The ledger's entries read again: columns, leaf hashes, nodes, roots and totals worked out anew."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from common.kernel.ids import canonical_uuid
from common.postgres.pool import Connection
from common.replay.bounds import Bounds
from common.replay.progress import progress
from common.replay.shadow_schema import Sample
from ledger_svc.contracts import envelope
from ledger_svc.contracts.entry import Entry
from ledger_svc.contracts.envelope import Event
from ledger_svc.log import entry as entries
from ledger_svc.log.repository import Head
from ledger_svc.replay import balances, recorded_log
from ledger_svc.replay.balances import Sums
from ledger_svc.replay.bounds import LEDGER, seqs
from ledger_svc.transparency import merkle_tree
from ledger_svc.transparency.merkle_tree import Frontier, Node


class Recomputed(msgspec.Struct, kw_only=True):
    """What came of it."""

    source: str = LEDGER
    first_seq: int
    last_seq: int
    entries: int = 0
    missing: Sample = msgspec.field(default_factory=Sample)  # numbers that no entry has
    different: Sample = msgspec.field(default_factory=Sample)  # entries that are not what their bytes say
    astray: Sample = msgspec.field(
        default_factory=Sample
    )  # not found by all that they are found by, or found twice
    nodes: int = 0
    wrong_nodes: Sample = msgspec.field(default_factory=Sample)
    batches: int = 0
    wrong_batches: Sample = msgspec.field(default_factory=Sample)  # by root, or by what they call the last
    wrong_totals: Sample = msgspec.field(default_factory=Sample)  # batches, and what of their totals
    root_hash: str = ""  # of the entries up to the last, from their bytes
    root_on_record: str = ""
    same: bool = False


async def verify_entries(connection: Connection, bounds: Bounds) -> Recomputed:
    """Work everything out anew and compare it with what is stored. Raises Unreadable."""
    after, upto = await seqs(connection, bounds)
    result = Recomputed(first_seq=after + 1, last_seq=upto)
    begun = await recorded_log.frontier(connection, after), await balances.as_of(connection, after)
    work = _Recomputation(connection, result, *begun)
    batches = recorded_log.batches(connection, after, upto)
    batch = await anext(batches, None)
    with progress("reading the ledger", upto - after, "entries") as advance:
        async for some in recorded_log.entries(connection, after, upto):
            await work.read(some)
            for entry in some:
                work.add(entry)
                while batch is not None and batch.last_seq <= entry.seq:
                    work.end_batch(batch, entry, await recorded_log.stated_root(connection, batch))
                    batch = await anext(batches, None)
            await work.compare_nodes()
            for seq in await recorded_log.astray(connection, some[0].seq - 1, some[-1].seq):
                result.astray.add(f"entry {seq}")
            advance(len(some))
    by_lease, by_id, by_correlation = await recorded_log.references(connection, after, upto)
    for found, there, by in (
        (by_lease, result.entries, "lease"),
        (by_id, result.entries, "id"),
        (by_correlation, work.correlated, "correlation"),
    ):
        if found > there:
            result.astray.add(f"{found - there} more are found by {by}")
    on_record = await recorded_log.root(connection, upto)
    result.root_hash, result.root_on_record = work.root.hex(), (on_record or b"").hex()
    wrong = [value for value in msgspec.structs.asdict(result).values() if isinstance(value, Sample)]
    result.same = not any(each.count for each in wrong) and result.root_hash == result.root_on_record
    return result


class _Recomputation:
    def __init__(self, connection: Connection, result: Recomputed, tree: Frontier, totals: Sums) -> None:
        self._connection = connection
        self._result = result
        self._tree = tree
        self._totals = totals
        self._leaves: list[bytes] = []  # of entries that are not yet in the tree
        self._nodes: list[Node] = []  # that are not yet compared
        self._next = result.first_seq
        self._times: set[datetime] = set()  # of recording, of entries whose batch has not ended yet
        self.correlated = 0  # entries with a correlation id
        self._events: dict[int, Event] = {}  # of what is to be added, by seq; of what cannot be read none

    async def read(self, some: Sequence[Entry]) -> None:
        """Read the events of entries that are to be added next."""
        self._events = {}
        for entry in some:
            try:
                self._events[entry.seq] = envelope.decode(entry.raw)
            except envelope.MalformedEvent as error:
                self._result.different.add(f"entry {entry.seq}: {error}")
        await self._totals.look_up(list(self._events.values()), some[0].seq - 1)

    def add(self, entry: Entry) -> None:
        if entry.seq != self._next:
            self._result.missing.add(f"{self._next} to {entry.seq - 1}")
        self._next = entry.seq + 1
        self._result.entries += 1
        if event := self._events.get(entry.seq):
            self._compare(entry, event)
        self._leaves.append(merkle_tree.leaf_hash(entry.raw))
        self._times.add(entry.recorded_at)

    def _compare(self, entry: Entry, event: Event) -> None:
        sealed = entries.seal(event, entry.raw, seq=entry.seq, recorded_at=entry.recorded_at)
        self.correlated += canonical_uuid(event.correlationid or "") is not None
        columns = Entry.__struct_fields__
        if wrong := [name for name in columns if getattr(sealed, name) != getattr(entry, name)]:
            self._result.different.add(f"entry {entry.seq}: {', '.join(wrong)}")
        try:
            self._totals.add(event)
        except envelope.MalformedEvent as error:
            self._result.different.add(f"entry {entry.seq}: {error}")

    def end_batch(self, batch: Head, last: Entry, stated_root: bytes | None) -> None:
        """Its last entry has been added; `stated_root`: by its checkpoint."""
        self._result.batches += 1
        name = f"the batch that ends with entry {batch.last_seq}"
        ends = (batch.last_seq, batch.event_id) == (last.seq, last.event_id)
        timed, self._times = self._times <= {batch.recorded_at}, set()
        if not (ends and timed and batch.root_hash == self.root == stated_root):
            self._result.wrong_batches.add(name)
        if wrong := self._totals.differ(batch):
            self._result.wrong_totals.add(f"{name}: {', '.join(wrong)}")

    @property
    def root(self) -> bytes:
        """Of all that was added."""
        self._tree, nodes = merkle_tree.extend(self._tree, self._leaves)
        self._leaves = []
        self._nodes += nodes
        return merkle_tree.root(self._tree)

    async def compare_nodes(self) -> None:
        """Compare the nodes that were completed."""
        stored = await recorded_log.nodes(
            self._connection, [(node.level, node.position) for node in self._nodes]
        )
        for node in self._nodes:
            if stored.get((node.level, node.position)) != node.hash:
                self._result.wrong_nodes.add(f"level {node.level}, position {node.position}")
        self._result.nodes += len(self._nodes)
        self._nodes = []
