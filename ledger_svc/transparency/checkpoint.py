"""The signed tree head: how many entries the ledger has, and the root hash over all of them.

Source: C2SP tlog-checkpoint (https://c2sp.org/tlog-checkpoint). Its text, signed as a note:

    <origin: the log's name, and that of the key which signs>
    <size, decimal>
    <root hash, base64>
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import NamedTuple

from ledger_svc.transparency import signed_note
from ledger_svc.transparency.merkle_tree import HASH_BYTES
from ledger_svc.transparency.signed_note import NoteError, SigningKey, VerifierKey

ORIGIN = "lease-payment-orchestration/ledger"  # unless the key's name is another

# Further lines are extensions, which the format asks readers to pass over. They are signed like the rest.
_TEXT = re.compile(
    r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[A-Za-z0-9+/]{43}=)\n(?:[^\n]+\n)*"
)


class Checkpoint(NamedTuple):
    """What one checkpoint states."""

    origin: str
    size: int  # entries, which is the last `seq`
    root: bytes  # 32 bytes: the tree's root hash over the first `size` entries

    def text(self) -> str:
        """The lines that are signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


def signed(key: SigningKey, size: int, root: bytes) -> str:
    """The checkpoint note of a tree, under the key's name as its origin."""
    return key.sign(Checkpoint(key.name, size, root).text())


def verified(text: str, keys: Iterable[VerifierKey]) -> Checkpoint:
    """The checkpoint of a note that one of `keys` has signed under its own name.

    NoteError where it is no note, not signed by one of them, or not a checkpoint of that key's log (a key
    also signs other things, whose first line is not its bare name).
    """
    stated, key = signed_note.opened(text, keys)
    found = parse(stated)
    if found.origin != key.name:
        raise NoteError(f"the checkpoint of {found.origin} is signed by {key.name}")
    return found


def parse(text: str) -> Checkpoint:
    """The checkpoint from the text of a note, which has been verified or is not to be. NoteError."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise NoteError("not a checkpoint: its lines are origin, size and root hash")
    root = b64decode(found["root"])
    if len(root) != HASH_BYTES or b64encode(root).decode() != found["root"]:
        raise NoteError(f"a root hash is {HASH_BYTES} bytes in canonical base64")
    return Checkpoint(found["origin"], int(found["size"]), root)
