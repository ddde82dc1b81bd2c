"""Text that must not enter the system: what Postgres cannot hold, and card numbers."""

import re
from collections.abc import Iterator
from typing import Any

from common.http.problems import FieldError

CARD_DIGITS = range(13, 20)  # ISO/IEC 7812-1
_CARD_LIKE = re.compile(r"\d(?:[ -]?\d){12}")
_CARD_LIKE_BYTES = re.compile(rb"\d(?:[ -]?\d){12}")
_DIGIT_GROUPS = re.compile(r"\d+(?:[ -]\d+)*")
# One UUID in some thousands has groups that would pass for a card number.
_UUID = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE | re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")


def suspicious(body: bytes) -> bool:
    """Whether UTF-8 JSON may hold any such text: a look that costs microseconds, before a thorough one."""
    return b"\\u" in body or not body.isascii() or _CARD_LIKE_BYTES.search(body) is not None


def dangerous_text(value: Any, pointer: str) -> Iterator[FieldError]:
    """FieldErrors for text that Postgres cannot hold or that must not enter the system."""
    if isinstance(value, dict):
        for key, member in value.items():
            where = f"{pointer}/{escape(key)}"
            yield from (FieldError(where, what) for what in text_errors(key))
            yield from dangerous_text(member, where)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from dangerous_text(member, f"{pointer}/{index}")
    elif isinstance(value, str | int) and not isinstance(value, bool):
        yield from (FieldError(pointer, what) for what in text_errors(str(value)))


def text_errors(text: str) -> Iterator[str]:
    """What is wrong with a text, in words that do not quote it."""
    if "\x00" in text:
        yield "must not contain the NUL character"
    if _SURROGATE.search(text):
        yield "must not contain lone surrogates"
    if holds_card_number(text):
        yield "looks like a card number; card numbers never enter this system, use a payment method's token"


def holds_card_number(text: str) -> bool:
    """Whether neighbouring groups of digits, as people write them, make up a valid card number.

    The groups around it do not hide it: an expiry date or a CVV often follows.
    """
    if not _CARD_LIKE.search(text):
        return False
    return any(_valid_within(run) for run in _DIGIT_GROUPS.findall(_UUID.sub("", text)))


def _valid_within(run: str) -> bool:
    """Whether some groups of the run pass the check of ISO/IEC 7812-1 Annex B (Luhn).

    It counts every other digit from the right in full, the others doubled. Prefix sums of both ways make each
    of the many possible ranges cost one subtraction, so that 64 KB of digits are no attack.
    """
    borders, even_in_full, odd_in_full = [0], [0], [0]
    for group in run.replace("-", " ").split(" "):
        for character in group:
            digit = int(character)
            doubled = digit * 2 - 9 * (digit > 4)
            index_is_odd = len(even_in_full) % 2 == 0
            even_in_full.append(even_in_full[-1] + (doubled if index_is_odd else digit))
            odd_in_full.append(odd_in_full[-1] + (digit if index_is_odd else doubled))
        borders.append(len(even_in_full) - 1)
    ends = set(borders)
    for start in borders:
        for length in CARD_DIGITS:
            end = start + length
            if end in ends:
                sums = odd_in_full if end % 2 == 0 else even_in_full
                total = sums[end] - sums[start]
                if total % 10 == 0 and total:  # 0: nothing but zeros
                    return True
    return False


def escape(key: str) -> str:
    """A key as part of a JSON pointer: printable, of bounded length, never a card number."""
    if any(text_errors(key)):
        return "(not shown)"
    safe = key[:100].encode("utf-8", "backslashreplace").decode()
    return safe.replace("~", "~0").replace("/", "~1")
