"""Two revisions side by side: is this checkout slower than another revision of it?

Both are checked out into worktrees of their own and started, each as a private system, with the packages of
this checkout. They are measured in turn: creations and reads in closed loops of some seconds, round after
round, so that what the machine does meanwhile falls on both. The load comes from this checkout's generator.
It fails only where a figure is worse than the factor allows *and* that is not by chance (perf/gate.py).
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
import uvloop
from rich.console import Console

from common.stack.ports import VARIABLES, Ports
from perf import gate, loadgen, show, thresholds
from perf.driver import CONNECTIONS, TUNABLES
from perf.report import page
from perf.report.run import Figure, Rows, Run, Series
from perf.terms import creation

PROJECT = Path(__file__).parents[1]
ROUNDS = 12
SECONDS = 4.0
READ_SHARE = 4  # reads are measured for so much less time: they scatter less

console = Console()


class CompareError(Exception):
    """What cannot be compared, in words."""


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompareError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


class System:
    """A revision's own stack, started with its own code."""

    def __init__(self, name: str, project: Path) -> None:
        self.name = name
        self._project = project
        ports = Ports.free()
        self._environment = {
            **{key: value for key, value in os.environ.items() if key not in ("AMQP_URL", "DATABASE_URL")},
            **TUNABLES,
            **{variable: str(ports.of(field)) for field, variable in VARIABLES.items()},
        }
        self.creations: list[float] = []  # a second, by round
        self.reads: list[float] = []
        self.p99_ms: list[float] = []
        self._leases = f"http://127.0.0.1:{ports.of('lease')}/api/v1/leases"

    def stack(self, *arguments: str) -> None:
        """Run a command of its stack. Raises CompareError."""
        command = [sys.executable, "-m", "common.stack", *arguments]
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

        def note(status: int, body: bytes) -> None:
            if status == 201 and len(created) < 500:
                url = f"{self._leases}/{json.loads(body)['lease_id']}"
                created.append(loadgen.get(url))

        numbers = iter(range(sys.maxsize))
        made = await loadgen.run(
            self._leases,
            lambda: loadgen.post(self._leases, creation(next(numbers))),
            seconds=seconds,
            connections=CONNECTIONS,
            on_body=note,
        )
        if set(made.statuses) != {201}:
            raise CompareError(f"{self.name}: answers to creations: {dict(made.statuses)}")
        await asyncio.sleep(0.5)  # what goes on behind the answers is not to fall on the other
        turn = iter(range(sys.maxsize))
        read = await loadgen.run(
            self._leases,
            lambda: created[next(turn) % len(created)],
            seconds=seconds / READ_SHARE,
            connections=CONNECTIONS,
        )
        self.creations.append(made.per_second)
        self.p99_ms.append(made.percentile_ms(99))
        self.reads.append(read.per_second)


@asynccontextmanager
async def _system(name: str, commit: str, parent: Path) -> AsyncIterator[System]:
    """A revision checked out and started; gone after the block."""
    project = parent / name
    await asyncio.to_thread(_git, "worktree", "add", "--detach", str(project), commit)
    try:
        system = System(name, project)
        try:
            await asyncio.to_thread(system.stack, "up")
            yield system
        finally:
            await asyncio.to_thread(system.stack, "clean")
    finally:
        await asyncio.to_thread(_git, "worktree", "remove", "--force", str(project))


async def measure(revision: str, rounds: int, seconds: float) -> Run:
    """All of it. Raises CompareError."""
    commit = _git("rev-parse", "--short", "--verify", f"{revision}^{{commit}}")
    # What is not committed here is compared too: `stash create` makes a commit of it and changes nothing.
    here = _git("stash", "create") or _git("rev-parse", "HEAD")
    parent = Path(tempfile.mkdtemp(prefix="lease-compare-"))
    parent.chmod(0o755)  # noqa: ASYNC240 the servers' own account has to get in
    try:
        with console.status(f"starting {commit} and this checkout …"):
            async with AsyncExitStack() as running:
                base = await running.enter_async_context(_system("base", commit, parent))
                head = await running.enter_async_context(_system("head", here, parent))
                for system in (base, head):  # to warm up
                    await system.round(seconds)
                    system.forget()
                await _rounds(base, head, rounds, seconds)
    finally:
        await asyncio.to_thread(shutil.rmtree, parent)
    return _run(
        base, head, {"base": f"{revision} ({commit})", "rounds": str(rounds), "seconds": f"{seconds:g}"}
    )


async def _rounds(base: System, head: System, rounds: int, seconds: float) -> None:
    for number in range(rounds):
        for system in (base, head) if number % 2 else (head, base):
            await system.round(seconds)
        said = ", ".join(
            f"{name} {was[-1]:7,.0f} → {now[-1]:7,.0f}/s"
            for name, was, now in (
                ("creations", base.creations, head.creations),
                ("reads", base.reads, head.reads),
            )
        )
        console.print(f"round {number + 1:2} of {rounds}: {said}")


def _run(base: System, head: System, settings: dict[str, str]) -> Run:
    bounds = thresholds.load().compare
    remarks, rows, figures = [], [], []
    for name, unit, higher_is_better, was, now in (
        ("creations", "a second", True, base.creations, head.creations),
        ("creations, p99", "ms", False, base.p99_ms, head.p99_ms),
        ("reads", "a second", True, base.reads, head.reads),
    ):
        verdict = gate.compare(was, now, higher_is_better=higher_is_better, bounds=bounds)
        medians = [float(np.median(each)) for each in (was, now)]
        rows.append(
            [name, *(f"{value:,.1f} {unit}" for value in medians), f"{verdict.ratio:.3f}", f"{verdict.p:.4f}"]
        )
        figures.append(Figure(name=f"{name}, this over base", value=verdict.ratio, unit="×"))
        if verdict.slower:
            remarks.append(
                f"{name}: {verdict.ratio:.3f} times the base, by chance in {verdict.p:.2%} of cases."
            )
    return Run(
        **show.about("compare", f"This checkout against {settings['base']}"),
        settings=settings,
        verdict=not remarks,
        remarks=remarks,
        figures=figures,
        tables=[Rows(title="Medians", columns=["figure", "base", "this checkout", "ratio", "p"], rows=rows)],
        series=[
            Series(
                group="Creations by round",
                name=system.name,
                unit="per second",
                points=[(float(number), value) for number, value in enumerate(system.creations, 1)],
            )
            for system in (base, head)
        ],
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.compare", description=__doc__)
    default = os.environ.get("BASE") or None
    parser.add_argument("base", nargs="?", default=default, help="a revision, as git takes it; default: BASE")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"at least {gate.ROUNDS_MIN}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of creations, in each round")
    asked = parser.parse_args()
    if asked.base is None:
        parser.error("name the revision to compare with: `make perf-compare BASE=main`")
    if asked.rounds < gate.ROUNDS_MIN:
        parser.error(f"at least {gate.ROUNDS_MIN} rounds: with fewer, nothing could be told from chance")
    try:
        run = uvloop.run(measure(asked.base, asked.rounds, asked.seconds))
        path = page.write(run)
    except (CompareError, OSError) as error:
        sys.exit(f"The comparison was cut short: {error}")
    show.told(console, run, path)
    sys.exit(0 if run.verdict else 1)


if __name__ == "__main__":
    main()
