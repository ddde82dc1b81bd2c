"""CONTRIBUTING names the files that a change touches: they are there, and they are all."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
TEXT = (PROJECT / "CONTRIBUTING.md").read_text()
_SECTION = re.compile(r"^### … ([^\n]+)\?\n(.*?)(?=^### |\Z)", re.MULTILINE | re.DOTALL)
CHANGES: dict[str, str] = dict(_SECTION.findall(TEXT))
SERVICES = ("common", "deployment", "lease_svc", "payment_svc", "ledger_svc")
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"[\w./-]+(?:/|\.(?:py|md|sql|csv|toml|txt|cfg|yaml))")
# Whatever names one of these is touched by such a change; the section has to name the file.
WORDS = {
    "a payment frequency": r'"semimonthly": ',
    "a retry delay": r"\bRETRY_AFTER_DAYS\b|5,30,300,3600|^ASK_AFTER = ",
    "an event type": r'"lease\.cured"|\bLeaseCured\b',
}


def _paths(text: str) -> set[str]:
    return {word for span in _CODE.findall(text) for word in span.split() if _PATH.fullmatch(word)}


def test_every_file_named_is_there() -> None:
    """What looks like a path is a file or a folder of the project."""
    named = _paths(TEXT)
    assert len(named) > 40
    assert sorted(path for path in named if not (PROJECT / path).exists()) == []


def test_ten_changes_are_described() -> None:
    """Each of them names at least one file, and what it was before."""
    assert len(CHANGES) == 10
    assert [title for title, text in CHANGES.items() if not _paths(text) or "Before:" not in text] == []


@pytest.mark.parametrize("title", WORDS)
def test_no_file_is_left_out(title: str) -> None:
    """Every module that spells out the thing in question is named in the section on changing it."""
    found = {
        str(path.relative_to(PROJECT))
        for package in SERVICES
        for path in (PROJECT / package).rglob("*.py")
        if re.search(WORDS[title], path.read_text(), re.MULTILINE)
    }
    assert found
    assert sorted(found - _paths(CHANGES[title])) == []
