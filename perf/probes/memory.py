"""Memory of a system's Python processes. PostgreSQL and RabbitMQ are not counted: theirs is configuration."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

import psutil


def family(pid: int) -> list[psutil.Process]:
    """A process of a stack, its manager, and everything that the manager started."""
    process = psutil.Process(pid)
    manager = process.parent()
    return [manager, *manager.children(recursive=True)] if manager is not None else [process]


def of_front(url: str) -> list[psutil.Process]:
    """The family of the process that listens at a URL on this machine. Raises LookupError."""
    port = urlsplit(url).port
    for each in psutil.net_connections("tcp"):
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
            return family(each.pid)
    raise LookupError(f"nothing that can be seen listens on port {port}")


def rss_mb(processes: Iterable[psutil.Process]) -> float:
    """Resident memory in MB (10⁶ bytes): what several of them share counts in each."""
    return _sum_mb(processes, lambda each: each.memory_info().rss)


def together_mb(processes: Iterable[psutil.Process]) -> float:
    """What they take together, in MB: what they share counts once (PSS); but for Linux as `rss_mb`."""

    def share(each: psutil.Process) -> int:
        return int(getattr(each.memory_full_info(), "pss", 0) or each.memory_info().rss)

    return _sum_mb(processes, share)


class Peak:
    """The most that these processes were seen to take together."""

    def __init__(self, processes: Iterable[psutil.Process]) -> None:
        self._processes = list(processes)
        self.mb = 0.0

    async def look(self) -> None:
        """Look once; reading it takes some milliseconds, during which other work goes on."""
        self.mb = max(self.mb, await asyncio.to_thread(together_mb, self._processes))

    async def watch(self, every_s: float = 0.5) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(every_s)


def _sum_mb(processes: Iterable[psutil.Process], size: Callable[[psutil.Process], int]) -> float:
    total = 0
    for each in processes:
        with contextlib.suppress(psutil.Error):  # ended meanwhile
            if "python" in " ".join(each.cmdline()):
                total += size(each)
    return total / 1e6
