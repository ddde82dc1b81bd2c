"""Two revisions side by side: is this checkout slower than another revision of it?

Both are checked out into worktrees of their own and started, each as a private system, with the packages of
this checkout; what is not committed here is part of it, new files as well. They are measured in turn:
creations and reads in closed loops of some seconds, round after round, so that what the machine does
meanwhile falls on both. The load comes from this checkout's generator; afterwards the ledger of each has to
have what was created, once. It fails only where a figure is worse than the factor allows *and* that is not by
chance (perf/stats/regression_gate.py).
"""

import argparse
import asyncio
import os
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import uvloop

from perf import thresholds
from perf.probes import machine
from perf.reporting import text
from perf.reporting.command import carry_out
from perf.stats import regression_gate
from perf.stats.run import Figure, Rows, Run, Series
from perf.system import revisions
from perf.system.revisions import CompareError, System

ROUNDS = 12
SECONDS = 4.0

console = text.terminal()


async def measure(revision: str, rounds: int, seconds: float) -> Run:
    """All of it. Raises CompareError."""
    commit = revisions.git("rev-parse", "--short", "--verify", f"{revision}^{{commit}}")
    here = revisions.here()
    parent = Path(tempfile.mkdtemp(prefix="lease-compare-"))
    parent.chmod(0o755)  # noqa: ASYNC240 the servers' own account has to get in
    try:
        with console.status(f"starting {commit} and this checkout …"):
            async with AsyncExitStack() as running:
                base = await running.enter_async_context(revisions.running("base", commit, parent))
                head = await running.enter_async_context(revisions.running("head", here, parent))
                for system in (base, head):  # to warm up
                    await system.round(seconds)
                    system.forget()
                await _rounds(base, head, rounds, seconds)
                for system in (base, head):
                    await system.check()
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
        verdict = regression_gate.compare(was, now, higher_is_better=higher_is_better, bounds=bounds)
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
        **machine.about("compare", f"This checkout against {settings['base']}"),
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
                across="round",
            )
            for system in (base, head)
        ],
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.system.compare_revisions", description=__doc__)
    default = os.environ.get("BASE") or None
    parser.add_argument("base", nargs="?", default=default, help="a revision, as git takes it; default: BASE")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"at least {regression_gate.ROUNDS_MIN}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of creations, in each round")
    asked = parser.parse_args()
    if asked.base is None:
        parser.error("name the revision to compare with: `make perf-compare BASE=main`")
    if asked.rounds < regression_gate.ROUNDS_MIN:
        parser.error(
            f"at least {regression_gate.ROUNDS_MIN} rounds: with fewer, nothing could be told from chance"
        )
    carry_out(console, lambda: uvloop.run(measure(asked.base, asked.rounds, asked.seconds)), CompareError)


if __name__ == "__main__":
    main()
