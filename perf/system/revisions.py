"""A revision of this project checked out and started beside others, put under load, and its books checked."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deployment import roles
from deployment.local.ports import VARIABLES, Ports
from perf.checks.ledger_totals import LedgerTotals
from perf.load import http_generator
from perf.load.driver import CONNECTIONS, TUNABLES
from perf.load.http_messages import get, post
from perf.load.result import Request
from perf.targets.sample_lease import creation

PROJECT = Path(__file__).parents[2]
SETTLE_S = 60.0  # how long a ledger may take after the last round
# What a user's own stack may have been asked for, which is not what is compared.
NOT_PASSED_ON = ("STACK", "AMQP_URL", "DATABASE_URL", *roles.TUNABLES)
READ_SHARE = 4  # reads are measured for so much less time than creations: they scatter less


class CompareError(Exception):
    """What cannot be compared, in words."""


def git(*arguments: str, **environment: str) -> str:
    """What a git command prints, run in this checkout. Raises CompareError."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CompareError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def here() -> str:
    """A commit of all that is in this checkout, new files as well; branch and index stay as they are."""
    with tempfile.TemporaryDirectory(prefix="lease-index-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git("read-tree", "HEAD", **index)
        git("add", "--all", **index)
        tree = git("write-tree", **index)
    author = {f"GIT_{who}_{what}": "compare" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return git("commit-tree", tree, "-p", "HEAD", "-m", "this checkout", **author)


class System:
    """A revision's own stack, started with its own code."""

    def __init__(self, name: str, project: Path) -> None:
        self.name = name
        self._project = project
        ports = Ports.free()
        self._environment = {
            **{key: value for key, value in os.environ.items() if key not in NOT_PASSED_ON},
            **TUNABLES,
            **{variable: str(ports.of(field)) for field, variable in VARIABLES.items()},
        }
        self.creations: list[float] = []  # a second, by round
        self.reads: list[float] = []
        self.p99_ms: list[float] = []
        self.answered = 0  # creations, warming up included
        self._leases = f"http://127.0.0.1:{ports.of('lease')}/api/v1/leases"
        self._ledger = f"http://127.0.0.1:{ports.of('ledger')}"

    def stack(self, *arguments: str) -> None:
        """Run a command of its stack. Raises CompareError."""
        command = [sys.executable, "-m", "deployment.local", *arguments]
        done = subprocess.run(
            command, cwd=self._project, env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CompareError(f"{self.name}: {' '.join(arguments)}: {(done.stdout + done.stderr)[-800:]}")

    def forget(self) -> None:
        """Start counting anew."""
        for figures in (self.creations, self.reads, self.p99_ms):
            figures.clear()

    async def round(self, seconds: float) -> None:
        """Measure once."""
        created: list[bytes] = []

        def note(request: Request, body: bytes) -> None:
            if request.status == 201 and len(created) < 500:
                url = f"{self._leases}/{json.loads(body)['lease_id']}"
                created.append(get(url))

        made = await http_generator.closed_loop(
            self._leases,
            lambda number: post(self._leases, creation(number)),
            seconds=seconds,
            connections=CONNECTIONS,
            on_answer=note,
        )
        self.answered += made.statuses[201]
        if set(made.statuses) != {201} or made.unanswered:
            raise CompareError(f"{self.name}: answers to creations: {dict(made.statuses)}")
        await asyncio.sleep(0.5)  # what goes on behind the answers is not to fall on the other
        read = await http_generator.closed_loop(
            self._leases,
            lambda number: created[number % len(created)],
            seconds=seconds / READ_SHARE,
            connections=CONNECTIONS,
        )
        if set(read.statuses) != {200} or read.unanswered:
            raise CompareError(f"{self.name}: answers to reads: {dict(read.statuses)}")
        self.creations.append(made.rate_of(201))
        self.p99_ms.append(made.latencies.percentile_ms(99))
        self.reads.append(read.rate_of(200))

    async def check(self) -> None:
        """Raises CompareError where the ledger does not come to have what was answered, each once."""
        found = await LedgerTotals(self._ledger).leases(self.answered, SETTLE_S)
        if found != self.answered:
            raise CompareError(f"{self.name}: {self.answered:,} created, {found:,} in the ledger")


@asynccontextmanager
async def running(name: str, commit: str, parent: Path) -> AsyncIterator[System]:
    """A revision checked out and started; gone after the block."""
    project = parent / name
    await asyncio.to_thread(git, "worktree", "add", "--detach", str(project), commit)
    try:
        system = System(name, project)
        try:
            await asyncio.to_thread(system.stack, "up")
            yield system
        finally:
            await asyncio.to_thread(system.stack, "clean")
    finally:
        await asyncio.to_thread(git, "worktree", "remove", "--force", str(project))
