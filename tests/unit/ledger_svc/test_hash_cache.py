"""Proofs with hashes from memory are those without, and fewer nodes are looked up."""

import asyncio
import random
from collections.abc import Collection

from ledger_svc.transparency import merkle_tree, proofs
from ledger_svc.transparency.hash_cache import HashCache
from ledger_svc.transparency.proofs import Address
from tests.support.oracles import merkle as merkle_by_hand

SIZE = 3_000
LEAVES = [merkle_by_hand.leaf(str(number).encode()) for number in range(SIZE)]
_, _NODES = merkle_tree.extend(merkle_tree.EMPTY, LEAVES)
NODES = dict(zip(((0, place) for place in range(SIZE)), LEAVES, strict=True))
NODES |= {(level, place): digest for level, place, digest in _NODES}


class Stored:
    """Nodes, and how many of them were looked up."""

    def __init__(self) -> None:
        self.looked_up = 0

    async def nodes(self, addresses: Collection[Address]) -> dict[Address, bytes]:
        """Those at these addresses."""
        self.looked_up += len(addresses)
        return {address: NODES[address] for address in addresses}


async def test_the_same_proofs() -> None:
    """At any size, also when the memory is full every few proofs."""
    rng = random.Random(1)
    hashes = HashCache(Stored().nodes, level=1, most=30)
    for _ in range(300):
        size = rng.randrange(1, SIZE + 1)
        index = rng.randrange(size)
        leaf, root, *path = await hashes.of(
            "tree", ((0, index),), proofs.root(size), *proofs.inclusion(index, size)
        )
        assert leaf == LEAVES[index]
        assert proofs.includes(leaf, index, size, path, root)
        assert root == proofs.hashes([proofs.root(size)], NODES)[0]


async def test_what_is_kept_is_not_looked_up() -> None:
    """Of the second proof of a leaf only what is low is looked up; nothing is kept where nothing may be."""
    first, second = Stored(), Stored()
    kept, forgetful = HashCache(first.nodes, level=6), HashCache(second.nodes, level=6, most=0)
    path = proofs.inclusion(1_000, 2_048)
    for hashes in (kept, forgetful):
        assert await hashes.of("tree", *path) == await hashes.of("tree", *path)
    low = len([address for address in proofs.addresses(path) if address[0] < 6])
    assert first.looked_up == len(proofs.addresses(path)) + low
    assert second.looked_up == 2 * len(proofs.addresses(path))


async def test_another_tree() -> None:
    """Nothing of the tree before is given of it, also where a look-up in that one ends later."""
    stored = [{(9, 0): b"one" * 8}, {(9, 0): b"two" * 8}]
    going_on = [asyncio.Event(), asyncio.Event()]
    at = iter((0, 1))

    async def look_up(addresses: Collection[Address]) -> dict[Address, bytes]:
        if not addresses:
            return {}
        which = next(at)
        await going_on[which].wait()
        return stored[which]

    hashes = HashCache(look_up)
    stretch = ((9, 0),)
    first, second = (asyncio.create_task(hashes.of(tree, stretch)) for tree in ("one", "two"))
    await asyncio.sleep(0)
    for event in reversed(going_on):
        event.set()
        await asyncio.sleep(0.01)
    assert (await first, await second) == ([b"one" * 8], [b"two" * 8])
    assert await hashes.of("two", stretch) == [b"two" * 8]
