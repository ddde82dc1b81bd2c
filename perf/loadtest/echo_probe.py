"""The bare reference beside a run of Locust: what an aiohttp server that does nothing answers meanwhile."""

import atexit
import socket
import subprocess
import sys
import time
from typing import Any, NoReturn

from locust.contrib.fasthttp import FastHttpSession
from locust.event import EventHook
from locust.runners import Runner

from perf.stats.latencies import Latencies

EVERY_S = 0.25
TIMEOUT_S = 5.0


class Bare:
    """`perf.targets.echo_baseline` in a process of its own, asked as the users ask, and not in Locust's
    statistics."""

    def __init__(self, runner: Runner) -> None:
        self.latencies = Latencies()
        self._runner = runner
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "perf.targets.echo_baseline", str(port)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        atexit.register(self.end)  # also where Locust does not come to its end
        runner.greenlet.spawn(self._ask, f"http://127.0.0.1:{port}")  # until the runner quits

    def _ask(self, url: str) -> NoReturn:
        answers = EventHook()
        answers.add_listener(self._answered)
        session = FastHttpSession(
            url, answers, None, network_timeout=TIMEOUT_S, connection_timeout=TIMEOUT_S, max_retries=0
        )
        while True:
            time.sleep(EVERY_S)
            if self._runner.user_count:  # as long as the load is on
                session.get("/")

    def _answered(self, response_time: float, exception: Exception | None, **_: Any) -> None:
        if exception is None:  # until it is up, connections are refused
            self.latencies.record(response_time / 1000)

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
