"""The Merkle tree hash of RFC 9162, section 2.1.1, as it is written there; nothing of the product is used."""

import hashlib
from collections.abc import Sequence


def leaf(entry: bytes) -> bytes:
    """SHA-256 of a zero byte and the entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes; of none it is the hash of nothing."""
    if len(leaves) == 0:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1  # the largest power of two below their number
    return hashlib.sha256(b"\x01" + root(leaves[:split]) + root(leaves[split:])).digest()
