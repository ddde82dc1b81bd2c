"""The load generator against a server that counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from perf.load.http_generator import closed_loop
from perf.load.http_messages import Answers, post


@asynccontextmanager
async def counting_server(delay_s: float) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that answers POSTs with 201 after `delay_s` and notes the length of each body."""
    lengths: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        lengths.append(len(await request.read()))
        await asyncio.sleep(delay_s)
        return web.json_response({"number": len(lengths)}, status=201)

    app = web.Application()
    app.router.add_post("/things", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}/things", lengths
    finally:
        await runner.cleanup()


async def test_every_request_is_counted_once() -> None:
    """What the generator says it got answered is what the server says it answered, body for body."""
    bodies: list[bytes] = []
    async with counting_server(0.0) as (url, lengths):
        result = await closed_loop(
            url,
            lambda _: post(url, b"x" * 17),
            seconds=0.5,
            connections=5,
            on_answer=lambda _, body: bodies.append(body),
        )
    assert result.statuses[201] == len(lengths) == len(bodies) == result.latencies.count > 10
    assert set(lengths) == {17}
    assert result.unanswered == 0


async def test_latency_is_the_servers() -> None:
    """A server that takes 50 ms shows as 50 ms, and the rate is what that allows."""
    async with counting_server(0.05) as (url, _):
        result = await closed_loop(url, lambda _: post(url, b"{}"), seconds=1.0, connections=4)
    assert 50 <= result.latencies.percentile_ms(50) < 100
    assert 0 < sum(map(result.rate_of, result.statuses)) <= 4 / 0.05
    assert result.rate_of(503) == 0


def test_answers_in_any_pieces() -> None:
    """With a length, in chunks, without a body; whole, or byte by byte."""
    stream = (
        b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab\r\nc\r\n1;x=y\r\nd\r\n0\r\n\r\n"
        b"HTTP/1.1 204 No Content\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    )
    expected = [(201, b"hello"), (200, b"5\r\nab\r\nc\r\n1;x=y\r\nd\r\n0\r\n\r\n"), (204, b""), (200, b"")]
    for size in (1, 2, 7, len(stream)):
        answers = Answers()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [answer for piece in pieces for answer in answers.feed(piece)] == expected
