"""Content-Encoding: which codings are read, and that a gzip body is whole, sound and within the limit."""

import gzip
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.web.headers.codings import (
    MEMBERS_MAX,
    BrokenCoding,
    TooLarge,
    UnsupportedCoding,
    is_gzip,
    unpacked,
)

LIMIT = 64 * 1024
PACKED = gzip.compress(b'{"reason": "returned unused"}')


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], False),
        ([""], False),
        (["identity"], False),
        (["Identity", "IDENTITY"], False),
        (["gzip"], True),
        (["GZip"], True),
        (["x-gzip"], True),
        (["X-GZIP "], True),
        (["identity, gzip"], True),
        ([" ,gzip,\t"], True),
    ],
)
def test_codings_that_are_read(lines: list[str], expected: bool) -> None:
    """gzip by both of its names and identity, in any case."""
    assert is_gzip(lines) is expected


@pytest.mark.parametrize(
    "lines",
    [
        ["foo"],
        ["deflate"],
        ["br"],
        ["zstd"],
        ["compress"],
        ["gzip, gzip"],
        ["gzip", "gzip"],
        ["gzip", "x-gzip"],
        ["br, gzip"],
        ["gzip;q=1"],
        ['"gzip"'],
        ["gz ip"],
        ["*"],
        ["gzıp"],
    ],
)
def test_all_others_are_refused(lines: list[str]) -> None:
    """Whatever else is named, and more than one coding at once."""
    with pytest.raises(UnsupportedCoding):
        is_gzip(lines)


@given(st.lists(st.binary(max_size=2_000), min_size=1, max_size=4))
def test_what_was_packed_is_unpacked(contents: list[bytes]) -> None:
    """One member or several (RFC 1952, 2.2)."""
    assert unpacked(b"".join(map(gzip.compress, contents)), LIMIT) == b"".join(contents)


@pytest.mark.parametrize("length", range(len(PACKED)))
def test_cut(length: int) -> None:
    """A stream that ends early is broken, wherever: the last eight bytes are its check sum and its length."""
    with pytest.raises(BrokenCoding):
        unpacked(PACKED[:length], LIMIT)


@pytest.mark.parametrize("at", range(-8, 0))
def test_wrong_check_sum(at: int) -> None:
    """Each byte of the check sum and of the length counts."""
    damaged = bytearray(PACKED)
    damaged[at] ^= 1
    with pytest.raises(BrokenCoding):
        unpacked(bytes(damaged), LIMIT)


@pytest.mark.parametrize(
    "body", [b"", b"not gzip", PACKED + b"x", PACKED + b"\x00", PACKED + PACKED[:-1], zlib.compress(b"{}")]
)
def test_something_else(body: bytes) -> None:
    """Nothing at all, something else, and something after it."""
    with pytest.raises(BrokenCoding):
        unpacked(body, LIMIT)


def test_limit() -> None:
    """The limit is on what comes out: one byte more is too large, from several members as well."""
    assert len(unpacked(gzip.compress(b" " * LIMIT), LIMIT)) == LIMIT
    for body in (
        gzip.compress(b" " * (LIMIT + 1)),
        gzip.compress(b" " * LIMIT) + gzip.compress(b" "),
        gzip.compress(b" " * 50_000_000),
    ):
        with pytest.raises(TooLarge):
            unpacked(body, LIMIT)


def test_hostile_streams_cost_little() -> None:
    """A bomb is not unpacked beyond the limit, and not many members either."""
    bomb = gzip.compress(b" " * 50_000_000)
    members = gzip.compress(b"") * (LIMIT // 20)
    started = time.perf_counter()
    with pytest.raises(TooLarge):
        unpacked(bomb, LIMIT)
    with pytest.raises(BrokenCoding):
        unpacked(members, LIMIT)
    assert time.perf_counter() - started < 0.1
    assert unpacked(gzip.compress(b"") * MEMBERS_MAX, LIMIT) == b""
