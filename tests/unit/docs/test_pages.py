"""The pages' form: short, one definition for one term, records complete, the field's own words."""

import re
from collections import Counter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
DOCS = PROJECT / "docs"
GENERATED = {DOCS / "reference" / name for name in ("events", "openapi", "decline-codes.md", "problems.md")}
WRITTEN = sorted(
    page
    for page in [*PROJECT.glob("*.md"), *DOCS.rglob("*.md")]
    if page not in GENERATED and page.parent not in GENERATED
)
ARCHITECTURE = DOCS / "explanation" / "architecture.md"
RECORDS = sorted((DOCS / "explanation" / "decisions").glob("*.md"))
RECORD_PARTS = ["Context", "Decision", "Consequences", "Measured"]
# Words of this project's own for what the field has a term for, and pages by names that they had.
RETIRED = re.compile(
    r"\b(twins?|poison|handout|the rooms?|same rooms|collecting\.py|app\.py|handlers\.py"
    r"|(ARCHITECTURE|OPERATIONS|AUDIT|PERFORMANCE|DECLINES|DEPENDENCIES)\.md)\b"
)


def test_architecture_is_read_in_one_sitting() -> None:
    """At most 300 lines, with a picture of the modules and one of the way of a command."""
    text = ARCHITECTURE.read_text()
    assert len(text.splitlines()) <= 300
    assert text.count("```mermaid\n") == 2


def test_decision_records_are_complete() -> None:
    """They are numbered without a gap, have every part, and the architecture lists each."""
    assert [page.name[:4] for page in RECORDS] == [f"{n:04d}" for n in range(1, len(RECORDS) + 1)]
    for page in RECORDS:
        text = page.read_text()
        assert text.startswith(f"# {page.name[:4]}: "), page.name
        assert re.findall(r"^\*\*(\w+)\.\*\* ", text, re.MULTILINE) == RECORD_PARTS, page.name
        assert f"(decisions/{page.name})" in ARCHITECTURE.read_text(), page.name


def test_the_glossary_defines_each_term_once() -> None:
    """And what a definition shows in italics is a term of the page."""
    text = (DOCS / "glossary.md").read_text()
    terms = Counter(re.findall(r"^\| \*\*([^*]+)\*\*", text, re.MULTILINE))
    assert len(terms) > 50
    assert [term for term, count in terms.items() if count > 1] == []
    used = {word.removesuffix("s") for word in re.findall(r"(?<!\*)\*([a-z ]+)\*(?!\*)", text)}
    others = {"soft", "hard", "estimate", "dispute"}  # defined where they stand
    assert sorted(used - {term.removesuffix("s") for term in terms} - others) == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(PROJECT)))
def test_pages_use_the_fields_words(page: Path) -> None:
    """No retired word, and no page by a name that it no longer has; "Before" in CONTRIBUTING may."""
    text = page.read_text()
    if page.name == "CONTRIBUTING.md":
        text = re.sub(r"Before: .*?\n\n", "", text + "\n\n", flags=re.DOTALL)
    assert RETIRED.findall(text) == []
