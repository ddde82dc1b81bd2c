"""The Merkle tree that seals the ledger: append-only, grown leaf by leaf, never rebuilt.

Source: RFC 9162 (Certificate Transparency 2.0), section 2.1.1 for the hashes and the shape of the tree,
section 2.1.2 for growing it with a stack. Only the right edge (the *frontier*) is needed to go on: O(log n)
hashes. Roots of the perfect subtrees that an append completes are handed back, to be stored once and never
changed; inclusion and consistency proofs (sections 2.1.3 and 2.1.4) are then look-ups of stored nodes.

A node is addressed by (level, position): it covers the leaves position·2^level … (position+1)·2^level - 1,
counted from 0. Level 0 are the leaf hashes themselves.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

HASH_BYTES = 32  # SHA-256
EMPTY_ROOT = sha256(b"").digest()

# Inner nodes are stored of levels 3, 6, 9 …; those between are folded from 2 or 4 stored ones when they are
# needed. That is a row for every seventh entry instead of one for each.
STORED_LEVELS = 3

# Different prefixes for leaves and nodes, so that neither can be passed off as the other (RFC 9162, 2.1.1).
_LEAF = b"\x00"
_NODE = b"\x01"


class Node(NamedTuple):
    """The root of one perfect subtree."""

    level: int  # the subtree has 2^level leaves
    position: int  # its place among the subtrees of its level, from 0
    hash: bytes  # 32 bytes


class Frontier(msgspec.Struct, frozen=True):
    """The right edge of a tree: the roots of its largest perfect subtrees, left to right."""

    size: int = 0  # leaves in the tree
    peaks: tuple[bytes, ...] = ()  # one for every 1 bit of `size`, the largest subtree first

    def __post_init__(self) -> None:
        """Refuse with ValueError what cannot be a frontier: it would seal a wrong tree without a word."""
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            raise ValueError(f"{len(self.peaks)} peaks cannot be the frontier of {self.size} leaves")
        if any(len(peak) != HASH_BYTES for peak in self.peaks):
            raise ValueError(f"a peak is a hash of {HASH_BYTES} bytes")


EMPTY = Frontier()


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 ‖ entry): the hash of one leaf, here of an event's exact bytes (RFC 9162, 2.1.1)."""
    return sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right): the hash of an inner node (RFC 9162, 2.1.1)."""
    return sha256(_NODE + left + right).digest()


def extend(frontier: Frontier, leaf_hashes: Iterable[bytes]) -> tuple[Frontier, list[Node]]:
    """Append leaves; give the new frontier and the perfect subtrees they completed, of the stored levels.

    The nodes come in the order of their completion, children before parents, and no (level, position) comes
    twice in the life of a tree: n appends make fewer than n/7 nodes. One leaf merges as many subtrees as its
    index has trailing 1 bits (the loop of RFC 9162, 2.1.2). ValueError where a leaf hash is not 32 bytes.
    """
    size = frontier.size
    peaks = list(frontier.peaks)
    completed: list[Node] = []
    for leaf in leaf_hashes:
        if len(leaf) != HASH_BYTES:
            raise ValueError(f"a leaf hash has {HASH_BYTES} bytes, not {len(leaf)}")
        top = leaf
        level, position = 0, size
        while position & 1:
            top = sha256(_NODE + peaks.pop() + top).digest()
            level += 1
            position >>= 1
            if not level % STORED_LEVELS:
                completed.append(Node(level, position, top))
        peaks.append(top)
        size += 1
    return Frontier(size, tuple(peaks)), completed


def root(frontier: Frontier) -> bytes:
    """The root hash of the whole tree."""
    return fold(frontier.peaks)


def fold(peaks: Sequence[bytes]) -> bytes:
    """The hash over neighbouring perfect subtrees, the largest first (MTH of RFC 9162, 2.1.1).

    They are folded from the right; of none it is SHA-256("").
    """
    if not peaks:
        return EMPTY_ROOT
    top = peaks[-1]
    for peak in reversed(peaks[:-1]):
        top = node_hash(peak, top)
    return top


def peaks_of(size: int) -> list[tuple[int, int]]:
    """(level, position) of the nodes that are the frontier of a tree of `size` leaves, largest first.

    What is needed to go on after a restart; a level 0 (where `size` is odd) is the last leaf hash itself.
    """
    levels = (level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1)
    return [(level, (size >> level) - 1) for level in levels]


def restore(size: int, peaks: Sequence[bytes]) -> Frontier:
    """The frontier of `size` leaves from the hashes of `peaks_of(size)`, in that order.

    ValueError where their number or length is wrong. That they are the right ones shows the root alone:
    compare it with the last one recorded.
    """
    return Frontier(size, tuple(peaks))
