"""The command line of the stress tests: a private system, the scenarios, the table, the verdict."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import aiohttp
import msgspec
import psutil
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from common.runtime.process import background
from deployment.errors import StackError
from deployment.local.console import Terminal
from deployment.local.stack import Stack
from deployment.local.temporary import temporary_stack
from perf import thresholds
from perf.load import references
from perf.load.driver import CONNECTIONS
from perf.probes import machine, memory
from perf.probes.sampling import Sampler
from perf.reporting import page, text
from perf.stress.report import Found, run_of, show
from perf.stress.scenarios import SCENARIOS, Scenario, System

TUNABLES = {"LOG_LEVEL": "warning", "COLLECTIONS_AT": "never"}
REFERENCE_S = 3.0
WARM_UP_USERS = 20
WARM_UP = 200  # leases created, and as many read, before anything counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 all thresholds kept, 1 not, 2 nothing could be measured."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    names = [each.name for each in SCENARIOS]
    if unknown := [name for name in asked.scenarios if name not in names]:
        parser.error(f"there is no scenario {unknown[0]!r}; there are: {', '.join(names)}")
    chosen = [
        msgspec.structs.replace(
            each, users=asked.users or each.users, operations=asked.operations or each.operations
        )
        for each in SCENARIOS
        if not asked.scenarios or each.name in asked.scenarios
    ]
    console = text.terminal()
    bounds = thresholds.load().stress
    try:
        with temporary_stack(tunables=TUNABLES, reporter=Terminal()) as stack:
            found = uvloop.run(_measure(stack, chosen, console))
    except (StackError, OSError, TimeoutError, aiohttp.ClientError) as error:
        print(f"The stress tests were cut short: {error!s}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    console.print(f"Machine: {machine.this()}; commit {machine.commit()}.")
    kept = show(console, found, bounds)
    path = page.write(run_of(found, bounds, kept))
    console.print(f"Report: {path}", soft_wrap=True)
    return 0 if kept else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.performance.stress_tests",
        description="Presses a private system, which is started for it and gone afterwards: "
        + "; ".join(
            f"{each.name}: {each.title.lower()}, {each.users} × {each.operations}" for each in SCENARIOS
        )
        + ".",
        epilog="Exit code: 0 when every threshold of perf/thresholds.toml is kept, 1 when not, 2 when nothing"
        " could be measured.",
    )
    names = ", ".join(each.name for each in SCENARIOS)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"of {names}; default: all")
    parser.add_argument("--users", type=_positive, help="how many at once (users, leases), in each scenario")
    parser.add_argument("--operations", type=_positive, help="how many operations of each of them")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


async def _measure(stack: Stack, chosen: Sequence[Scenario], console: Console) -> Found:
    outcomes = []
    peak = memory.Peak([*memory.family(stack.states()["lease-api"].pid), psutil.Process()])
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=not console.is_terminal,
    )
    async with background(peak.watch()), aiohttp.ClientSession() as session:
        system = System(stack, session)
        leases = max(WARM_UP, *(each.users for each in chosen))  # as many as any scenario wants to have
        await system.create(WARM_UP_USERS, -(-leases // WARM_UP_USERS), lambda: None)
        await system.read(WARM_UP_USERS, WARM_UP // WARM_UP_USERS, lambda: None)
        async with Sampler(stack) as sampler:
            with progress:
                for each in chosen:
                    task = progress.add_task(each.title, total=each.users * each.operations)
                    advance = partial(progress.advance, task)
                    outcomes.append(await each.press(system, each.users, each.operations, advance))
                    await peak.look()
            conserved = await system.conserved()
        with console.status("the references …"):
            beside = await references.measure(
                stack, system.created[0], connections=CONNECTIONS, seconds=REFERENCE_S
            )
    return Found(chosen, outcomes, peak.mb, conserved, beside, sampler.series())
