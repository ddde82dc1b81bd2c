"""Reading values that somebody may have prepared: one spelling for each, and safe to show."""

import json
import re
from base64 import b64decode, b64encode
from typing import Any

SHOWN_CHARACTERS = 200  # of any value from a file
MAX_JSON_BYTES = 16 * 1024 * 1024  # looked at twice; exports as they are written need no second look

BOM = "\ufeff"
BEGINS_WITH_BOM = "it begins with a byte order mark, so it was saved anew: take it as it was served"

_HASH = re.compile(r"[0-9a-f]{64}")


def hash_of(text: str) -> bytes | None:
    """The 32 bytes of a hash in lower-case hex; None where it is none."""
    return bytes.fromhex(text) if _HASH.fullmatch(text) else None


def bytes_of(text: str) -> bytes | None:
    """The bytes of base64 in its one canonical spelling; None where it is another or none."""
    try:
        found = b64decode(text, validate=True)
    except ValueError:
        return None
    return found if b64encode(found).decode() == text else None


def json_of(text: bytes) -> Any:
    """The value of a JSON text. ValueError where it is none, too long, or has NaN or a member twice in it."""
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"over {MAX_JSON_BYTES} bytes, and not laid out as an export is")
    try:
        words = str(text, "utf-8")
        if words.startswith(BOM):
            raise ValueError(BEGINS_WITH_BOM)
        return json.loads(words, object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def same_json(one: Any, other: Any) -> bool:
    """Whether two values are the same in JSON, where `true` is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def shown(value: object) -> str:
    """A value as it may be printed: no control characters, not too long."""
    text = str(value)
    cut = text[:SHOWN_CHARACTERS]
    clean = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in cut)
    return clean if len(text) == len(cut) else f"{clean}… ({len(text)} characters)"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = sorted({name for name, _ in pairs if [each for each, _ in pairs].count(name) > 1})
        raise ValueError(f"has the member {shown(twice[0])} twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
