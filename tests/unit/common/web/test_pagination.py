"""Cursors: what was given is read again, everything else is refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.web import pagination
from common.web.problems.details import ProblemError


@given(st.uuids())
def test_ids(identifier: object) -> None:
    """An id comes back as it was."""
    assert pagination.read_uuid("a", pagination.write("a", str(identifier))) == str(identifier)


@given(st.integers(0, 10**18 - 1))
def test_numbers(number: int) -> None:
    """A number comes back as it was, up to what Postgres' bigint holds."""
    assert pagination.read_number("a", pagination.write("a", str(number))) == number


def test_none() -> None:
    """Without a cursor a list begins at its beginning."""
    assert pagination.read_uuid("a", None) is None
    assert pagination.read_number("a", None) == 0


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_garbage(text: str) -> None:
    """What was made up, whatever it is, is refused with 422; never another error."""
    for read in (pagination.read_uuid, pagination.read_number):
        try:
            read("a", text)
        except ProblemError as error:
            refused = error
        else:
            raise AssertionError(text)
        assert (refused.status, [each.pointer for each in refused.errors]) == (422, ["/cursor"])


@pytest.mark.parametrize("position", ["-1", "1.0", "1e3", "+1", " 1", "٣", "1" * 19, "", "0x1", "1\n"])
def test_what_is_no_number(position: str) -> None:
    """A well-formed cursor of something else."""
    with pytest.raises(ProblemError):
        pagination.read_number("a", pagination.write("a", position))


def test_another_lists() -> None:
    """What one list has given, no other takes: not the same list of another lease either."""
    given = pagination.write("history of 1", "42")
    for of in ("history of 2", "journal of 1", "leases", ""):
        with pytest.raises(ProblemError):
            pagination.read_number(of, given)


@given(st.integers(0, 10**9), st.integers(0, 30), st.sampled_from("AQg_-+ \n=/"))
def test_another_spelling(number: int, place: int, character: str) -> None:
    """A cursor is taken as it was given: one changed letter, one more, padding or white space is 422."""
    given = pagination.write("a", str(number))
    for changed in (
        given[:place] + character + given[place:],
        given[:place] + character + given[place + 1 :],
    ):
        if changed != given:
            with pytest.raises(ProblemError):
                pagination.read_number("a", changed)


def test_page() -> None:
    """Items that are JSON already are joined, not encoded again."""
    assert pagination.page([], None) == b'{"items":[],"next_cursor":null}'
    assert pagination.page([b'{"a":1}', b"2"], "x") == b'{"items":[{"a":1},2],"next_cursor":"x"}'
