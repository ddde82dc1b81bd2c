"""Attempts that the gateway leaves without an answer: after resolution, is every charge one attempt's?

A third of the attempts time out at the gateway, half of those having charged. None may be paid again, none
may be declared failed; the resolver asks. In the end the gateway's own record and the attempts have to agree
one to one. Needs a running system (`make up`).
"""

import argparse
import asyncio
import itertools
import sys
import time
from collections import Counter
from typing import Any

import aiohttp
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from perf.addresses import addresses
from perf.terms import TERM, terms

# In turn, so that the gateway is seen to answer all the while.
SILENT = ("pm_timeout_then_ok", "pm_timeout_then_declined")
METHODS = ("pm_card_ok", "pm_card_ok", SILENT[0], "pm_card_ok", "pm_card_ok", SILENT[1])
AT_ONCE = 150
RESOLVED_WITHIN_S = 120.0

console = Console()


async def _lease(session: aiohttp.ClientSession, number: int) -> tuple[str, list[str]]:
    async with session.post(f"{addresses()['lease']}/api/v1/leases", json=terms(number)) as response:
        response.raise_for_status()
        lease = await response.json()
    return lease["lease_id"], [row["payment_id"] for row in lease["schedule"]]


async def _attempt(session: aiohttp.ClientSession, payment_id: str, method: str) -> tuple[str, bool]:
    """Its id, and whether the gateway has left it without an answer."""
    url = f"{addresses()['payment']}/api/v1/payments/{payment_id}/attempt"
    async with session.post(url, json={"payment_method": method}, headers={"Prefer": "wait=30"}) as response:
        answer = await response.json(content_type=None)
        if response.status not in (201, 202, 402):
            raise aiohttp.ClientError(f"{response.status} to an attempt: {answer}")
        return str(answer["attempt_id"]), answer["status"] == "unknown"


async def _states(session: aiohttp.ClientSession, attempts: list[str]) -> dict[str, dict[str, Any]]:
    async def one(attempt_id: str) -> dict[str, Any]:
        async with session.get(f"{addresses()['payment']}/api/v1/attempts/{attempt_id}") as response:
            response.raise_for_status()
            found: dict[str, Any] = await response.json()
            return found

    return {each["attempt_id"]: each for each in await asyncio.gather(*map(one, attempts))}


async def _charges(session: aiohttp.ClientSession, lease_id: str) -> list[dict[str, Any]]:
    async with session.get(f"{addresses()['gateway']}/v1/charges?lease_id={lease_id}") as response:
        response.raise_for_status()
        items: list[dict[str, Any]] = (await response.json())["items"]
        return items


async def measure(count: int) -> bool:
    """Run it all, print the table; True when the two records agree one to one."""
    # Connections bound the requests, so that waiting for a place does not count into anybody's time.
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("creating leases", total=-(-count // TERM))
            leases = []
            for number in range(-(-count // TERM)):
                leases.append(await _lease(session, number))
                progress.advance(task)
            await asyncio.sleep(1)  # until the payment service knows them
            payments = [payment_id for _, payment_ids in leases for payment_id in payment_ids][:count]
            task = progress.add_task("attempts, a third without an answer", total=count)

            async def attempt(payment_id: str, method: str) -> tuple[str, bool]:
                made = await _attempt(session, payment_id, method)
                progress.advance(task)
                return made

            began = time.perf_counter()
            pairs = zip(payments, itertools.cycle(METHODS), strict=False)
            made = await asyncio.gather(*itertools.starmap(attempt, pairs))
            attempted_s = time.perf_counter() - began
            attempts = [attempt_id for attempt_id, _ in made]
            unknown = sum(silent for _, silent in made)
            states = await _states(session, attempts)
            task = progress.add_task("asking the gateway", total=unknown)
            while left := sum(each["status"] in ("unknown", "started") for each in states.values()):
                progress.update(task, completed=unknown - left)
                if time.perf_counter() - began - attempted_s > RESOLVED_WITHIN_S:
                    break
                await asyncio.sleep(1)
                states = await _states(session, attempts)
            resolved_s = time.perf_counter() - began - attempted_s
        charges = [each for lease_id, _ in leases for each in await _charges(session, lease_id)]
    taken = Counter(each["metadata"]["attempt_id"] for each in charges if each["status"] == "succeeded")
    succeeded = {key for key, each in states.items() if each["status"] == "succeeded"}
    amounts = {each["metadata"]["attempt_id"]: each["amount"] for each in charges}
    agree = (
        set(taken) == succeeded
        and all(times == 1 for times in taken.values())
        and all(amounts[key] == states[key]["amount"] for key in succeeded)
        and left == 0
    )
    table = Table(title=f"{count} attempts, a third without an answer")
    for column in ("what", "number"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what, number in (
        ("attempts that got no answer from the gateway", unknown),
        ("of all: succeeded, in the end", len(succeeded)),
        ("of all: declined, in the end", sum(each["status"] == "declined" for each in states.values())),
        ("still unknown", left),
        ("charges that took money, by the gateway's record", sum(taken.values())),
        ("attempts charged twice", sum(times > 1 for times in taken.values())),
    ):
        table.add_row(what, f"{number:,}")
    console.print(table)
    verdict = "[green]agree one to one[/]" if agree else "[red]do not agree[/]"
    console.print(
        f"Attempted in {attempted_s:.1f} s, resolved {resolved_s:.1f} s later."
        f" Charges and succeeded attempts {verdict}."
    )
    return agree


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.resolution", description=__doc__)
    parser.add_argument("--attempts", type=int, default=1_000)
    arguments = parser.parse_args()
    try:
        agree = uvloop.run(measure(arguments.attempts))
    except (OSError, aiohttp.ClientError) as error:
        sys.exit(f"The system cannot be used ({error}): start it with `make up`.")
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
