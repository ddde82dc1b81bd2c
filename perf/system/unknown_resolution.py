"""Attempts that the gateway leaves without an answer, and an outage of the gateway in the middle of them.

Attempts are made at an even rate; a third of them time out at the gateway, half of those having charged. In
the middle the gateway is away, in one of two forms: it refuses connections (stopped), or it hangs (frozen by
a signal). Measured is how long after its return the attempts that were in doubt then are resolved. In the end
the gateway's own record and the attempts have to agree one to one: none is paid again, none declared failed.
Everything runs on a private system, which is gone afterwards.
"""

import argparse
import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import aiohttp
import msgspec
import numpy as np
import uvloop
from rich.console import Console
from rich.progress import Progress

from deployment.errors import StackError
from deployment.local.console import Terminal
from deployment.local.stack import Stack
from deployment.local.temporary import temporary_stack
from perf import thresholds
from perf.load import durations
from perf.probes import machine
from perf.reporting import text
from perf.system.outages import FORMS, System
from perf.targets.sample_lease import TERM

TUNABLES = {"COLLECTIONS_AT": "never", "LOG_LEVEL": "warning"}
# In turn, so that the gateway is seen to answer all the while.
SILENT = ("pm_timeout_then_ok", "pm_timeout_then_declined")
METHODS = ("pm_card_ok", "pm_card_ok", SILENT[0], "pm_card_ok", "pm_card_ok", SILENT[1])
WAITED_FOR_S = 180.0  # after the gateway's return, until what is left counts as not resolved
LOOK_EVERY_S = 1.0


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What one outage came to."""

    form: str
    attempts: int
    in_doubt: int  # of the attempts made before the gateway's return: those with no end then
    resolved_s: list[float]  # of these: seconds from its return to their end, ascending
    ends: Counter[str]  # all attempts by status
    charged: int  # charges that took money, by the gateway's record
    twice: int  # attempts charged more than once
    agree: bool  # charges and succeeded attempts are one to one, of the same amounts

    @property
    def p99_s(self) -> float:
        """Infinite where more than one in a hundred had no end by the end; NaN where none was in doubt."""
        left = self.in_doubt - len(self.resolved_s)
        return _percentile([*self.resolved_s, *[float("inf")] * left], 99)


async def measure(
    stack: Stack, form: str, count: int, outage_s: float, say: Callable[[str, int, int], None]
) -> Found:
    """One outage in the middle of so many attempts. `say`: what is under way, how much of it, of how much."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        system = System(stack, session)
        number_of_leases = -(-count // TERM)
        leases = []
        for number in range(number_of_leases):
            leases.append(await system.lease(number))
            say("creating leases", number + 1, number_of_leases)
        await asyncio.sleep(1)  # until the payment service knows them
        payments = [payment_id for _, payment_ids in leases for payment_id in payment_ids][:count]
        attempts, returned = await _through_the_outage(system, form, payments, outage_s, say)
        states = await _until_resolved(system, attempts, returned, say)
        charges = [each for lease_id, _ in leases for each in await system.charges(lease_id)]
    settled = [each["settled_at"] and datetime.fromisoformat(each["settled_at"]) for each in states.values()]
    before = [at for each, at in zip(states.values(), settled, strict=True) if _at(each) <= returned]
    resolved = sorted(at.timestamp() - returned for at in before if at and at.timestamp() > returned)
    return Found(
        form=form,
        attempts=len(attempts),
        in_doubt=len(resolved) + before.count(None),
        resolved_s=resolved,
        ends=Counter(each["status"] for each in states.values()),
        **_compared(states, charges),
    )


def _at(attempt: dict[str, Any]) -> float:
    return datetime.fromisoformat(attempt["created_at"]).timestamp()


async def _through_the_outage(
    system: System, form: str, payments: Sequence[str], outage_s: float, say: Callable[[str, int, int], None]
) -> tuple[list[str], float]:
    """The attempts' ids, and the Unix time of the gateway's return."""
    beside_s = max(outage_s / 3, 3.0)  # before the outage, and after it
    every_s = (outage_s + 2 * beside_s) / len(payments)
    loop = asyncio.get_running_loop()
    began = loop.time()
    made = 0
    now = "attempts"

    async def attempt(number: int, payment_id: str, method: str) -> str:
        nonlocal made
        await asyncio.sleep(began + number * every_s - loop.time())
        attempt_id = await system.attempt(payment_id, method)
        made += 1
        say(now, made, len(payments))
        return attempt_id

    async def outage() -> float:
        nonlocal now
        await asyncio.sleep(beside_s)
        now = f"attempts; the gateway {form}"
        returned = await system.outage(form, outage_s)
        now = "attempts; the gateway is back"
        return returned

    away = asyncio.create_task(outage())
    pairs = zip(payments, itertools.cycle(METHODS), strict=False)
    attempts = await asyncio.gather(*(attempt(number, *pair) for number, pair in enumerate(pairs)))
    return attempts, await away


async def _until_resolved(
    system: System, attempts: Sequence[str], returned: float, say: Callable[[str, int, int], None]
) -> dict[str, dict[str, Any]]:
    states = await system.states(attempts)
    while True:
        left = [key for key, each in states.items() if each["status"] in ("unknown", "started")]
        say("asking the gateway", len(attempts) - len(left), len(attempts))
        if not left or time.time() - returned > WAITED_FOR_S:
            return states
        await asyncio.sleep(LOOK_EVERY_S)
        states |= await system.states(left)


def _compared(states: dict[str, dict[str, Any]], charges: list[dict[str, Any]]) -> dict[str, Any]:
    taken = Counter(each["metadata"]["attempt_id"] for each in charges if each["status"] == "succeeded")
    amounts = {each["metadata"]["attempt_id"]: each["amount"] for each in charges}
    succeeded = {key for key, each in states.items() if each["status"] == "succeeded"}
    return {
        "charged": sum(taken.values()),
        "twice": sum(times > 1 for times in taken.values()),
        "agree": set(taken) == succeeded
        and all(times == 1 for times in taken.values())
        and all(amounts[key] == states[key]["amount"] for key in succeeded),
    }


def _percentile(seconds: Sequence[float], percent: float) -> float:
    """A value that was measured, never one in between; NaN where there is none."""
    return float(np.percentile(seconds, percent, method="higher")) if seconds else float("nan")


def show(console: Console, found: Sequence[Found], bound: thresholds.Resolution) -> bool:
    """Print the table and the verdicts; True where all is as it has to be."""
    table = text.table(
        "After the gateway's return",
        ("the gateway", "attempts", "in doubt", "resolved", "p50 s", "p99 s", "max s", "charged twice"),
    )
    for each in found:
        seconds = (_percentile(each.resolved_s, 50), each.p99_s, _percentile(each.resolved_s, 100))
        table.add_row(
            each.form,
            *(f"{number:,}" for number in (each.attempts, each.in_doubt, len(each.resolved_s))),
            *(f"{value:.1f}" for value in seconds),
            f"{each.twice:,}",
        )
    console.print(table)
    kept = True
    for each in found:
        holds = each.p99_s <= bound.p99_s
        ends = ", ".join(f"{number:,} {status}" for status, number in sorted(each.ends.items()))
        console.print(
            f"It {each.form}: p99 {each.p99_s:.1f} s, at most {bound.p99_s:g} s: {text.verdict(holds)}."
            f" {each.charged:,} charges and the attempts ({ends})"
            f" {text.verdict(each.agree, 'agree one to one', 'do not agree')}."
        )
        kept = kept and holds and each.agree
    return kept


async def _all(stack: Stack, asked: argparse.Namespace, console: Console) -> list[Found]:
    found = []
    for form in asked.forms:
        with Progress(console=console, transient=not console.is_terminal) as progress:
            task = progress.add_task("", total=None)

            def say(what: str, done: int, total: int, progress: Progress, task: Any) -> None:
                progress.update(task, description=f"{what} …", completed=done, total=total)

            each = partial(say, progress=progress, task=task)
            found.append(await measure(stack, form, asked.attempts, asked.outage, each))
    return found


def main() -> None:
    """Exits with 0 where the threshold is kept and the records agree, 1 where not, 2 if it was cut short."""
    parser = argparse.ArgumentParser(
        prog="python -m perf.system.unknown_resolution",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--attempts", type=int, default=1_000, help="for each form of outage (1000)")
    parser.add_argument("--outage", type=durations.seconds, default=60, help='how long: "60s", "2m" (60s)')
    parser.add_argument(
        "--form", dest="forms", action="append", choices=FORMS, help="of the outage; default: both in turn"
    )
    asked = parser.parse_args()
    asked.forms = asked.forms or FORMS
    bound = thresholds.load().resolution
    console = text.terminal()
    try:
        with temporary_stack(tunables=TUNABLES, reporter=Terminal()) as stack:
            found = uvloop.run(_all(stack, asked, console))
    except (StackError, OSError, TimeoutError, aiohttp.ClientError) as error:
        print(f"The measurement was cut short: {error!s}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    console.print(f"Machine: {machine.this()}; commit {machine.commit()}.")
    sys.exit(0 if show(console, found, bound) else 1)


if __name__ == "__main__":
    main()
