"""The whole ledger's tree, grown again from its entries, and in which part it is not what was signed."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ledger_svc.export.format import Parts, level_of
from ledger_svc.transparency import merkle_tree
from ledger_svc.transparency.checkpoint import Checkpoint
from ledger_svc.verifier.entries import entries
from ledger_svc.verifier.findings import Findings
from ledger_svc.verifier.strict_json import hash_of

_AT_ONCE = 1024  # leaves; growing costs less for many


class Part(NamedTuple):
    """Neighbouring entries whose hash is not the one stated."""

    first: int  # seq
    last: int
    stated: bytes
    found: bytes


class Tree:
    """Grows leaf by leaf; notes the root at one earlier size on the way."""

    def __init__(self, signed: Checkpoint, earlier: int | None) -> None:
        self._signed = signed
        self._level = level_of(signed.size)
        self._frontier = merkle_tree.EMPTY
        self._leaves: list[bytes] = []
        self._whole: list[bytes] = []  # the subtrees of that level
        self._earlier = earlier
        self.earlier_root = merkle_tree.EMPTY_ROOT if earlier == 0 else None  # None: it has not grown so far

    def add(self, leaf_hash: bytes) -> None:
        """One more leaf."""
        self._leaves.append(leaf_hash)
        at = self._frontier.size + len(self._leaves)
        if len(self._leaves) == _AT_ONCE or at == self._earlier:
            root = self._grown()
            if at == self._earlier:
                self.earlier_root = root

    def check(self, stated: Parts | None, findings: Findings) -> None:
        """At the end: compare with what was signed, and with the parts if the export states them."""
        root = self._grown()
        listed = [hash_of(each) or b"" for each in stated.hashes] if stated else []
        found = self._parts()
        if root == self._signed.root:
            if stated and (stated.level, listed) != (self._level, found):
                findings.add("inclusion", "the hashes of the tree's parts are not those of the tree")
            return
        changed = list(self._changed(listed, found))
        for part in changed:
            words = f"{entries(part.first, part.last)} not what is sealed"
            only = part.first if part.first == part.last else None
            findings.add("inclusion", words, seq=only, expected=part.stated.hex(), found=part.found.hex())
        if not changed:
            words = "the tree of these entries has another root than was signed"
            findings.add("inclusion", words, expected=self._signed.root.hex(), found=root.hex())

    def _grown(self) -> bytes:
        """The root hash over all leaves so far."""
        self._frontier, nodes = merkle_tree.extend(self._frontier, self._leaves)
        if self._level == 0:
            self._whole += self._leaves
        self._whole += [each.hash for each in nodes if each.level == self._level]
        self._leaves = []
        return merkle_tree.root(self._frontier)

    def _parts(self) -> list[bytes]:
        """The hashes of the parts, see `export_format.stretches`."""
        rest = self._frontier.peaks[len(self._whole).bit_count() :]
        return [*self._whole, *[merkle_tree.fold(rest)] * bool(rest)]

    def _changed(self, stated: Sequence[bytes], found: Sequence[bytes]) -> Iterator[Part]:
        """Parts with another hash than stated; none where those stated are not what the root was made of."""
        if self._frontier.size != self._signed.size or [*map(len, stated)] != [*map(len, found)]:
            return
        whole, rest = stated[: len(self._whole)], stated[len(self._whole) :]
        if (
            merkle_tree.fold([*merkle_tree.extend(merkle_tree.EMPTY, whole)[0].peaks, *rest])
            != self._signed.root
        ):
            return
        width = 1 << self._level
        for number, (listed, grown) in enumerate(zip(stated, found, strict=True)):
            if listed != grown:
                last = min((number + 1) * width, self._signed.size)
                yield Part(number * width + 1, last, listed, grown)
