"""An export of the ledger as a file that anybody can take apart, change and put together again.

What an export *claims* are its JSON values: the header, the entries in their order, the trailer. Layout, the
order of members and compression claim nothing. Nothing of the ledger's own code is used.
"""

import hashlib
import json
from base64 import b64encode
from dataclasses import dataclass
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Row = dict[str, Any]

_ENTRIES = b',"entries":['


@dataclass
class Export:
    """An export taken apart."""

    head: dict[str, Any]
    rows: list[Row]
    tail: dict[str, Any]
    as_lines: bool  # ndjson; else json

    @property
    def of_lease(self) -> bool:
        """Of one lease; else of the whole ledger."""
        return "lease_id" in self.head


def claims(data: bytes) -> Any:
    """What an export claims, comparable; None where it is no whole one."""
    try:
        export = parse(data, strictly=True)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return json.dumps([export.head, export.rows, export.tail], sort_keys=True)


def parse(data: bytes, *, strictly: bool = False) -> Export:
    """Take an export apart. Raises ValueError, KeyError or TypeError where it is none."""
    hook = _once if strictly else dict
    as_lines = _ENTRIES not in data.partition(b"\n")[0]
    if as_lines:
        head, *rows, tail = (json.loads(line, object_pairs_hook=hook) for line in data.splitlines() if line)
        return Export(head, rows, tail, as_lines)
    whole = json.loads(data, object_pairs_hook=hook)
    tail = {name: whole.pop(name) for name in ("count", "manifest")}
    tail |= {"parts": whole.pop("parts")} if "parts" in whole else {}
    return Export(whole, whole.pop("entries"), tail, as_lines)


def dump(export: Export) -> bytes:
    """Put it together again, laid out as the ledger does."""
    lines = [_text(export.head), *map(_text, export.rows), _text(export.tail)]
    if export.as_lines:
        return b"".join(line + b"\n" for line in lines)
    head, *rows, tail = lines
    return head[:-1] + _ENTRIES + b"\n" + b",\n".join(rows) + b"\n]," + tail[1:] + b"\n"


def _text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a member twice")
    return dict(pairs)


def leaf(raw: bytes) -> str:
    """A leaf's hash (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\x00" + raw).hexdigest()


def signed(text: str, key: Ed25519PrivateKey, name: str) -> tuple[str, str]:
    """A note under a key of that name, and the public key (C2SP signed-note)."""
    public = b"\x01" + key.public_key().public_bytes_raw()
    key_id = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    signature = b64encode(key_id + key.sign(text.encode())).decode()
    return f"{text}\n— {name} {signature}\n", f"{name}+{key_id.hex()}+{b64encode(public).decode()}"


def again(note: str, chance: Random) -> tuple[str, str]:
    """The note signed by another key of the same name, and that key."""
    text, _, signature = note.rpartition("\n\n")
    key = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
    return signed(f"{text}\n", key, signature.split(" ")[1])


def flipped(data: bytes, chance: Random) -> bytes:
    """One byte changed."""
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ chance.randrange(1, 256)]) + data[at + 1 :]


def typo(text: str, chance: Random) -> str:
    """One character of a text changed for another that often stands in such texts."""
    at = chance.randrange(len(text))
    return text[:at] + chance.choice("0123456789abcdefABZ+/= \n—") + text[at + 1 :]


def fit(row: Row, raw: bytes) -> None:
    """Make all that an entry says of its bytes fit these."""
    row |= {"raw": b64encode(raw).decode(), "leaf_hash": leaf(raw)}
    try:
        row["event"] = json.loads(raw)
    except ValueError:
        row["event"] = None
