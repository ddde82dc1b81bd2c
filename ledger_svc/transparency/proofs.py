"""Inclusion and consistency proofs: which nodes they are made of, how they are put together, how verified.

Source: RFC 9162, sections 2.1.3 and 2.1.4. A path's hashes are roots of stretches of leaves; each stretch is
folded from perfect subtrees which `merkle.extend` has handed out to be stored (level 0 are the leaf hashes
themselves). So making a proof is: `inclusion` or `consistency` say what is needed, `addresses` lists it, the
caller looks all of it up at once, and `hashes` folds what was found. Nothing here reads or writes anything.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from ledger_svc.transparency import merkle_tree
from ledger_svc.transparency.merkle_tree import node_hash

Address = tuple[int, int]  # (level, position), see `merkle`
Stretch = tuple[Address, ...]  # stored nodes of neighbouring leaves, left to right: together one hash


def inclusion(index: int, size: int) -> list[Stretch]:
    """The path of the leaf `index` (from 0) in the tree of `size` leaves, from the leaf to the root.

    PATH of RFC 9162, 2.1.3.1. ValueError where the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_stretch(middle, end))
            end = middle
        else:
            path.append(_stretch(start, middle))
            start = middle
    path.reverse()
    return path


def consistency(first: int, second: int) -> list[Stretch]:
    """The path that shows the tree of `first` leaves to be the beginning of the tree of `second`.

    PROOF and SUBPROOF of RFC 9162, 2.1.4.1. It is empty where they are the same, and where the first has no
    leaves: any tree begins with none. ValueError where `first` is not within 0 to `second`.
    """
    if not 0 <= first <= second:
        raise ValueError(f"a tree of {first} leaves is not the beginning of one of {second}")
    path = []
    start, end = 0, second
    while 0 < first < end:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(_stretch(middle, end))
            end = middle
        else:
            path.append(_stretch(start, middle))
            start = middle
    if start > 0:  # else the stretch is the first tree itself, and whoever verifies has its root
        path.append(_stretch(start, end))
    path.reverse()
    return path


def root(size: int) -> Stretch:
    """The whole tree of `size` leaves as one stretch: what its root hash is folded from."""
    return _stretch(0, size)


def frontier(size: int) -> list[Stretch]:
    """The right edge of the tree of `size` leaves: a stretch for each of `merkle.peaks_of(size)`."""
    return [_stored(*peak) for peak in merkle_tree.peaks_of(size)]


def addresses(stretches: Iterable[Stretch]) -> set[Address]:
    """Every node that has to be looked up for these."""
    return set(chain.from_iterable(stretches))


def hashes(stretches: Iterable[Stretch], nodes: Mapping[Address, bytes]) -> list[bytes]:
    """The hash of each stretch, from the nodes that were looked up. KeyError where one is missing."""
    return [_folded(stretch, nodes) for stretch in stretches]


def includes(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root_hash: bytes) -> bool:
    """Whether the path shows the leaf to be number `index` (from 0) of the tree with this size and root.

    The algorithm of RFC 9162, 2.1.3.2.
    """
    if not 0 <= index < size or not _all_hashes(leaf_hash, *path):
        return False
    fn, sn = index, size - 1
    r = leaf_hash
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            r = node_hash(r, p)
        fn >>= 1
        sn >>= 1
    return sn == 0 and r == root_hash


def consistent(first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the path shows the first tree to be the beginning of the second.

    The algorithm of RFC 9162, 2.1.4.2, and for the trees that it leaves out: the same tree, and no leaves.
    """
    if not 0 <= first <= second:
        return False
    if first == second:
        return not path and first_root == second_root
    if first == 0:
        return not path and first_root == merkle_tree.EMPTY_ROOT
    if not path or not _all_hashes(first_root, *path):
        return False
    if first & (first - 1) == 0:  # a perfect tree is the first node of its own proof
        path = [first_root, *path]
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr = node_hash(c, fr)
            sr = node_hash(c, sr)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            sr = node_hash(sr, c)
        fn >>= 1
        sn >>= 1
    return sn == 0 and fr == first_root and sr == second_root


def _split(count: int) -> int:
    """The largest power of two smaller than `count` ≥ 2: where RFC 9162 parts a tree in two."""
    return 1 << ((count - 1).bit_length() - 1)


def _stretch(start: int, end: int) -> Stretch:
    """The leaves from `start` up to, not including, `end`: a subtree of the tree's parting by `_split`."""
    # Such a subtree starts at a multiple of its own size, so each of its parts lies at a whole position.
    parts = merkle_tree.peaks_of(end - start)
    return tuple(chain.from_iterable(_stored(level, (start >> level) + place) for level, place in parts))


def _stored(level: int, position: int) -> Stretch:
    """The stored nodes below one, or itself."""
    down = level % merkle_tree.STORED_LEVELS
    return tuple((level - down, (position << down) + place) for place in range(1 << down))


def _folded(stretch: Stretch, nodes: Mapping[Address, bytes]) -> bytes:
    peaks: list[bytes] = []
    for level, position in stretch:
        top = nodes[level, position]
        # A right sibling joins its left one, which lies on top unless the stretch begins with this node.
        while position & 1 and peaks:
            top = node_hash(peaks.pop(), top)
            position >>= 1
        peaks.append(top)
    return merkle_tree.fold(peaks)


def _all_hashes(*found: bytes) -> bool:
    """Whether each has the length of a hash, so that two of them joined can be parted in one way only."""
    return all(len(each) == merkle_tree.HASH_BYTES for each in found)
