"""The benchmarks as pytest sees them: one test for each operation, which fails on a broken threshold."""

import cProfile
import pstats
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from io import StringIO
from typing import Any

import pytest

from deployment.local.console import Terminal
from deployment.local.temporary import temporary_stack
from deployment.roles import SERVICES
from perf import thresholds
from perf.bench import baseline, benchmark_report, operations
from perf.bench.baseline import Measured
from perf.bench.fixtures import Workbench
from perf.bench.operations import Operation

PROFILE_LINES = 20


class Bench:
    """Measures an operation and holds it to what it may take."""

    def __init__(self, fixture: Any, config: pytest.Config) -> None:
        self._fixture = fixture
        self._profile = cProfile.Profile() if config.getoption("profile") else None
        self._run = benchmark_report.run_of(config)

    def __call__(self, operation: Operation) -> None:
        """Fails the test where the mean is above its threshold, or the median a regression."""
        bare_s: list[float] = []

        def prepare() -> tuple[tuple[object], dict[str, object]]:
            started = time.perf_counter()
            operation.bare()
            bare_s.append(time.perf_counter() - started)
            return (operation.prepare(),), {}

        perform = operation.perform
        if self._profile is not None:
            profile, timed = self._profile, operation.perform

            def perform(given: object) -> object:
                return profile.runcall(timed, given)

        warm_up = max(1, operation.rounds // 10)
        self._fixture.pedantic(perform, setup=prepare, rounds=operation.rounds, warmup_rounds=warm_up)
        operation.check()
        seconds = self._fixture.stats.stats.data
        now = baseline.measured(operation.name, operation.what, seconds, bare_s[warm_up:])
        if self._profile is not None:
            text = StringIO()
            pstats.Stats(self._profile, stream=text).sort_stats("tottime").print_stats(PROFILE_LINES)
            self._run.profiles[operation.name] = text.getvalue()
            return  # its figures would be the profiler's
        self._run.results.append(now)
        if problems := self._problems(now):
            self._run.problems += problems
            pytest.fail("; ".join(problems), pytrace=False)

    def _problems(self, now: Measured) -> list[str]:
        bounds, problems = thresholds.load().bench, []
        mean_ms, most = now.latencies.mean_ms, bounds.mean_ms[now.name]
        if mean_ms > most:
            problems.append(f"{now.name}: {mean_ms:.3f} ms on average, {most:g} are allowed")
        kept = self._run.kept.get(now.name)
        if kept is not None and (times := baseline.slower(now, kept)) > bounds.regression:
            problems.append(
                f"{now.name}: a median of {now.median_ms:.3f} ms is {times:.2f} times the stored"
                f" {kept.median_ms:.3f} ms of {kept.commit}; {bounds.regression:g} are allowed"
            )
        return problems


@pytest.fixture
def bench(benchmark: Any, request: pytest.FixtureRequest) -> Bench:
    """What each test hands its operation to."""
    return Bench(benchmark, request.config)


@pytest.fixture(scope="session")
def workbench(request: pytest.FixtureRequest) -> Iterator[Workbench]:
    """Private servers with all migrations and a ledger's writer, started for the first that needs them."""
    writer = [service for service in SERVICES if service.name == "ledger-writer"]
    with ExitStack() as held:
        with _shown(request.config):
            stack = held.enter_context(
                temporary_stack(services=writer, tunables={"LOG_LEVEL": "warning"}, reporter=Terminal())
            )
        yield held.enter_context(Workbench(stack))


def _shown(config: pytest.Config) -> AbstractContextManager[None]:
    """What is told while the servers start is seen at once: it may be an installation that takes a minute."""
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    return nullcontext() if capture is None else capture.global_and_fixture_disabled()


def test_schedule(bench: Bench) -> None:
    """The schedule of a lease from its terms."""
    bench(operations.building_a_schedule())


def test_codec(bench: Bench) -> None:
    """An event to bytes and back."""
    bench(operations.coding_an_event())


def test_lease_creation(bench: Bench, workbench: Workbench) -> None:
    """A command carried out in one transaction."""
    bench(operations.creating_a_lease(workbench))


def test_lease_retrieval(bench: Bench, workbench: Workbench) -> None:
    """A lease by its id."""
    bench(operations.retrieving_a_lease(workbench))


def test_ledger_append(bench: Bench, workbench: Workbench) -> None:
    """An event from the stream into the ledger."""
    bench(operations.appending_to_the_ledger(workbench))


def test_ledger_history(bench: Bench, workbench: Workbench) -> None:
    """The trail of a lease with a hundred events."""
    bench(operations.reading_a_history(workbench))
