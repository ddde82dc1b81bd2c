"""The open model: arrivals, latency from the intended start, and what it sees that a closed loop does not."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest

from perf.load import http_generator
from perf.load.http_generator import closed_loop, open_loop, poisson
from perf.load.http_messages import get

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STALL_S = 0.5


def test_arrivals_are_poisson() -> None:
    """Seeded and repeatable; gaps are exponential, and numbers per second are as scattered as their mean."""
    rate, seconds = 200.0, 100.0
    starts = np.array(poisson(rate, seconds, 7))
    assert poisson(rate, seconds, 7) == list(starts)
    assert poisson(rate, seconds, 8) != list(starts)
    assert (np.diff(starts) >= 0).all()
    assert starts[-1] < seconds
    assert len(starts) == pytest.approx(rate * seconds, rel=0.03)
    # Kolmogorov–Smirnov: the largest distance to the exponential distribution, 1 % level 1.63/sqrt(n)
    gaps = np.sort(np.diff(starts))
    expected = 1 - np.exp(-rate * gaps)
    distance = np.abs(expected - np.arange(1, len(gaps) + 1) / len(gaps)).max()
    assert distance < 1.63 / np.sqrt(len(gaps))
    counts = np.histogram(starts, bins=int(seconds), range=(0, seconds))[0]
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.5)


@asynccontextmanager
async def _server(pause_s: Callable[[int], float]) -> AsyncIterator[str]:
    """Answers one request after the other, whoever asks; request n takes `pause_s(n)`."""
    turn = asyncio.Lock()
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                async with turn:
                    count += 1
                    await asyncio.sleep(pause_s(count))
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


async def test_a_stall_is_seen() -> None:
    """A server that stands still once: a closed loop's p99 hides it, the open model's shows it."""

    def once(number: int) -> float:
        return STALL_S if number == 300 else 0.0

    async with _server(once) as url:
        request = get(url)
        closed = await closed_loop(url, lambda _: request, seconds=10, connections=1, requests=600)
    async with _server(once) as url:
        starts = poisson(300, 2.0, 1)
        opened = await open_loop(url, lambda _: get(url), starts, connections=20)
    assert closed.latencies.percentile_ms(99) < STALL_S * 1000 / 4
    assert opened.latencies.percentile_ms(99) > STALL_S * 1000 / 2
    # who came amid the stall waited for the rest of it: far more than the one request that caused it
    assert opened.latencies.percentile_ms(90) > opened.service.percentile_ms(50)
    assert opened.statuses == {200: len(starts)}
    assert opened.unanswered == opened.dropped == 0
    # what was sent a little early is not the faster for it
    assert opened.latencies.min_ms >= opened.service.min_ms
    # over time: all of them, in parts that are not so short as to show the arrivals' chance
    assert sum(window.count for window in opened.windows) == len(starts)
    assert opened.window_s >= 1


async def test_what_cannot_be_sent_in_time_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server slower than the arrivals: nobody waits for ever, and all requests are accounted for."""
    monkeypatch.setattr(http_generator, "PATIENCE_S", 0.1)
    async with _server(lambda _: 0.02) as url:
        starts = poisson(200, 1.0, 1)
        result = await open_loop(url, lambda _: get(url), starts, connections=1)
    assert result.dropped > 0
    assert sum(result.statuses.values()) + result.dropped + result.unanswered == result.intended
    assert result.latencies.max_ms > 100
    assert result.void is None


async def test_unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never answers, or hangs up: unanswered, not fast."""
    monkeypatch.setattr(http_generator, "ANSWER_S", 0.2)
    async with _server(lambda _: 60.0) as url:
        result = await open_loop(url, lambda _: get(url), [0.0, 0.01, 0.02], connections=3)
        await asyncio.sleep(0.01)  # until the connections that it has closed are lost
    assert (result.unanswered, result.latencies.count) == (3, 0)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        result = await open_loop(url, lambda _: get(url), [0.0, 0.01], connections=2)
    finally:
        server.close()
    assert (result.unanswered, result.latencies.count) == (2, 0)


async def test_a_late_generator_voids_its_run() -> None:
    """Where the generator itself could not keep the schedule, the run says so."""
    async with _server(lambda _: 0.0) as url:

        def block(_: int) -> bytes:
            time.sleep(0.02)  # what a machine without a free core does to it
            return get(url)

        result = await open_loop(url, block, poisson(100, 1.0, 1), connections=50)
    assert result.void is not None
    assert "lag" in result.void
