"""The ledger's figures: how fast one writer appends from the stream, and what a large log costs.

On a private system. What auditors ask, and what a batch costs, is timed on a small log and on a large one,
which is filled with the ledger's own functions, batch by batch. Then events are published while nobody reads;
a bare aio-pika consumer reads them, and a writer process appends them, sealed.
"""

import argparse
from collections.abc import Mapping

import aiohttp
import asyncpg
import uvloop
from rich.progress import Progress

from common.postgres.pool import open_pool
from deployment.local.console import Terminal
from deployment.local.stack import Stack
from deployment.local.temporary import temporary_stack
from deployment.roles import SERVICES
from perf import thresholds
from perf.bench.ledger_operations import Ledger
from perf.probes import machine
from perf.reporting import text
from perf.reporting.command import carry_out
from perf.stats.run import Figure, Rows, Run, at_least, at_most

SMALL = 10_000
FROM_STREAM = 100_000

console = text.terminal()


async def measure(stack: Stack, entries: int, from_stream: int) -> Run:
    """All of it."""
    owner = await asyncpg.connect(stack.addresses.database)
    try:
        async with (
            aiohttp.ClientSession() as session,
            open_pool(stack.addresses.dsn("ledger_writer"), "ledger", name="figures", size=2) as pool,
        ):
            ledger = Ledger(stack, pool, owner, session)
            with Progress(console=console, transient=True) as progress:
                await ledger.fill(SMALL, progress)
                small = await ledger.medians_ms()
                await ledger.fill(entries, progress)
                large = await ledger.medians_ms()
                progress.add_task("appending from the stream", total=None)
                appended, bare = await ledger.from_stream(from_stream)
    finally:
        await owner.close()
    settings = {
        "small": f"{SMALL:,} entries",
        "large": f"{entries:,} entries",
        "from the stream": f"{from_stream:,}",
    }
    return run_of(settings, small, large, appended, bare)


def run_of(
    settings: dict[str, str],
    small: Mapping[str, float],
    large: Mapping[str, float],
    appended: float,
    bare: float,
) -> Run:
    """The report: medians in ms by what was asked; events a second from the stream."""
    bounds = thresholds.load().ledger
    ratios = {name: large[name] / small[name] for name in small}
    figures = [
        at_least("appended from the stream", appended, "events a second", bounds.appended_per_s),
        Figure(name="of what a bare consumer reads", value=appended / bare, unit="×"),
        *(
            at_most(f"{name}, large over small", ratio, "×", bounds.ratio)
            for name, ratio in ratios.items()
            if name != "metrics"
        ),
        at_most("metrics, at that size", large["metrics"], "ms", bounds.metrics_ms),
    ]
    missed = text.missed(figures)
    return Run(
        **machine.about("ledger", "The ledger, small and large"),
        settings=settings,
        verdict=not missed,
        remarks=missed,
        figures=figures,
        tables=[
            Rows(
                title="Medians, ms",
                columns=["what", settings["small"], settings["large"], "ratio"],
                rows=[
                    [name, f"{small[name]:.2f}", f"{large[name]:.2f}", f"{ratios[name]:.2f}"]
                    for name in small
                ],
            )
        ],
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.bench.ledger", description=__doc__)
    parser.add_argument("--entries", type=int, default=5_000_000, help="of the large log")
    parser.add_argument(
        "--from-stream", type=int, default=FROM_STREAM, help="events to append from the stream"
    )
    asked = parser.parse_args()
    services = [each for each in SERVICES if each.name == "ledger-api"]

    def measured() -> Run:
        tunables = {"LOG_LEVEL": "warning"}
        with temporary_stack(services=services, tunables=tunables, reporter=Terminal()) as stack:
            return uvloop.run(measure(stack, asked.entries, asked.from_stream))

    carry_out(console, measured)


if __name__ == "__main__":
    main()
