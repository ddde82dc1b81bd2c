"""Content codings of request bodies: gzip or none (RFC 9110, 8.4; RFC 1952).

aiohttp unpacks by itself, but takes more codings than one, passes over those it does not know, and does not
mind a gzip stream that is cut; so it is told not to.
"""

import zlib
from collections.abc import Sequence

_GZIP = 16 + zlib.MAX_WBITS  # with the header and the check sum of the format
MEMBERS_MAX = 100  # a stream may be several, one after the other; what costs time is their number


class UnsupportedCoding(ValueError):
    """The body is packed in a way that is not read here."""


class BrokenCoding(ValueError):
    """The body is not packed as its headers say: it is cut, damaged, or something else."""


class TooLarge(ValueError):
    """The body is over the limit once it is unpacked."""


def is_gzip(lines: Sequence[str]) -> bool:
    """Whether a Content-Encoding field says gzip; False where it says nothing or identity.

    Raises UnsupportedCoding for anything else, gzip twice as well.
    """
    packed = [coding for coding in _codings(lines) if coding != "identity"]
    if packed and packed not in (["gzip"], ["x-gzip"]):
        raise UnsupportedCoding
    return bool(packed)


def only_chunked(lines: Sequence[str]) -> None:
    """aiohttp undoes no other Transfer-Encoding: raise UnsupportedCoding where the field says more."""
    if _codings(lines) not in ([], ["chunked"]):
        raise UnsupportedCoding


def unpacked(body: bytes, limit: int) -> bytes:
    """A gzip body's content. Raises BrokenCoding, or TooLarge where it is over `limit` bytes."""
    content, rest = b"", body
    for _ in range(MEMBERS_MAX):
        member = zlib.decompressobj(_GZIP)
        try:
            content += member.decompress(rest, limit + 1 - len(content))
        except zlib.error:
            raise BrokenCoding from None
        if len(content) > limit:
            raise TooLarge
        if not member.eof:
            raise BrokenCoding
        rest = member.unused_data
        if not rest:
            return content
    raise BrokenCoding


def _codings(lines: Sequence[str]) -> list[str]:
    return [coding for line in lines for each in line.split(",") if (coding := each.strip(" \t").lower())]
