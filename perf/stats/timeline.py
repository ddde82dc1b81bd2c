"""What a run looks like over time, also where nobody knows how long it will be."""

from perf.stats.latencies import Latencies
from perf.stats.run import Series

WINDOWS_MAX = 120  # no plot shows more


class Window:
    """A part of a run."""

    def __init__(self) -> None:
        self.latencies = Latencies(digits=2)
        self.failures = 0
        self.users: int | None = None  # None: nobody has looked

    def take(self, later: "Window") -> None:
        """Become as long as both."""
        self.latencies.merge(later.latencies)
        self.failures += later.failures
        self.users = self.users if later.users is None else later.users


class Timeline:
    """Windows of a second; where there are too many, each two become one. Percentiles are never averaged."""

    def __init__(self) -> None:
        self._window_s = 1.0
        self._windows: list[Window] = []

    def answered(self, at_s: float, latency_s: float, *, failed: bool) -> None:
        """An answer has come, so many seconds after the start; with what latency."""
        window = self._at(at_s)
        window.latencies.record(latency_s)
        window.failures += failed

    def users(self, at_s: float, count: int) -> None:
        """So many users there are."""
        self._at(at_s).users = count

    def _at(self, at_s: float) -> Window:
        while at_s >= WINDOWS_MAX * self._window_s:
            self._halve()
        number = int(at_s / self._window_s)
        self._windows += [Window() for _ in range(number + 1 - len(self._windows))]
        return self._windows[number]

    def _halve(self) -> None:
        for first, second in zip(self._windows[::2], self._windows[1::2], strict=False):
            first.take(second)
        del self._windows[1::2]
        self._window_s *= 2

    def series(self, ended_s: float) -> list[Series]:
        """To be plotted. A window that the end cuts short is left out; one without answers has no latency."""
        whole = [
            ((number + 0.5) * self._window_s, each)
            for number, each in enumerate(self._windows)
            if (number + 1) * self._window_s <= ended_s
        ]
        if not any(each.latencies.count for _, each in whole):
            return []  # a master, whose workers ask
        answers = [(at, each.latencies.count / self._window_s) for at, each in whole]
        failed = [(at, each.failures / self._window_s) for at, each in whole]
        users = [(at, float(each.users)) for at, each in whole if each.users is not None]
        percentiles = {
            f"p{percent}": [
                (at, each.latencies.percentile_ms(percent)) for at, each in whole if each.latencies.count
            ]
            for percent in (50, 95)
        }
        return [
            Series(group="Throughput", name="answers", unit="a second", points=answers),
            Series(group="Throughput", name="of them failed", unit="a second", points=failed),
            Series(group="Users", name="users", unit="at once", points=users),
            *(
                Series(group="Latency over time", name=name, unit="ms", points=points)
                for name, points in percentiles.items()
            ),
        ]
