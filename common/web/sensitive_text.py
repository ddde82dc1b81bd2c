"""Text that must not enter the system: what Postgres cannot hold, and card numbers."""

import re
from collections.abc import Iterator
from typing import Any

from common.kernel.card_numbers import holds_card_number, may_hold_card_number
from common.web.problems.details import FieldError

CARD_NUMBER = "looks like a card number; card numbers never enter this system, use a payment method's token"
_SURROGATE = re.compile("[\ud800-\udfff]")


def suspicious(body: bytes) -> bool:
    """Whether UTF-8 JSON may hold any such text: a look that costs microseconds, before a thorough one."""
    return may_hold_card_number(body)  # which is not certain of what is escaped, as NUL and surrogates are


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
    elif isinstance(value, str):  # a number is an amount or a count: its type's limits are all that it needs
        yield from (FieldError(pointer, what) for what in text_errors(value))


def text_errors(text: str) -> Iterator[str]:
    """What is wrong with a text, in words that do not quote it."""
    if "\x00" in text:
        yield "must not contain the NUL character"
    if _SURROGATE.search(text):
        yield "must not contain lone surrogates"
    if holds_card_number(text):
        yield CARD_NUMBER


def escape(key: str) -> str:
    """A key as part of a JSON pointer: printable, of bounded length, never a card number."""
    if any(text_errors(key)):
        return "(not shown)"
    safe = key[:100].encode("utf-8", "backslashreplace").decode()
    return safe.replace("~", "~0").replace("/", "~1")
