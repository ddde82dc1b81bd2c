"""Proofs of every leaf and every pair of sizes, against RFC 9162's own recursive definitions."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_svc.transparency import merkle_tree, proofs
from tests.support.oracles import merkle as merkle_by_hand

SIZES = 70  # the stored levels 3 and 6 are among them
LEAVES = [merkle_by_hand.leaf(str(number).encode()) for number in range(SIZES)]


def stored() -> dict[proofs.Address, bytes]:
    """The nodes as the ledger stores them, with the leaf hashes as level 0."""
    _, nodes = merkle_tree.extend(merkle_tree.EMPTY, LEAVES)
    return {(0, place): leaf for place, leaf in enumerate(LEAVES)} | {
        (level, place): digest for level, place, digest in nodes
    }


NODES = stored()
ROOTS = [merkle_by_hand.root(LEAVES[:size]) for size in range(SIZES + 1)]


def split(count: int) -> int:
    """The largest power of two smaller than count, by trying."""
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def path_by_hand(m: int, d: list[bytes]) -> list[bytes]:
    """PATH(m, D_n) as RFC 9162, 2.1.3.1, defines it."""
    if len(d) == 1:
        return []
    k = split(len(d))
    if m < k:
        return [*path_by_hand(m, d[:k]), merkle_by_hand.root(d[k:])]
    return [*path_by_hand(m - k, d[k:]), merkle_by_hand.root(d[:k])]


def proof_by_hand(m: int, d: list[bytes], known: bool = True) -> list[bytes]:
    """SUBPROOF(m, D_n, b) as RFC 9162, 2.1.4.1, defines it."""
    if m == len(d):
        return [] if known else [merkle_by_hand.root(d)]
    k = split(len(d))
    if m <= k:
        return [*proof_by_hand(m, d[:k], known), merkle_by_hand.root(d[k:])]
    return [*proof_by_hand(m - k, d[k:], False), merkle_by_hand.root(d[:k])]


@pytest.mark.parametrize("size", range(1, SIZES + 1))
def test_inclusion_of_every_leaf(size: int) -> None:
    """The path of each leaf is PATH, shows that leaf, and shows no other leaf, place, size or root."""
    for index in range(size):
        path = proofs.hashes(proofs.inclusion(index, size), NODES)
        assert path == path_by_hand(index, LEAVES[:size])
        assert proofs.includes(LEAVES[index], index, size, path, ROOTS[size])
        assert not proofs.includes(sha256(b"another").digest(), index, size, path, ROOTS[size])
        assert not proofs.includes(LEAVES[index], index, size, path, ROOTS[size - 1])
        assert not proofs.includes(LEAVES[index], index ^ 1, size, path, ROOTS[size])
        assert not proofs.includes(LEAVES[index], index, size, [*path, bytes(32)], ROOTS[size])
        if path:
            assert not proofs.includes(LEAVES[index], index, size, path[:-1], ROOTS[size])


@pytest.mark.parametrize("second", range(SIZES + 1))
def test_consistency_of_every_pair(second: int) -> None:
    """The path from each smaller tree is PROOF, shows it to be the beginning, and shows no other root."""
    for first in range(second + 1):
        path = proofs.hashes(proofs.consistency(first, second), NODES)
        assert path == (proof_by_hand(first, LEAVES[:second]) if 0 < first < second else [])
        assert proofs.consistent(first, ROOTS[first], second, ROOTS[second], path)
        assert not proofs.consistent(first, sha256(b"x").digest(), second, ROOTS[second], path)
        assert not proofs.consistent(first, ROOTS[first], second, ROOTS[second], [*path, bytes(32)])
        if first:  # nothing is proved of the tree that any other begins with
            assert not proofs.consistent(first, ROOTS[first], second, sha256(b"x").digest(), path)
        if path:
            assert not proofs.consistent(first, ROOTS[first], second, ROOTS[second], path[:-1])
            assert not proofs.consistent(first, ROOTS[first], second, ROOTS[second], [])
            assert not proofs.consistent(second, ROOTS[second], first, ROOTS[first], path)


@pytest.mark.parametrize("size", range(SIZES + 1))
def test_roots_of_every_size(size: int) -> None:
    """The nodes that `root` names give the root of any tree on the way."""
    assert proofs.hashes([proofs.root(size)], NODES) == [ROOTS[size]]


@given(st.data())
def test_changed_hashes_are_noticed(data: st.DataObject) -> None:
    """A path with a hash changed, left out, repeated, or swapped with its neighbour proves nothing."""
    size = data.draw(st.integers(3, SIZES))
    index = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(1, size - 1))

    def inclusion_holds(path: list[bytes]) -> bool:
        return proofs.includes(LEAVES[index], index, size, path, ROOTS[size])

    def consistency_holds(path: list[bytes]) -> bool:
        return proofs.consistent(first, ROOTS[first], size, ROOTS[size], path)

    for stretches, holds in (
        (proofs.inclusion(index, size), inclusion_holds),
        (proofs.consistency(first, size), consistency_holds),
    ):
        path = proofs.hashes(stretches, NODES)
        assert holds(path)
        place = data.draw(st.integers(0, len(path) - 1))
        changed = bytearray(path[place])
        changed[data.draw(st.integers(0, 31))] ^= data.draw(st.integers(1, 255))
        assert not holds([*path[:place], bytes(changed), *path[place + 1 :]])
        assert not holds([*path[:place], path[place][:-1], *path[place + 1 :]])
        assert not holds(path[:place] + path[place + 1 :])
        assert not holds([*path[: place + 1], *path[place:]])
        if place:
            assert not holds([*path[: place - 1], path[place], path[place - 1], *path[place + 1 :]])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 3), (7, 7)])
def test_leaves_that_are_not_there(index: int, size: int) -> None:
    """A leaf outside of the tree has no path, and none proves it."""
    with pytest.raises(ValueError, match="no leaf"):
        proofs.inclusion(index, size)
    assert not proofs.includes(LEAVES[0], index, size, [], LEAVES[0])


@pytest.mark.parametrize(("first", "second"), [(2, 1), (-1, 3)])
def test_sizes_that_cannot_follow(first: int, second: int) -> None:
    """A larger tree is not the beginning of a smaller one, and none has fewer than no leaves."""
    with pytest.raises(ValueError, match="beginning"):
        proofs.consistency(first, second)
    assert not proofs.consistent(first, ROOTS[2], second, ROOTS[1], [ROOTS[1]])


def test_shifted_hashes_are_refused() -> None:
    """Two hashes joined cannot be parted elsewhere: a byte moved from one to the other is noticed."""
    leaf, sibling = LEAVES[0], LEAVES[1]
    assert proofs.includes(leaf, 0, 2, [sibling], ROOTS[2])
    assert not proofs.includes(leaf + sibling[:1], 0, 2, [sibling[1:]], ROOTS[2])


def test_proofs_of_a_huge_tree_are_short() -> None:
    """Among a hundred million leaves a path has at most 28 hashes, made of some dozens of stored nodes."""
    size = 100_000_019
    paths = [proofs.inclusion(index, size) for index in (0, 12_345_678, size - 1)]
    paths += [proofs.consistency(first, size) for first in (1, 12_345_678, size - 1)]
    for path in paths:
        assert len(path) <= 28
        assert len(proofs.addresses(path)) <= 120
        assert {level % merkle_tree.STORED_LEVELS for level, _ in proofs.addresses(path)} == {0}
