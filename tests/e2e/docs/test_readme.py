"""The commands in the README and the guides work as they stand, in bash and in zsh, as they are typed."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from deployment.roles import PROJECT
from tests.support import shells
from tests.support.system.system import System

README, AUDIT = PROJECT / "README.md", PROJECT / "docs" / "how-to" / "verify-the-ledger.md"
PAGES = [page for page in (README, *sorted((PROJECT / "docs").rglob("*.md"))) if shells.blocks(page)]
PORTS = {"lease": 8000, "payment": 8001, "ledger": 8002, "gateway": 8003}
# Stands in for a program: it does nothing well, and `curl` answers without a line's end, as ours do.
STAND_IN = """#!/bin/sh
for each; do [ "$each" = "#" ] && exit 64; done
[ "${0##*/}" = curl ] || exit 0
case " $* " in *" -o "*) exit 0 ;; esac
printf answer
case " $* " in *" -w "*) echo ;; esac
"""
PROGRAMS = (
    *("curl", "date", "docker", "grep", "head", "locust", "make", "pytest", "python", "python3", "sed", "tr"),
    ".venv/bin/python",
)


def status_of(answer: str) -> int | None:
    """Of a problem, as its body has it."""
    try:
        body = json.loads(answer)
    except ValueError:
        return None
    return body["status"] if isinstance(body, dict) and "title" in body else None


@pytest.mark.parametrize("shell", shells.SHELLS)
def test_walk_through(system: System, shell: str, tmp_path: Path) -> None:
    """Against a running system: no command fails, each answer ends its line, and one is a decline as told."""
    shells.need(shell)
    text = "".join(block for page in (README, AUDIT) for block in shells.blocks(page) if "make" not in block)
    text = text.replace("/tmp/", f"{tmp_path}/")
    for service, port in PORTS.items():
        assert f"localhost:{port}/" in text
        text = text.replace(f"localhost:{port}/", system.url(service).removeprefix("http://") + "/")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    began = time.monotonic()
    commands = shells.type_into(shell, text, tmp_path, os.environ | {"PYTHONPATH": str(PROJECT)})
    assert shells.faults(commands) == []
    assert [status for each in commands if (status := status_of(each.output))] == [402]
    printed = "".join(each.output for each in commands)
    assert printed.count("Verified.") == 4  # three of them are of the guide for auditors
    for expected in ('"status_url"', "lease_id,", '"dispute_id"'):
        assert expected in printed
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("shell", shells.SHELLS)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_can_be_typed(page: Path, shell: str, tmp_path: Path) -> None:
    """With stand-ins for all programs: nothing is taken for a pattern, a comment or an open quote."""
    shells.need(shell)
    for name in PROGRAMS:
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(STAND_IN)
        program.chmod(0o755)
    for block in shells.blocks(page):
        commands = shells.type_into(shell, block, tmp_path, {"PATH": f"{tmp_path}:/nowhere"})
        assert shells.faults(commands) == [], block
