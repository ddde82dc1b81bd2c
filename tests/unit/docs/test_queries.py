"""Queries that an index is to serve are written so that it can."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
FILES = sorted(
    path
    for room in ("common", "*_svc")
    for path in PROJECT.glob(f"{room}/**/*.sql")
    if path.parent.name != "migrations"
)
_CAST = re.compile(r"(?<![.\w])(\w+)::\w+\s*(?=,|\sFROM)")
_ORDER = re.compile(r"\bORDER BY ([^()]*?)(?=\bLIMIT\b|\bFOR\b|\Z|\))", re.DOTALL)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_sorted_by_what_is_stored(path: Path) -> None:
    """`SELECT id::text … ORDER BY id` sorts by the text, every row: the name means the output."""
    wrong = []
    for query in re.split(r"^-- name: ", path.read_text(), flags=re.MULTILINE)[1:]:
        words = re.sub(r"--[^\n]*", "", query.partition("\n")[2])
        cast = set(_CAST.findall(words))
        for order in _ORDER.findall(words):
            wrong += [
                f"{query.split()[0]}: {key.strip()}"
                for key in order.split(",")
                if key.split() and key.split()[0] in cast
            ]
    assert wrong == []


def test_there_are_queries() -> None:
    """The test above looks at something."""
    assert len(FILES) >= 4
