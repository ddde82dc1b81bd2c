"""The tree against the published vectors, and against the recursive definition of RFC 9162."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_svc.transparency import merkle_tree, proofs

# Inputs and tree heads of the Certificate Transparency reference implementation (RFC 6962: the same tree).
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

batches = st.lists(st.lists(st.binary(max_size=8), max_size=12), max_size=12)


def mth(inputs: list[bytes]) -> bytes:
    """MTH exactly as RFC 9162, section 2.1.1, defines it."""
    if not inputs:
        return sha256(b"").digest()
    if len(inputs) == 1:
        return sha256(b"\x00" + inputs[0]).digest()
    k = 1 << ((len(inputs) - 1).bit_length() - 1)  # the largest power of two smaller than n
    return sha256(b"\x01" + mth(inputs[:k]) + mth(inputs[k:])).digest()


def leaves(inputs: list[bytes]) -> list[bytes]:
    return [merkle_tree.leaf_hash(each) for each in inputs]


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    """Trees of 0 to 8 leaves have the published roots."""
    frontier, _ = merkle_tree.extend(merkle_tree.EMPTY, leaves(INPUTS[:size]))
    assert merkle_tree.root(frontier).hex() == ROOTS[size]


def test_published_leaf_and_node_hashes() -> None:
    """The leaf prefix is 0x00 and the node prefix 0x01: a hash of each from the reference audit paths."""
    leaf = merkle_tree.leaf_hash(b"\x00")
    assert leaf.hex() == "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
    third, fourth = leaves(INPUTS[2:4])
    node = merkle_tree.node_hash(third, fourth)
    assert node.hex() == "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"


@given(batches)
def test_root_is_the_recursive_definition(parts: list[list[bytes]]) -> None:
    """However the leaves are cut into batches, every root on the way is MTH of what was appended so far."""
    frontier, so_far = merkle_tree.EMPTY, []
    for part in parts:
        frontier, _ = merkle_tree.extend(frontier, leaves(part))
        so_far += part
        assert frontier.size == len(so_far)
        assert merkle_tree.root(frontier) == mth(so_far)


@given(batches)
def test_completed_nodes_are_all_perfect_subtrees_once(parts: list[list[bytes]]) -> None:
    """Together the batches hand out every perfect subtree of levels 3, 6, 9 …, each once, with its MTH."""
    frontier, so_far = merkle_tree.EMPTY, []
    stored: dict[tuple[int, int], bytes] = {}
    for part in parts:
        frontier, nodes = merkle_tree.extend(frontier, leaves(part))
        so_far += part
        for level, position, digest in nodes:
            assert (level, position) not in stored
            stored[level, position] = digest
    size = len(so_far)
    levels = range(3, size.bit_length(), 3)
    assert set(stored) == {(level, place) for level in levels for place in range(size >> level)}
    for (level, position), digest in stored.items():
        assert digest == mth(so_far[position << level : (position + 1) << level])


@given(batches)
def test_restart_from_stored_nodes(parts: list[list[bytes]]) -> None:
    """The stored nodes give the frontier back: a writer goes on as if it had never stopped."""
    frontier, stored = merkle_tree.EMPTY, {}
    for part in parts:
        hashes = leaves(part)
        stored.update({(0, frontier.size + place): digest for place, digest in enumerate(hashes)})
        frontier, nodes = merkle_tree.extend(frontier, hashes)
        stored.update({(level, position): digest for level, position, digest in nodes})
        peaks = proofs.hashes(proofs.frontier(frontier.size), stored)
        assert merkle_tree.restore(frontier.size, peaks) == frontier


def test_peaks_of_known_sizes() -> None:
    """The frontier of 0, 1, 6, 7, 8 leaves by hand; of 2^40 + 1 without a loop over leaves."""
    assert merkle_tree.peaks_of(0) == []
    assert merkle_tree.peaks_of(1) == [(0, 0)]
    assert merkle_tree.peaks_of(6) == [(2, 0), (1, 2)]
    assert merkle_tree.peaks_of(7) == [(2, 0), (1, 2), (0, 6)]
    assert merkle_tree.peaks_of(8) == [(3, 0)]
    assert merkle_tree.peaks_of(2**40 + 1) == [(40, 0), (0, 2**40)]


@pytest.mark.parametrize(("size", "peaks"), [(3, [bytes(32)]), (1, []), (1, [b"short"]), (-1, [bytes(32)])])
def test_impossible_frontiers_are_refused(size: int, peaks: list[bytes]) -> None:
    """Too few peaks, or peaks that are no hashes, are an error and not a wrong root."""
    with pytest.raises(ValueError, match="peak"):
        merkle_tree.restore(size, peaks)


def test_leaves_must_be_hashes() -> None:
    """Handing the entry instead of its leaf hash is noticed."""
    with pytest.raises(ValueError, match="leaf hash"):
        merkle_tree.extend(merkle_tree.EMPTY, [b"an entry"])
