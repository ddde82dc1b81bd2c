"""A closed-loop HTTP/1.1 load generator: each connection sends its next request when the answer is there.

It speaks to the socket directly: a client library costs more per request than the fronts that it measures.
"""

import asyncio
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from perf.stats.percentiles import percentile

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_HEADER_BYTES_MAX = 16_384

MakeRequest = Callable[[], bytes]
OnBody = Callable[[int, bytes], None]


@dataclass
class Result:
    """What one run has measured."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    broken: int = 0  # connections that ended without an answer

    def rate_of(self, status: int) -> float:
        """Answers with that status a second."""
        return self.statuses[status] / self.seconds if self.seconds else 0.0

    def percentile_ms(self, percent: float) -> float:
        """The latency that `percent` of the answers were not slower than, in ms."""
        return percentile(sorted(self.latencies_ms), percent)


class Answers:
    """Reads HTTP/1.1 answers off a connection. A body that comes in chunks is given with their marks."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The (status, body) of each answer that is whole now. Raises ValueError for a head without end."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            if (total := self._total(end)) is None or len(self._received) < total:
                return
            status, body = int(self._received[9:12]), bytes(self._received[end + 4 : total])
            del self._received[:total]
            yield status, body
        if len(self._received) > _HEADER_BYTES_MAX:
            raise ValueError("the head of an answer has no end")

    def _total(self, end: int) -> int | None:
        """The bytes of the first answer, whose head ends at `end`; None where that is not known yet."""
        if match := _LENGTH.search(self._received, 0, end + 2):
            return end + 4 + int(match[1])
        if not _CHUNKED.search(self._received, 0, end + 2):
            return end + 4
        start = end + 4
        while (line := self._received.find(b"\r\n", start)) >= 0:
            size = int(self._received[start:line].split(b";")[0], 16)
            start = line + 2 + size + 2
            if not size:
                return start
        return None


class _Connection(asyncio.Protocol):
    def __init__(self, run: "_Run") -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._answers = Answers()
        self._sent_at = 0.0
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        if self._run.over():
            self._transport.close()
            return
        self._waiting = True
        self._sent_at = time.perf_counter()
        self._transport.write(self._run.make_request())

    def data_received(self, data: bytes) -> None:
        for status, body in self._answers.feed(data):
            self._run.answered(status, (time.perf_counter() - self._sent_at) * 1000, body)
            self._waiting = False
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.closed(broken=self._waiting)


class _Run:
    def __init__(
        self,
        make_request: MakeRequest,
        on_body: OnBody | None,
        seconds: float,
        connections: int,
        requests: float,
    ) -> None:
        self.make_request = make_request
        self.result = Result()
        self.done = asyncio.Event()
        self._on_body = on_body
        self._ends_at = time.perf_counter() + seconds
        self._open = connections
        self._left = requests

    def over(self) -> bool:
        """Whether no further request is to be sent; to be asked before each."""
        self._left -= 1
        return self._left < 0 or time.perf_counter() >= self._ends_at

    def answered(self, status: int, latency_ms: float, body: bytes) -> None:
        self.result.statuses[status] += 1
        self.result.latencies_ms.append(latency_ms)
        if self._on_body is not None:
            self._on_body(status, body)

    def closed(self, *, broken: bool) -> None:
        self.result.broken += broken
        self._open -= 1
        if not self._open:
            self.done.set()


def get(url: str) -> bytes:
    """The bytes of a GET request."""
    parts = urlsplit(url)
    return f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()


def post(url: str, body: bytes, *, traceparent: str | None = None) -> bytes:
    """The bytes of a POST request with a JSON body."""
    parts = urlsplit(url)
    trace = f"traceparent: {traceparent}\r\n" if traceparent else ""
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{trace}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run(
    url: str,
    make_request: MakeRequest,
    *,
    seconds: float,
    connections: int,
    on_body: OnBody | None = None,
    requests: float = math.inf,
) -> Result:
    """Load the server of `url` for `seconds`, or with `requests`; what was begun by then is still awaited.

    Raises OSError where it cannot be reached.
    """
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    running = _Run(make_request, on_body, seconds, connections, requests)
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(running), str(parts.hostname), parts.port or 80)
    await running.done.wait()
    running.result.seconds = time.perf_counter() - started
    return running.result
