"""Pages: opaque cursors that stay right while rows are added."""

import base64
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from common.http.problems import FieldError, ProblemError, invalid
from common.ids import canonical_uuid

Limit = Annotated[int, Meta(ge=1, le=200)]


class PageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of a list."""

    limit: Limit = 50  # items at most
    cursor: Annotated[str, Meta(max_length=200)] | None = None  # `next_cursor` of the page before


def write(position: str) -> str:
    """The cursor of a page that follows `position` (an id or a number)."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def read_uuid(cursor: str | None) -> str | None:
    """The id in a cursor. Raises ProblemError 422."""
    if cursor is None:
        return None
    identifier = canonical_uuid(_read(cursor))
    if identifier is None:
        raise _not_ours()
    return identifier


def read_number(cursor: str | None) -> int:
    """The number in a cursor, 0 without one. Raises ProblemError 422."""
    text = "0" if cursor is None else _read(cursor)
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise _not_ours()
    return int(text)


def page(items: Sequence[bytes], next_cursor: str | None) -> bytes:
    """`{"items": […], "next_cursor": …}` of items that are JSON already."""
    return b'{"items":[%s],"next_cursor":%s}' % (b",".join(items), msgspec.json.encode(next_cursor))


def _read(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        raise _not_ours() from None


def _not_ours() -> ProblemError:
    return invalid([FieldError("/cursor", "is not a cursor that this list has given")])
