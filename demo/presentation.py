"""How the demonstration is shown: chapters, requests, checks and a clock while something is waited for."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from common.kernel.money import MINOR_UNIT_DIGITS

_TICK_S = 0.1
_COLOURS = {2: "green", 4: "yellow", 5: "red"}


def money(amount: int, currency: str) -> str:
    """Minor units as people write them: 123456 USD → "1,234.56 USD"."""
    digits = MINOR_UNIT_DIGITS[currency]
    return f"{amount / 10**digits:,.{digits}f} {currency}"


class Stage:
    """What the viewer sees, and the count of what held and what did not."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.started = time.monotonic()
        self.held = 0
        self.failed: list[str] = []
        self._chapter = 0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.started

    def chapter(self, title: str) -> None:
        """The next part of the story."""
        self._chapter += 1
        self.console.print()
        self.console.rule(f"[bold]{self._chapter}. {escape(title)}", align="left", style="cyan")

    def say(self, text: str) -> None:
        """A sentence; takes rich's markup."""
        self.console.print(Padding(text, (0, 2), expand=False))

    def request(self, service: str, method: str, path: str, status: int, seconds: float) -> None:
        """One exchange over HTTP."""
        colour = _COLOURS.get(status // 100, "white")
        words = f"[dim]{service:>7}[/] {method:<4} {escape(path)} → [{colour}]{status}[/]"
        self.console.print(f"  {words} [dim]{seconds * 1000:.0f} ms[/]", soft_wrap=True)

    def check(self, text: str, holds: bool, found: object = None) -> None:
        """Something that has to be true; `found` is shown where it is not."""
        if holds:
            self.held += 1
            self.say(f"[green]✓[/] {escape(text)}")
            return
        self.failed.append(text)
        self.say(
            f"[bold red]✗ {escape(text)}[/]" + ("" if found is None else f" [red]({escape(str(found))})[/]")
        )

    def equal(self, text: str, found: object, expected: object) -> None:
        """Two things that have to be the same."""
        self.check(text, found == expected, f"found {found!r:.200}, expected {expected!r:.200}")

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        right: Sequence[int] = (),
        title: str | None = None,
    ) -> None:
        """Rows under a head; `right` are the columns of numbers."""
        table = Table(title=title, title_justify="left", title_style="italic", header_style="bold")
        for index, name in enumerate(columns):
            table.add_column(name, justify="right" if index in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(escape(str(cell)) for cell in row))
        self.console.print(Padding(table, (0, 2), expand=False))

    @asynccontextmanager
    async def waiting(self, what: str) -> AsyncIterator[Callable[[str], None]]:
        """A clock while the block runs; gives a function that says anew what is being waited for."""
        started = time.monotonic()
        now: dict[str, Any] = {"what": what}

        def tell(text: str) -> None:
            now["what"] = text

        with self.console.status("") as status:

            async def tick() -> None:
                while True:
                    status.update(f"[cyan]{time.monotonic() - started:4.1f} s[/] {escape(now['what'])}")
                    await asyncio.sleep(_TICK_S)

            clock = asyncio.create_task(tick())
            try:
                yield tell
            finally:
                clock.cancel()
        self.say(f"[dim]waited {time.monotonic() - started:.1f} s: {escape(now['what'])}[/]")
