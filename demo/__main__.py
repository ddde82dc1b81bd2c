"""`python -m demo`: a lease's whole life through HTTP, told in the terminal, every claim checked.

It needs a running system (`make up`) and nothing else. Exit code: 0 when everything held, 1 when a check
failed or an answer came that the story cannot go on with, 2 when a service cannot be reached.
"""

import argparse
import asyncio
import sys

import aiohttp
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from demo import lease_chapters, money_chapters, proof_chapters
from demo.client import Client, Unexpected, Unreachable
from demo.presentation import Stage
from deployment.local.service_urls import addresses

HELD, FAILED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 130
_WIDTH = 100  # where the output is no terminal


async def play(stage: Stage) -> str:
    """All chapters in order. Returns what was collected. Raises Unreachable, Unexpected."""
    # Each of the fifty simultaneous requests is to have a connection of its own.
    connector = aiohttp.TCPConnector(limit=2 * lease_chapters.DUPLICATES)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = Client(session, addresses(), stage)
        await lease_chapters.introduce(client, stage)
        story = await lease_chapters.create(client, stage)
        await lease_chapters.fifty_at_once(client, stage)
        await money_chapters.pay(client, stage, story)
        await money_chapters.declined_then_paid(client, stage, story)
        await money_chapters.timeout_then_resolved(client, stage, story)
        await money_chapters.pay_off(client, stage, story)
        await proof_chapters.tell(client, stage, story)
        await proof_chapters.verify(client, stage, story)
        return story.money(await proof_chapters.agree(client, stage, story))


def summarise(stage: Stage, collected: str) -> None:
    """What was proved, and where to look next."""
    urls = addresses()
    lines = [
        f"[green]✓[/] {collected} collected, once: so say the gateway's own record, the payment service, the "
        "ledger and the lease.",
        "[green]✓[/] A lost answer was resolved by asking, not by paying again.",
        f"[green]✓[/] {lease_chapters.DUPLICATES} simultaneous requests made one lease.",
        "[green]✓[/] Every event is in the ledger, in order, and its hashes were recomputed outside of it.",
        "",
        f"{stage.held} checks held in {stage.seconds:.1f} s; most of that was waiting for a gateway that "
        "never answers.",
        "",
        "[bold]Where to look next[/]",
        *(f"  {urls[service]}/docs" for service in ("lease", "payment", "ledger")),
        "  make ps     the processes        make logs   what they say",
        "  make test   all tests            make down   stop (the data is kept)",
    ]
    stage.console.print()
    stage.console.print(Panel("\n".join(lines), title="[bold]What was proved", border_style="green"))


def complain(stage: Stage, problem: str, advice: str) -> None:
    """A failure, plainly."""
    stage.console.print()
    stage.console.print(
        Panel(f"{escape(problem)}\n\n{advice}", title="[bold]This went wrong", border_style="red")
    )


def main() -> int:
    """Play, and say how it ended. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="A lease's whole life through HTTP, told in the terminal, every claim checked.",
        epilog="The services are found by LEASE_SERVICE_URL, PAYMENT_SERVICE_URL, LEDGER_SERVICE_URL and "
        "GATEWAY_URL (default: where `make up` has started them).",
    )
    parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    stage = Stage(console)
    try:
        collected = asyncio.run(play(stage))
    except Unreachable as error:
        complain(
            stage,
            f"{error}.",
            "[bold]make up[/] starts the system, [bold]make ps[/] shows what runs. If it listens elsewhere, "
            '[bold]eval "$(make -s env)"[/] tells this program where.',
        )
        return UNREACHABLE
    except Unexpected as error:
        complain(stage, str(error), "[bold]make logs[/] shows what the services say about it.")
        return FAILED
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        complain(stage, f"An answer is not of the expected form: {error!r}", "Is this the lease system?")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    if stage.failed:
        complain(
            stage,
            "\n".join(
                [f"{len(stage.failed)} of {stage.held + len(stage.failed)} checks failed:", *stage.failed]
            ),
            "[bold]make logs[/] shows what the services say about it.",
        )
        return FAILED
    summarise(stage, collected)
    return HELD


if __name__ == "__main__":
    sys.exit(main())
