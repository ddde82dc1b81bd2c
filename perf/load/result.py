"""One request, and what many of them have come to."""

from collections import Counter
from dataclasses import dataclass, field

from perf.stats.latencies import Latencies

LAG_P99_MAX_MS = 50.0  # above it, the figures are the generator's own


@dataclass(slots=True)
class Request:
    """One request on its way; stamps of CLOCK_MONOTONIC, ns."""

    number: int  # from 0, in the order of sending or of the schedule
    intended: int  # closed loop: as `sent`
    sent: int = 0
    answered: int = 0
    status: int = 0  # 0: no answer


@dataclass
class Result:
    """What one run has measured."""

    intended: int  # requests of the schedule; closed loop: sent
    seconds: float  # of the schedule; closed loop: until the last answer
    began: int  # stamp of its start
    latencies: Latencies = field(default_factory=Latencies)  # from the intended start
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0  # sent, and no answer in time, or the connection was cut
    # of the open loop alone
    dropped: int = 0  # never sent: no connection was free in time
    service: Latencies = field(default_factory=Latencies)  # from the moment it was sent
    lag: Latencies = field(default_factory=Latencies)  # the generator's own, with a connection free
    windows: list[Latencies] = field(default_factory=list)  # parts of the schedule, by intended start

    def rate_of(self, status: int) -> float:
        """Answers with that status a second."""
        return self.statuses[status] / self.seconds if self.seconds else 0.0

    @property
    def window_s(self) -> float:
        """The length of a window."""
        return self.seconds / len(self.windows)

    @property
    def void(self) -> str | None:
        """Why the figures say nothing about the server; None where they do."""
        lag_ms = self.lag.percentile_ms(99)
        if lag_ms > LAG_P99_MAX_MS:
            return f"the generator itself was late: its lag had a p99 of {lag_ms:.0f} ms"
        return None
