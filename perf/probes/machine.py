"""What machine this is: figures of different machines are not to be compared."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What figures depend on, as far as a program can tell."""

    system: str  # "Linux", "Darwin"
    architecture: str  # "x86_64", "arm64"
    processor: str  # the model's name
    cores: int  # that this process may use
    memory_gb: int
    python: str  # "3.11"

    @property
    def key(self) -> str:
        """A name for files, the same for machines of one kind."""
        size = f"{self.cores}-cores {self.memory_gb}-gb"
        words = f"{self.system} {self.architecture} {self.processor} {size} python-{self.python}"
        return re.sub(r"[^a-z0-9.]+", "-", words.lower()).strip("-")

    def __str__(self) -> str:
        return (
            f"{self.processor}, {self.cores} cores, {self.memory_gb} GB, {self.system}, Python {self.python}"
        )


def this() -> Machine:
    """The machine that this process runs on."""
    python = ".".join(platform.python_version_tuple()[:2])
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        processor=_processor(),
        cores=len(affinity(0)) if affinity else os.cpu_count() or 1,
        memory_gb=round(psutil.virtual_memory().total / 2**30),
        python=python,
    )


def about(kind: str, title: str) -> dict[str, Any]:
    """What every measurement's `Run` says of itself: when, of which commit, on which machine."""
    return {
        "kind": kind,
        "title": title,
        "at": datetime.now(UTC),
        "commit": commit(),
        "machine": str(this()),
    }


def commit() -> str:
    """The commit that is checked out, with "+" where files differ from it; "unknown" outside of git."""
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    project = Path(__file__).parents[2]
    try:
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return " ".join(found[1].split()) if found else platform.processor() or "unknown processor"
