"""Cursors: what was given is read again, everything else is refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.http import cursor
from common.http.problems import ProblemError
from common.ids import canonical_uuid


@given(st.uuids())
def test_ids(identifier: object) -> None:
    """An id comes back as it was."""
    assert cursor.read_uuid(cursor.write(str(identifier))) == str(identifier)


@given(st.integers(0, 10**18 - 1))
def test_numbers(number: int) -> None:
    """A number comes back as it was, up to what Postgres' bigint holds."""
    assert cursor.read_number(cursor.write(str(number))) == number


def test_none() -> None:
    """Without a cursor a list begins at its beginning."""
    assert cursor.read_uuid(None) is None
    assert cursor.read_number(None) == 0


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_garbage(text: str) -> None:
    """Anything at all is read as an id or number, or refused with 422; never another error."""
    for read in (cursor.read_uuid, cursor.read_number):
        try:
            found = read(text)
        except ProblemError as error:
            refused = error
        else:
            assert isinstance(found, int) or canonical_uuid(str(found)) == found
            continue
        assert (refused.status, [each.pointer for each in refused.errors]) == (422, ["/cursor"])


@pytest.mark.parametrize("position", ["-1", "1.0", "1e3", "+1", " 1", "٣", "1" * 19, "", "0x1", "1\n"])
def test_what_is_no_number(position: str) -> None:
    """A well-formed cursor of something else."""
    with pytest.raises(ProblemError):
        cursor.read_number(cursor.write(position))


def test_page() -> None:
    """Items that are JSON already are joined, not encoded again."""
    assert cursor.page([], None) == b'{"items":[],"next_cursor":null}'
    assert cursor.page([b'{"a":1}', b"2"], "x") == b'{"items":[{"a":1},2],"next_cursor":"x"}'
