"""Pages: opaque cursors that stay right while rows are added."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from common.kernel.ids import canonical_uuid
from common.web.problems.details import FieldError, ProblemError, invalid

CHECK_BYTES = 6

Limit = Annotated[int, Meta(ge=1, le=200)]


class PageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of a list."""

    limit: Annotated[Limit, Meta(description="items at most")] = 50
    cursor: Annotated[
        Annotated[str, Meta(max_length=200)] | None, Meta(description="`next_cursor` of the page before")
    ] = None


def write(of: str, position: str) -> str:
    """The cursor of a page of the list `of` that follows `position` (an id or a number).

    `of` names the list, and with an id the one thing whose list it is: a cursor is good for that list alone.
    """
    return base64.urlsafe_b64encode(_check(of, position) + position.encode()).decode().rstrip("=")


def read_uuid(of: str, cursor: str | None) -> str | None:
    """The id in a cursor of the list `of`. Raises ProblemError 422."""
    if cursor is None:
        return None
    identifier = canonical_uuid(_read(of, cursor))
    if identifier is None:
        raise _not_ours()
    return identifier


def read_number(of: str, cursor: str | None) -> int:
    """The number in a cursor of the list `of`, 0 without one. Raises ProblemError 422."""
    text = "0" if cursor is None else _read(of, cursor)
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise _not_ours()
    return int(text)


def page(items: Sequence[bytes], next_cursor: str | None) -> bytes:
    """`{"items": […], "next_cursor": …}` of items that are JSON already."""
    return b'{"items":[%s],"next_cursor":%s}' % (b",".join(items), msgspec.json.encode(next_cursor))


def _check(of: str, position: str) -> bytes:
    """What a cursor of another list has not, nor one that was made up. No secret: it guards nothing."""
    return hashlib.blake2b(f"{of} {position}".encode(), digest_size=CHECK_BYTES).digest()


def _read(of: str, cursor: str) -> str:
    try:
        given = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        position = given[CHECK_BYTES:].decode()
    except ValueError:
        raise _not_ours() from None
    if write(of, position) != cursor:  # also another spelling: what base64 passes over, or does not look at
        raise _not_ours()
    return position


def _not_ours() -> ProblemError:
    return invalid([FieldError("/cursor", "is not a cursor that this list has given")])
