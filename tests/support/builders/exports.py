"""Signed exports of ledgers that exist in memory alone, for tests of the verifier."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

from ledger_svc.contracts.entry import Entry
from ledger_svc.export import format as export_format
from ledger_svc.export.format import Parts
from ledger_svc.export.writer import Export, ExportFormat, Path, export
from ledger_svc.transparency import checkpoint, merkle_tree, proofs, signed_note
from ledger_svc.transparency.signed_note import SigningKey
from tests.support.builders.event_mixes import interleave, random_life, record
from tests.support.builders.events import START, Life

KEY = signed_note.generate(checkpoint.ORIGIN)
LATER = START + timedelta(days=400)


class Ledger:
    """Entries, their tree and its signed heads."""

    def __init__(self, lives: Sequence[Life], raws: Sequence[bytes], key: SigningKey = KEY) -> None:
        self.lives = lives
        self.key = key
        self.entries = record(raws)
        leaves = [entry.leaf_hash for entry in self.entries]
        _, inner = merkle_tree.extend(merkle_tree.EMPTY, leaves)
        self.nodes = {(each.level, each.position): each.hash for each in inner}
        self.nodes |= {(0, index): leaf for index, leaf in enumerate(leaves)}

    def checkpoint(self, size: int | None = None) -> str:
        """The signed head of the tree when it had so many entries; now, unless told otherwise."""
        size = len(self.entries) if size is None else size
        (root,) = proofs.hashes([proofs.root(size)], self.nodes)
        return checkpoint.signed(self.key, size, root)

    async def export(
        self,
        form: ExportFormat = "ndjson",
        lease_id: str | None = None,
        size: int | None = None,
        exported_at: datetime = LATER,
    ) -> bytes:
        """A lease's export or (no `lease_id`) the whole ledger's, as it was with `size` entries."""
        size = len(self.entries) if size is None else size
        what = Export(
            lease_id=lease_id,
            exported_at=exported_at,
            checkpoint=self.checkpoint(size),
            parts=None if lease_id else self._parts(size),
        )
        chunks = export(form, what, self._rows(lease_id, size), self.key)
        return b"".join([chunk async for chunk in chunks])

    async def _rows(self, lease_id: str | None, size: int) -> AsyncIterator[tuple[Entry, Path]]:
        for entry in self.entries[:size]:
            if lease_id is None:
                yield entry, None
            elif entry.lease_id == lease_id:
                yield entry, proofs.hashes(proofs.inclusion(entry.seq - 1, size), self.nodes)

    def _parts(self, size: int) -> Parts:
        hashes = proofs.hashes(export_format.stretches(size), self.nodes)
        return Parts(level=export_format.level_of(size), hashes=[each.hex() for each in hashes])


def ledger(seed: int, leases: int = 4, key: SigningKey = KEY) -> Ledger:
    """A ledger of leases that lived at random, their events interleaved."""
    chance = random.Random(seed)
    lives = [random_life(chance) for _ in range(leases)]
    return Ledger(lives, mixed([interleave(life.raws, chance) for life in lives], chance), key)


def mixed(streams: Sequence[Sequence[bytes]], chance: random.Random) -> list[bytes]:
    """One stream of all of these, each in its own order."""
    turns = [number for number, stream in enumerate(streams) for _ in stream]
    chance.shuffle(turns)
    left = [iter(stream) for stream in streams]
    return [next(left[number]) for number in turns]
