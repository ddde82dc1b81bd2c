"""What a load run has come to, and what is wrong with it. Knows nothing of Locust."""

from collections.abc import Mapping, Sequence

import msgspec

from perf.checks.conservation import ConservationResult
from perf.thresholds import Load


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a run; times in ms."""

    name: str  # "POST /api/v1/leases", as in the thresholds
    requests: int
    failures: int  # answers that the scenario does not expect, and none at all
    min_ms: float
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    per_second: float
    set_up: bool = False  # only makes ready what the scenario needs


class LoadRun(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    endpoints: Sequence[Endpoint]
    users: Mapping[str, int]  # by class, at the end
    answers: Mapping[str, int]  # that were not expected: in words, and how often
    errors: int = 0  # exceptions in the users' own code
    bare_ms: float = 0.0  # what a server that does nothing took meanwhile, on average; 0: nobody asked one
    conservation: ConservationResult = ConservationResult()

    @property
    def requests(self) -> int:
        """All of them."""
        return sum(each.requests for each in self.endpoints)

    @property
    def success_rate(self) -> float:
        """Of 1; 0 where nothing was asked."""
        asked = self.requests
        return 1 - sum(each.failures for each in self.endpoints) / asked if asked else 0.0

    @property
    def per_second(self) -> float:
        """Requests of the scenario."""
        return sum(each.per_second for each in self.endpoints if not each.set_up)


def failures(run: LoadRun, bounds: Load) -> list[str]:
    """Why the run fails; empty where it does not."""
    found = []
    if not run.requests:
        found.append("no request was made")
    elif run.success_rate < bounds.success_rate:
        words = f"{run.success_rate:.2%} succeeded, at least {bounds.success_rate:.0%} should"
        found.append(words + (": overloaded or degraded" if run.success_rate < bounds.overloaded else ""))
    if run.errors:
        found.append(f"{run.errors} exceptions in the test's own code")
    return [*found, *run.conservation.failures]


def warnings(run: LoadRun, bounds: Load) -> list[str]:
    """What is not as expected, and the red flags; none of it fails the run."""
    found = [*run.conservation.warnings]
    for each in run.endpoints:
        expected = bounds.response_ms.get(each.name)
        if each.mean_ms > bounds.mean_ms:
            found.append(
                f"{each.name}: {each.mean_ms:,.0f} ms on average; more than {bounds.mean_ms:g} is a red flag"
            )
        elif expected is not None and each.mean_ms > expected.high:
            found.append(
                f"{each.name}: {each.mean_ms:,.0f} ms on average, {expected.high:g} were expected at most"
            )
        if each.p99_ms > bounds.p99_ms:
            found.append(
                f"{each.name}: p99 of {each.p99_ms:,.0f} ms; more than {bounds.p99_ms:g} is a red flag"
            )
    if len(run.users) == 1:
        [(name, users)] = run.users.items()
        rate = bounds.per_second.get(name)
        if rate is not None and run.per_second < (least := rate.low * users / rate.users):
            found.append(f"{run.per_second:,.1f} requests/s, {least:,.0f} were expected of {users} users")
    return found
