"""One version, one licence: setup.cfg states them, and the other files agree."""

import configparser
import re
from pathlib import Path

PROJECT = Path(__file__).parents[3]


def metadata() -> configparser.SectionProxy:
    config = configparser.RawConfigParser()
    config.read(PROJECT / "setup.cfg")
    return config["metadata"]


def test_the_changelog_names_the_version() -> None:
    """It has a section of its own, or is what the section Unreleased will become."""
    text = (PROJECT / "CHANGELOG.md").read_text()
    version = metadata()["version"]
    unreleased = re.search(r"^## Unreleased\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert unreleased
    assert f"\n## {version} - 2" in text or f"To be released as {version}." in unreleased[1]


def test_the_version_stands_in_one_place() -> None:
    """No module and no file of the deployment repeats it."""
    quoted = re.compile(rf"""['"=:]\s*v?{re.escape(metadata()["version"])}\b""")
    files = [
        PROJECT / "compose.yaml",
        PROJECT / "Dockerfile",
        PROJECT / "Makefile",
        PROJECT / "pyproject.toml",
    ]
    files += [path for package in PROJECT.glob("*/__init__.py") for path in package.parent.rglob("*.py")]
    assert [path.name for path in files if quoted.search(path.read_text())] == []


def test_the_licence_is_the_one_named() -> None:
    """LICENSE has the text, setup.cfg its SPDX name."""
    assert metadata()["license"] == "Apache-2.0"
    text = (PROJECT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


def test_the_readme_links_what_a_newcomer_looks_for() -> None:
    """How to contribute, what changed, how to report a vulnerability, and the licence."""
    readme = (PROJECT / "README.md").read_text()
    for page in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "docs/glossary.md"):
        assert f"]({page})" in readme, page
