"""An open-model HTTP/1.1 load generator: requests start when a schedule says, not when the last was answered.

Latency counts from the intended start. A server that stalls is met by everybody who would have come
meanwhile, as in life; a closed loop politely waits and hardly notices (G. Tene's "coordinated omission").
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import numpy as np

from perf.load.http_generator import Answers
from perf.stats.latencies import Latencies

CONNECTIONS = 400
PATIENCE_S = 5.0  # a request that has not been sent by then is dropped
ANSWER_S = 30.0  # after the last intended start; what has no answer by then is unanswered
WINDOWS = 60  # at most, of a run, for what changes over time; none is shorter than a second
LAG_P99_MAX_MS = 50.0  # above it, the figures are the generator's own


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Intended starts in seconds from 0: independent arrivals, `rate` a second on average."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, size=int(rate * seconds * 1.5) + 100)
    starts = np.cumsum(gaps)
    return [float(start) for start in starts[starts < seconds]]


@dataclass
class Request:
    """One request on its way; stamps of CLOCK_MONOTONIC, ns."""

    number: int  # in the schedule
    intended: int
    sent: int = 0
    answered: int = 0
    status: int = 0  # 0: no answer


MakeRequest = Callable[[int], bytes]  # by its number in the schedule
OnAnswer = Callable[[Request, bytes], None]


@dataclass
class Result:
    """What one run has measured."""

    intended: int  # requests of the schedule
    seconds: float  # of the schedule
    began: int  # stamp of its start
    latencies: Latencies = field(default_factory=Latencies)  # from the intended start
    service: Latencies = field(default_factory=Latencies)  # from the moment it was sent
    lag: Latencies = field(default_factory=Latencies)  # the generator's own, with a connection free
    statuses: Counter[int] = field(default_factory=Counter)
    windows: list[Latencies] = field(default_factory=list)  # parts of the schedule, by intended start
    dropped: int = 0  # never sent: no connection was free in time
    unanswered: int = 0  # sent, and no answer in time, or the connection was cut

    @property
    def window_s(self) -> float:
        """The length of a window."""
        return self.seconds / len(self.windows)

    @property
    def per_second(self) -> float:
        """Answers per second of the schedule."""
        return sum(self.statuses.values()) / self.seconds

    @property
    def void(self) -> str | None:
        """Why the figures say nothing about the server; None where they do."""
        lag_ms = self.lag.percentile_ms(99)
        if lag_ms > LAG_P99_MAX_MS:
            return f"the generator itself was late: its lag had a p99 of {lag_ms:.0f} ms"
        return None


class _Connection(asyncio.Protocol):
    def __init__(self, run: "_Run") -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._answers = Answers()
        self._request: Request | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self._run.free(self)

    def send(self, request: Request, content: bytes) -> None:
        assert self._transport is not None
        self._request = request
        request.sent = time.monotonic_ns()
        self._transport.write(content)

    def data_received(self, data: bytes) -> None:
        for status, body in self._answers.feed(data):
            request, self._request = self._request, None
            if request is not None:
                request.answered, request.status = time.monotonic_ns(), status
                self._run.answered(request, body)
            self._run.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.lost(self, self._request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _Run:
    def __init__(
        self, starts: Sequence[float], make_request: MakeRequest, on_answer: OnAnswer | None
    ) -> None:
        seconds = max(starts, default=0.0) or 1.0
        self.result = Result(
            intended=len(starts),
            seconds=seconds,
            began=time.monotonic_ns(),
            windows=[Latencies(digits=2) for _ in range(min(WINDOWS, max(1, int(seconds))))],
        )
        self._make_request = make_request
        self._on_answer = on_answer
        self._free: deque[_Connection] = deque()
        self._waiting: deque[Request] = deque()
        self.left = len(starts)
        self.done = asyncio.Event()
        self._over = False

    def due(self, request: Request) -> None:
        """Its time has come."""
        self.result.lag.record((time.monotonic_ns() - request.intended) / 1e9)
        if self._free:
            self._send(self._free.popleft(), request)
        else:
            self._waiting.append(request)

    def free(self, connection: _Connection) -> None:
        """A connection can take a request."""
        oldest = time.monotonic_ns() - PATIENCE_S * 1e9
        while self._waiting and self._waiting[0].intended < oldest:
            self._waiting.popleft()
            self.result.dropped += 1
            self._settled()
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    def lost(self, connection: _Connection, request: Request | None) -> None:
        """A connection was cut."""
        if connection in self._free:
            self._free.remove(connection)
        if request is not None and not self._over:
            self.result.unanswered += 1
            self._settled()

    def answered(self, request: Request, body: bytes) -> None:
        self.result.statuses[request.status] += 1
        latency_s = (request.answered - request.intended) / 1e9
        self.result.latencies.record(latency_s)
        at_s = (request.intended - self.result.began) / 1e9
        self.result.windows[min(int(at_s / self.result.window_s), len(self.result.windows) - 1)].record(
            latency_s
        )
        self.result.service.record((request.answered - request.sent) / 1e9)
        if self._on_answer is not None:
            self._on_answer(request, body)
        self._settled()

    def give_up(self) -> None:
        """Nobody waits any longer."""
        self._over = True
        self.result.dropped += len(self._waiting)
        self.result.unanswered += self.left - len(self._waiting)

    def _send(self, connection: _Connection, request: Request) -> None:
        connection.send(request, self._make_request(request.number))

    def _settled(self) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


async def run(
    url: str,
    make_request: MakeRequest,
    starts: Sequence[float],
    *,
    connections: int = CONNECTIONS,
    on_answer: OnAnswer | None = None,
) -> Result:
    """Send request n (made by `make_request(n)`) at `starts[n]`, seconds from now, in increasing order.

    All connections are opened before the first. Raises OSError where the server cannot be reached.
    """
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    running = _Run(starts, make_request, on_answer)
    opened: list[_Connection] = []
    for _ in range(connections):
        _, connection = await loop.create_connection(
            lambda: _Connection(running), str(parts.hostname), parts.port or 80
        )
        opened.append(connection)
    running.result.began = began = time.monotonic_ns()
    for number, start in enumerate(starts):
        intended = began + int(start * 1e9)
        # Timers have a resolution of 1 ms: what is due within it goes at once.
        if (early_s := (intended - time.monotonic_ns()) / 1e9) > 0.001:
            await asyncio.sleep(early_s)
        elif number % 64 == 0:
            await asyncio.sleep(0)
        # What goes a little early has meant to: else an answer within that time would have taken none.
        running.due(Request(number, min(intended, time.monotonic_ns())))
    if running.left:
        try:
            async with asyncio.timeout(ANSWER_S):
                await running.done.wait()
        except TimeoutError:
            running.give_up()
    for connection in opened:
        connection.close()
    return running.result
