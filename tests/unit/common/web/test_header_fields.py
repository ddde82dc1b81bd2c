"""Lists with parameters, by the grammar of RFC 9110 and RFC 7240, and what hostile lines cost."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.web.headers.fields import Element, elements, preferred, weight

TOKENS = st.text("!#$%&'*+.^_`|~0123456789abcxyzABC-", min_size=1, max_size=8)
SPACE = st.text(" \t", max_size=3)
WORDS = st.one_of(TOKENS, st.text(max_size=8, alphabet=st.characters(min_codepoint=32, max_codepoint=126)))


def written(word: str, space: str, *, quoted: bool) -> str:
    if not word:
        return ""
    escaped = '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
    bare = word if not quoted and all(each in "!#$%&'*+.^_`|~-" or each.isalnum() for each in word) else ""
    return f"{space}={space}{bare or escaped}"


@given(
    st.lists(
        st.tuples(TOKENS, WORDS, st.dictionaries(TOKENS.map(str.lower), WORDS, max_size=3)),
        max_size=4,
    ),
    SPACE,
    st.booleans(),
    st.booleans(),
)
def test_what_is_written_is_read(
    given_: list[tuple[str, str, dict[str, str]]], space: str, quoted: bool, one_line: bool
) -> None:
    """Whatever the spaces, the quoting and the lines: the same elements."""
    items = [
        name
        + written(value, space, quoted=quoted)
        + "".join(
            f"{space};{space}{key}{written(word, space, quoted=quoted)}" for key, word in parameters.items()
        )
        for name, value, parameters in given_
    ]
    lines = [f"{space},{space},".join(items)] if one_line else items
    assert elements(lines) == [Element(name.lower(), value, words) for name, value, words in given_]


@given(st.lists(st.text(max_size=50), max_size=3))
def test_nonsense_is_passed_over(lines: list[str]) -> None:
    """Any text is read, and nothing raised."""
    assert all(element.name for element in elements(lines))


@pytest.mark.parametrize("unit", ['"', '",', '"\\', "; ", " ;", ";a=", "a;", ",", "a/", "= ", '""', "\\"])
def test_hostile_lines_cost_little(unit: str) -> None:
    """A line of 8 KB takes no more than some milliseconds, whatever it repeats."""
    line = "a" + unit * (8190 // len(unit)) + "!"
    started = time.perf_counter()
    elements([line, line[1:]])
    assert time.perf_counter() - started < 0.2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", 1),
        ("a;q=0.5", 0.5),
        ("a;Q=1.000", 1),
        ("a;q=0", 0),
        ("a;q=2", 0),
        ("a;q=x", 0),
        ("a;q=0.1234", 0),
    ],
)
def test_weights(text: str, expected: float) -> None:
    """From 0 to 1 with three decimals at most; anything else is not understood, so not wanted."""
    assert weight(elements([text])[0]) == expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ([], "text/html"),
        (["*/*"], "text/html"),
        (["application/json"], "application/json"),
        (["text/html, application/json;q=0.9"], "text/html"),
        (["text/html;q=0.1", "application/*"], "application/json"),
        (["text/html;q=0, */*"], "application/json"),
        (["image/png"], "text/html"),
    ],
)
def test_preferred_media_types(accept: list[str], expected: str) -> None:
    """The most specific range gives a type's weight (RFC 9110, 12.5.1); equal ones: the first offered."""
    assert preferred(accept, ("text/html", "application/json")) == expected
