"""Hashes for proofs, the lasting ones from memory.

What lies far above the leaves never changes and is a part of many proofs; what else a proof needs is as much
in a large tree as in a small one. But a ledger that was put right is rebuilt and takes the other one's place:
then they are another tree's.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping

from ledger_svc.transparency import proofs
from ledger_svc.transparency.proofs import Address, Stretch

LEVEL = 9  # from here up they are kept
MOST = 20_000  # at a time: all that there are of ten million leaves


class HashCache:
    """Looks up nodes and folds them, unless it remembers what came out."""

    def __init__(
        self,
        look_up: Callable[[Collection[Address]], Awaitable[Mapping[Address, bytes]]],
        *,
        level: int = LEVEL,
        most: int = MOST,
    ) -> None:
        """`look_up`: gives stored nodes."""
        self._look_up = look_up
        self._level = level
        self._most = most
        self._tree: object = None
        self._kept: dict[Stretch, bytes] = {}

    async def of(self, tree: object, *stretches: Stretch) -> list[bytes]:
        """The hash of each; all nodes that it takes are looked up at once.

        `tree`: which it is, as was read just before; hashes that were kept of another one are forgotten.
        """
        if tree != self._tree:
            self._tree, self._kept = tree, {}
        kept = {stretch: self._kept[stretch] for stretch in stretches if stretch in self._kept}
        missing = [stretch for stretch in stretches if stretch not in kept]
        nodes = await self._look_up(proofs.addresses(missing))
        found = dict(zip(missing, proofs.hashes(missing, nodes), strict=True))
        lasting = {stretch: digest for stretch, digest in found.items() if self._lasts(stretch)}
        if len(self._kept) + len(lasting) > self._most:
            self._kept.clear()
        if len(lasting) <= self._most and tree == self._tree:  # still
            self._kept |= lasting
        return [(kept | found)[stretch] for stretch in stretches]

    def _lasts(self, stretch: Stretch) -> bool:
        return all(level >= self._level for level, _ in stretch)
