"""What the user sees while a stack comes up: a spinner while a step lasts, then its line with the seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


class Reporter:
    """Where progress is reported. This one shows nothing, as tests want it."""

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A piece of work that may last."""
        yield

    def say(self, text: str) -> None:
        """A sentence."""


class Terminal(Reporter):
    """Progress on stderr: a spinner where it is a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        started = time.monotonic()
        with self._console.status(escape(text) + " …"):
            yield
        self._console.print(f"[green]✓[/] {escape(text)} [dim]{time.monotonic() - started:.1f} s[/]")

    def say(self, text: str) -> None:
        self._console.print(escape(text), soft_wrap=True)
