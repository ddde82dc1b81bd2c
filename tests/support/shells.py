"""Command blocks of the pages, typed into a shell that believes it is used by somebody at a terminal."""

import re
import shutil
import subprocess
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from deployment.errors import StackError
from deployment.local.console import Terminal
from deployment.local.native.server_binaries import ensure

_BLOCK = re.compile(r"^( *)```sh\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
# Without anybody's own configuration, and with nothing between an answer and the prompt.
SHELLS = {
    "bash": ("--norc", "--noprofile", "--noediting", "-i"),
    "zsh": ("-f", "-i", "+o", "prompt_sp", "+o", "prompt_cr"),
}
_PROMPTS = {"bash": "<@$?@>", "zsh": "<@%?@>"}
_END = "that-is-all"
_PROMPT = re.compile(r"<@(\d+)@>")
ENDS_WITHIN_S = 60


@dataclass(frozen=True)
class Command:
    """One that was typed: how it ended, and what it printed until the prompt came again."""

    status: int
    output: str


def blocks(page: Path) -> list[str]:
    """The blocks of a page that are to be typed into a shell, in their order."""
    return [textwrap.dedent(block) for _, block in _BLOCK.findall(page.read_text())]


def need(shell: str) -> None:
    """Install a shell where it is missing; the test is skipped where that cannot be."""
    if shutil.which(shell) is None:
        try:
            ensure([shell], Terminal())
        except StackError as error:
            pytest.skip(error.problem)


def type_into(shell: str, text: str, directory: Path, environment: Mapping[str, str]) -> list[Command]:
    """What comes of the commands in `text`, one after the other. Fails where the last one has no end."""
    done = subprocess.run(
        [shutil.which(shell) or shell, *SHELLS[shell]],
        input=f"{text}\necho {_END}\n",
        cwd=directory,
        env={**environment, "PS1": _PROMPTS[shell], "PS2": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=ENDS_WITHIN_S,
        check=False,
        start_new_session=True,
    )
    # What is before the first prompt is the shell's own complaint about having no terminal.
    parts = _PROMPT.split(done.stdout)[2:]
    commands = [Command(int(status), output) for output, status in zip(parts[::2], parts[1::2], strict=False)]
    assert commands, done.stdout
    assert commands[-1] == Command(0, f"{_END}\n"), done.stdout
    return commands[:-1]


def faults(commands: list[Command]) -> list[str]:
    """Those that failed, and those whose answer runs into the prompt, in words."""
    return [
        f"exit status {each.status}, and printed: {each.output[-500:]!r}"
        for each in commands
        if each.status or (each.output and not each.output.endswith("\n"))
    ]
