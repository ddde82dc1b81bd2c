"""The Makefile's targets that work with the stack: where they find it; without it they do nothing."""

import os
import re
import subprocess
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[3]
MAKEFILE = (PROJECT / "Makefile").read_text()
RECIPES = re.findall(r"^([a-z0-9-]+):([^#\n]*)## .*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
ASKING = ("figures", "demo", "history", "loadtest", "reconcile", "replay")
# As though .venv were up to date: nothing is installed.
MAKE = ("make", "--no-print-directory", "-o", ".venv/installed-requirements.txt")


def test_targets_ask_the_stack_where_it_is() -> None:
    """Each that starts the stack, or works with the one that runs, takes its addresses and no others."""
    found = {name for name, needs, recipe in RECIPES if "$(WITH_STACK)" in recipe}
    assert found == set(ASKING)
    assert {name for name, needs, _ in RECIPES if "up" in needs.split()} <= found


def test_nothing_is_run_without_the_stacks_addresses() -> None:
    """Where they cannot be had, a target ends at once; it does not go on with the usual ports."""
    for name in ASKING:
        done = subprocess.run(
            [*MAKE, "-o", "up", name, "STACK_COMMAND=false"],
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2, name
        assert (done.stdout, done.stderr.count("\n")) == ("", 1), done.stderr


def test_help_has_every_target_in_a_group() -> None:
    """`make help` lists each target, below a heading, with what it does."""
    done = subprocess.run([*MAKE, "help"], cwd=PROJECT, capture_output=True, text=True, check=True)
    listed: dict[str, list[str]] = {"": []}
    group = ""
    for line in filter(None, done.stdout.splitlines()):
        if line.startswith("  "):
            name, _, words = line.strip().partition(" ")
            assert words.strip(), name
            listed[group].append(name)
        else:
            group = line
            listed[group] = []
    assert list(listed) == ["", "Set up", "Run", "Measure", "Check", "Maintain"]
    assert listed.pop("") == ["help"]
    targets = re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE)
    assert sorted(sum(listed.values(), ["help"])) == sorted(targets)
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony
    assert sorted(phony[1].split()) == sorted(targets)


def test_every_push_is_tested() -> None:
    """The workflow runs what a developer runs: `make test`, for pushes and pull requests."""
    workflow = yaml.safe_load((PROJECT / ".github/workflows/ci.yml").read_text())
    assert workflow[True] == ["push", "pull_request"]  # YAML 1.1 takes `on` for a truth value
    assert {"run": "make test"} in workflow["jobs"]["test"]["steps"]
