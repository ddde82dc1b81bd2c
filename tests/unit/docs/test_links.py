"""Every link inside the project leads to a file, and to a heading of it where it names one."""

import re
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
_FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def _prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


@cache
def _anchors(page: Path) -> set[str]:
    """The names GitHub gives a page's headings; a second heading of one name gets `-1`, and so on."""
    names: set[str] = set()
    for heading in _HEADING.findall(_prose(page)):
        words = re.sub(r"\]\([^)]*\)", "", heading).lower()
        name = wanted = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = 0
        while name in names:
            count += 1
            name = f"{wanted}-{count}"
        names.add(name)
    return names


def _resolves(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(PROJECT) or not target.exists():
        return False
    return not anchor or anchor in _anchors(target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link is a file of the project; each anchor is a heading of the page it points into."""
    links = [link for link in _LINK.findall(_prose(page)) if not re.match(r"[a-z]+:", link)]
    assert [link for link in links if not _resolves(page, link)] == []


def test_every_page_can_be_reached() -> None:
    """From the README, link by link, one comes to every page."""
    reached, waiting = set(), [PROJECT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = (link.partition("#")[0] for link in _LINK.findall(_prose(page)))
        waiting += [(page.parent / link).resolve() for link in links if link and ":" not in link]
    assert [str(page.relative_to(PROJECT)) for page in PAGES if page not in reached] == []
