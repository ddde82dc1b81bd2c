"""How far it is, on standard error: a bar on a terminal, elsewhere a line every few seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_EVERY_S = 5.0

Advance = Callable[[int], None]


def say(words: str) -> None:
    """A sentence for whoever looks on."""
    print(words, file=sys.stderr, flush=True)


@contextmanager
def progress(title: str, total: int | None, unit: str) -> Iterator[Advance]:
    """Gives a function to be called with how many have been done since it was called last."""
    if sys.stderr.isatty():
        with _bar(title, total, unit) as advance:
            yield advance
        return
    done = 0
    started = told = time.monotonic()

    def count(more: int) -> None:
        nonlocal done, told
        done += more
        now = time.monotonic()
        if now - told >= LINE_EVERY_S:
            told = now
            say(f"{title}: {done} of {total or '?'} {unit}, {done / (now - started):.0f}/s")

    yield count


@contextmanager
def _bar(title: str, total: int | None, unit: str) -> Iterator[Advance]:
    from rich.console import Console  # where nobody looks on, it is not needed
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda more: bar.advance(task, more)
