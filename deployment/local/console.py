"""What the user sees while a stack comes up: a line for each step, with a clock while it lasts."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape


class Reporter(Protocol):
    """Where progress is told."""

    def step(self, text: str) -> AbstractContextManager[None]:
        """A piece of work that may last."""
        ...

    def say(self, text: str) -> None:
        """A sentence."""
        ...


class Terminal:
    """Progress on stderr: a spinner where it is a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Print `text` with the seconds it took, once it is done."""
        started = time.monotonic()
        with self._console.status(escape(text) + " …"):
            yield
        self._console.print(f"[green]✓[/] {escape(text)} [dim]{time.monotonic() - started:.1f} s[/]")

    def say(self, text: str) -> None:
        """Print a sentence."""
        self._console.print(escape(text), soft_wrap=True)


class Silent:
    """Tells nothing; for tests."""

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Do the work."""
        yield

    def say(self, text: str) -> None:
        """Drop the sentence."""
