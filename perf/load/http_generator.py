"""The HTTP/1.1 load generator, with two ways to decide when a request is sent.

- `closed_loop`: a bounded window. Each connection sends its next request when the answer is there.
- `open_loop`: a schedule. Requests start when it says, not when the last was answered, and latency counts
  from the intended start. A server that stalls is met by everybody who would have come meanwhile, as in life;
  a closed loop politely waits and hardly notices (G. Tene's "coordinated omission").
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast
from urllib.parse import urlsplit

import numpy as np

from perf.load.http_messages import Answers
from perf.load.result import Request, Result
from perf.stats.latencies import Latencies

CONNECTIONS = 400  # of the open loop
PATIENCE_S = 5.0  # a request that has not been sent by then is dropped
ANSWER_S = 30.0  # after the last intended start; what has no answer by then is unanswered
WINDOWS = 60  # at most, of a run, for what changes over time; none is shorter than a second


MakeRequest = Callable[[int], bytes]  # by its number
OnAnswer = Callable[[Request, bytes], None]


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Intended starts in seconds from 0: independent arrivals, `rate` a second on average."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, size=int(rate * seconds * 1.5) + 100)
    starts = np.cumsum(gaps)
    return [float(start) for start in starts[starts < seconds]]


class _Connection(asyncio.Protocol):
    """Has one request under way at most."""

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
    """What both ways have in common; connections tell it what happens to them."""

    def __init__(self, result: Result, make_request: MakeRequest, on_answer: OnAnswer | None) -> None:
        self.result = result
        self.done = asyncio.Event()
        self._make_request = make_request
        self._on_answer = on_answer

    async def connect(self, url: str, connections: int) -> list[_Connection]:
        """Open them. Raises OSError where the server cannot be reached."""
        parts, loop = urlsplit(url), asyncio.get_running_loop()
        host, port = str(parts.hostname), parts.port or 80
        pairs = [
            await loop.create_connection(lambda: _Connection(self), host, port) for _ in range(connections)
        ]
        return [connection for _, connection in pairs]

    def free(self, connection: _Connection) -> None:
        """A connection can take a request."""
        raise NotImplementedError

    def lost(self, connection: _Connection, request: Request | None) -> None:
        """A connection was cut or closed; `request` was under way."""
        raise NotImplementedError

    def answered(self, request: Request, body: bytes) -> None:
        """A request has its answer."""
        self.result.statuses[request.status] += 1
        if self._on_answer is not None:
            self._on_answer(request, body)


class _Closed(_Run):
    def __init__(
        self,
        make_request: MakeRequest,
        on_answer: OnAnswer | None,
        seconds: float,
        connections: int,
        requests: float,
    ) -> None:
        began = time.monotonic_ns()
        super().__init__(Result(intended=0, seconds=0.0, began=began), make_request, on_answer)
        self._ends_at = began + int(seconds * 1e9)
        self._open = connections
        self._most = requests
        self.latencies_ns: list[int] = []  # a histogram takes its time, which is the server's as well

    def free(self, connection: _Connection) -> None:
        if self.result.intended >= self._most or time.monotonic_ns() >= self._ends_at:
            connection.close()
            return
        request = Request(self.result.intended, 0)
        self.result.intended += 1
        connection.send(request, self._make_request(request.number))
        request.intended = request.sent

    def lost(self, connection: _Connection, request: Request | None) -> None:
        self.result.unanswered += request is not None
        self._open -= 1
        if not self._open:
            self.done.set()

    def answered(self, request: Request, body: bytes) -> None:
        self.latencies_ns.append(request.answered - request.sent)
        super().answered(request, body)


class _Open(_Run):
    def __init__(
        self, starts: Sequence[float], make_request: MakeRequest, on_answer: OnAnswer | None
    ) -> None:
        seconds = max(starts, default=0.0) or 1.0
        windows = [Latencies(digits=2) for _ in range(min(WINDOWS, max(1, int(seconds))))]
        result = Result(intended=len(starts), seconds=seconds, began=time.monotonic_ns(), windows=windows)
        super().__init__(result, make_request, on_answer)
        self._free: deque[_Connection] = deque()
        self._waiting: deque[Request] = deque()
        self.left = len(starts)
        self._over = False

    def due(self, request: Request) -> None:
        """Its time has come."""
        self.result.lag.record((time.monotonic_ns() - request.intended) / 1e9)
        if self._free:
            self._send(self._free.popleft(), request)
        else:
            self._waiting.append(request)

    def free(self, connection: _Connection) -> None:
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
        if connection in self._free:
            self._free.remove(connection)
        if request is not None and not self._over:
            self.result.unanswered += 1
            self._settled()

    def answered(self, request: Request, body: bytes) -> None:
        result, latency_s = self.result, (request.answered - request.intended) / 1e9
        result.latencies.record(latency_s)
        window = int((request.intended - result.began) / 1e9 / result.window_s)
        result.windows[min(window, len(result.windows) - 1)].record(latency_s)
        result.service.record((request.answered - request.sent) / 1e9)
        super().answered(request, body)
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


async def closed_loop(
    url: str,
    make_request: MakeRequest,
    *,
    seconds: float,
    connections: int,
    requests: float = math.inf,
    on_answer: OnAnswer | None = None,
) -> Result:
    """Load the server of `url` for `seconds`, or with `requests`; what was begun by then is still awaited.

    Raises OSError where it cannot be reached.
    """
    running = _Closed(make_request, on_answer, seconds, connections, requests)
    await running.connect(url, connections)
    await running.done.wait()
    result = running.result
    result.seconds = (time.monotonic_ns() - result.began) / 1e9
    result.latencies = Latencies(each / 1e9 for each in running.latencies_ns)
    return result


async def open_loop(
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
    running = _Open(starts, make_request, on_answer)
    opened = await running.connect(url, connections)
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
