"""Does the verifier find every falsified export, and call no honest one false?

A private system lives through some leases' lives; exports of them and of the whole ledger are downloaded at
two times. Copies are falsified at random, in every way of `perf.checks.tamper_mutations`. They and as many
honest ones go
to `python -m ledger_svc verify` as files, beside the ledger's public key. What it judges wrongly is kept.
"""

import argparse
import asyncio
import contextlib
import gzip
import itertools
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from deployment.errors import StackError
from deployment.local.ports import Ports
from deployment.local.settings import Settings
from deployment.local.stack import Stack
from deployment.roles import PROJECT
from perf.checks.export_file import parse
from perf.checks.tamper_mutations import WAYS, Unfit, tamper
from perf.checks.tamper_system import Ledger, Lives

TUNABLES = {"GATEWAY_LATENCY_MS": "0", "COLLECTIONS_AT": "never", "LOG_LEVEL": "warning"}
LEASES = 16
BASES = 200  # exports, of which the falsified ones are made
FILES_AT_ONCE = 50  # of one run of the verifier

console = Console()


async def judged(files: Sequence[Path], key: Path, progress: Progress, what: str) -> list[dict[str, Any]]:
    """The verifier's reports, in the order of the files."""
    reports: list[dict[str, Any]] = []
    task = progress.add_task(what, total=len(files))
    for start in range(0, len(files), FILES_AT_ONCE):
        some = files[start : start + FILES_AT_ONCE]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ledger_svc", "verify", "--json", "--key", str(key), *map(str, some)),
            cwd=PROJECT,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        found = [json.loads(line) for line in out.splitlines()]
        if len(found) != len(some):
            raise SystemExit(f"The verifier gave {len(found)} reports for {len(some)} files.")
        reports += found
        progress.advance(task, len(some))
    return reports


def falsified(
    chance: random.Random, count: int, honest: Sequence[bytes], progress: Progress
) -> Iterator[tuple[str, bytes]]:
    """So many falsified exports, of every kind in turn. SystemExit where none can be falsified in one way."""
    others = [parse(each) for each in honest]
    kinds = list(itertools.islice(itertools.cycle(WAYS), count))
    for kind in progress.track(kinds, description="falsifying"):
        for data in chance.sample(honest, len(honest)):
            with contextlib.suppress(Unfit):
                forged = tamper(chance, kind, data, others)
                break
        else:
            raise SystemExit(f"None of the exports is fit for: {kind}")
        yield kind, gzip.compress(forged) if chance.random() < 0.25 else forged


def written(folder: Path, contents: Sequence[bytes]) -> list[Path]:
    """A file for each."""
    folder.mkdir()
    files = [folder / f"{number:06d}" for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    return files


def show(title: str, columns: tuple[str, str], sorts: Sequence[str], counted: Sequence[bool]) -> None:
    """A line for each sort: how many there were, and how many of them count."""
    table = Table(title=title)
    for name, justify in (("", "left"), (columns[0], "right"), (columns[1], "right")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    every, counts = Counter(sorts), Counter(sort for sort, it in zip(sorts, counted, strict=True) if it)
    for sort in dict.fromkeys(sorts):
        table.add_row(sort, f"{every[sort]:,}", f"{counts[sort]:,}")
    table.add_section()
    table.add_row("all", f"{len(sorts):,}", f"{sum(counts.values()):,}")
    console.print(table)


async def measure(stack: Stack, folder: Path, count: int, seed: int) -> bool:
    """Live, download, falsify, verify; True where every judgement is right."""
    chance = random.Random(seed)
    bars = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        lives = Lives(session, stack.addresses.http, chance)
        with Progress(*bars, console=console, transient=True) as progress:
            base, sorts, honest = [], [], []
            for half in range(2):
                for _ in progress.track(range(LEASES // 2), description="leases live"):
                    await lives.begin()
                for lease in lives.leases:
                    await lives.go_on(lease)
                ledger = Ledger(session, stack.addresses.http("ledger"), lives.leases)
                await ledger.settled()
                downloads = range(count * half // 2, count * (half + 1) // 2)
                for number in progress.track(downloads, description="downloading exports"):
                    sort, body = await ledger.download(number)
                    sorts.append(sort)
                    honest.append(body)
                    base.append(gzip.decompress(body) if sort.endswith("gzip") else body)
            key = folder / "key"
            key.write_text(await ledger.key())
            some = chance.sample(base, min(len(base), BASES))
            forged = list(falsified(chance, count, some, progress))
            files = (
                written(folder / "honest", honest),
                written(folder / "forged", [each for _, each in forged]),
            )
            said = [
                await judged(files[0], key, progress, "verifying honest exports"),
                await judged(files[1], key, progress, "verifying falsified exports"),
            ]
    alarms = [not each["ok"] for each in said[0]]
    detected = [not each["ok"] for each in said[1]]
    show("Honest exports", ("exports", "false alarms"), sorts, alarms)
    show("Falsified exports", ("tamperings", "detected"), [kind for kind, _ in forged], detected)
    wrong = [file for file, it in zip(files[0], alarms, strict=True) if it]
    wrong += [file for file, it in zip(files[1], detected, strict=True) if not it]
    for good, words in (
        (sum(detected) == count, f"{sum(detected):,} of {count:,} tamperings detected"),
        (not any(alarms), f"{sum(alarms):,} false alarms among {count:,} honest exports"),
    ):
        console.print(f"{'[green]✓[/]' if good else '[red]✗[/]'} {words}")
    for file in wrong[:20]:
        console.print(f"judged wrongly: {file}")
    return not wrong


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.checks.tamper", description=__doc__)
    default = int(os.environ.get("TAMPERINGS") or 1_000)
    parser.add_argument("--tamperings", type=int, default=default, help="default: TAMPERINGS, else 1,000")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    console.print(f"seed {given.seed}")
    parent = Path(tempfile.mkdtemp(prefix="lease-tamper-"))
    parent.chmod(0o711)  # the servers' own account has to get in
    (parent / "exports").mkdir()
    stack = Stack(Settings(run_dir=parent / "run", ports=Ports.free(), tunables=TUNABLES))
    right = False
    try:
        with console.status("starting a private system …"):
            stack.up()
        right = uvloop.run(measure(stack, parent / "exports", given.tamperings, given.seed))
    except (StackError, OSError, aiohttp.ClientError) as error:
        sys.exit(f"The measurement was cut short: {error}")
    finally:
        stack.clean()
        if right:
            shutil.rmtree(parent)
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
