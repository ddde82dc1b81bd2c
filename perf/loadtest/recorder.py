"""What a run of Locust in this process leaves to look at, beside Locust's own statistics."""

import time
from collections import defaultdict
from typing import Any, NoReturn

from locust.env import Environment
from locust.runners import Runner

from perf.loadtest.echo_probe import Bare
from perf.loadtest.report import Asked
from perf.loadtest.user import SET_UP
from perf.stats.latencies import Latencies
from perf.stats.timeline import Timeline

LOOK_EVERY_S = 1.0


class Recorder:
    """Latencies by kind of request, the run over time, and the bare reference beside it.

    What is by kind covers the same time as Locust's statistics: it begins anew when they do. What is over
    time covers the whole run.
    """

    def __init__(self, environment: Environment) -> None:
        self.latencies: dict[Asked, Latencies] = defaultdict(Latencies)
        self.timeline = Timeline()
        self.seconds = 0.0  # until the users were told to stop
        self._environment = environment
        self._began = time.monotonic()
        self._bare: Bare | None = None
        environment.events.request.add_listener(self._answered)
        environment.events.test_start.add_listener(self._start)
        environment.events.spawning_complete.add_listener(self._all_there)
        environment.events.test_stopping.add_listener(self._stop)

    @property
    def bare(self) -> Latencies:
        """Of the bare reference; none where it did not come up."""
        return self._bare.latencies if self._bare is not None else Latencies()

    def end(self) -> None:
        """The users are gone."""
        if self._bare is not None:
            self._bare.end()

    def _start(self, **_: Any) -> None:
        runner = self._environment.runner
        assert runner is not None
        self._began = time.monotonic()
        self._bare = Bare(runner)  # only now: from here on a signal ends Locust in good order
        runner.greenlet.spawn(self._look, runner)

    def _stop(self, **_: Any) -> None:
        self.seconds = time.monotonic() - self._began

    def _look(self, runner: Runner) -> NoReturn:
        while True:
            self.timeline.users(time.monotonic() - self._began, runner.user_count)
            time.sleep(LOOK_EVERY_S)

    def _all_there(self, **_: Any) -> None:
        if self._environment.reset_stats:
            self.latencies.clear()
            if self._bare is not None:
                self._bare.latencies = Latencies()

    def _answered(
        self,
        request_type: str,
        name: str,
        response_time: float,
        exception: Exception | None,
        context: dict[str, str],
        **_: Any,
    ) -> None:
        latency_s = response_time / 1000
        self.timeline.answered(time.monotonic() - self._began, latency_s, failed=exception is not None)
        if not name.endswith(SET_UP):
            self.latencies[Asked(context["service"], f"{request_type} {name}")].record(latency_s)
