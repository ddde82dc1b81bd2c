"""What is refused before a handler sees it: HTTP/1.1, a problem, one line in the log and no traceback."""

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from common.web.problems import types
from common.web.protocol import MAX_TARGET_BYTES, Runner
from common.web.routes import Route, json_response
from common.web.server import MAX_BODY_BYTES, build_app, read_body
from gateway_sandbox.app import serving

PACKED = gzip.compress(b"{}")
HEAD = b"POST /api/v1/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def with_body(header: bytes, body: bytes) -> bytes:
    return HEAD + header + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def asking(target: bytes, header: bytes = b"X: y") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n"


# (what it is, what is sent in one piece each, status, kind of problem)
REFUSED: list[tuple[str, list[bytes], int, str]] = [
    ("any coding", [with_body(b"Content-Encoding: foo", b"{}")], 415, "unsupported-content-coding"),
    ("zstd", [with_body(b"Content-Encoding: zstd", b"{}")], 415, "unsupported-content-coding"),
    ("br", [with_body(b"Content-Encoding: br", b"{}")], 415, "unsupported-content-coding"),
    ("deflate", [with_body(b"Content-Encoding: deflate", b"{}")], 415, "unsupported-content-coding"),
    (
        "gzip twice",
        [with_body(b"Content-Encoding: gzip\r\nContent-Encoding: gzip", gzip.compress(PACKED))],
        415,
        "unsupported-content-coding",
    ),
    (
        "a transfer coding",
        [HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
        415,
        "unsupported-content-coding",
    ),
    ("gzip without its end", [with_body(b"Content-Encoding: gzip", PACKED[:-8])], 400, "malformed-body"),
    (
        "gzip with a wrong sum",
        [with_body(b"Content-Encoding: gzip", PACKED[:-8] + b"12345678")],
        400,
        "malformed-body",
    ),
    ("no gzip", [with_body(b"Content-Encoding: gzip", b"{}")], 400, "malformed-body"),
    (
        "a bomb",
        [with_body(b"Content-Encoding: gzip", gzip.compress(b" " * 40_000_000))],
        413,
        "content-too-large",
    ),
    ("too large", [with_body(b"X: y", b" " * 65_537)], 413, "content-too-large"),
    ("a broken chunk", [CHUNKED + b"nonsense\r\n\r\n"], 400, "malformed-http"),
    ("a broken chunk later", [CHUNKED, b"nonsense\r\n\r\n"], 400, "malformed-body"),
    ("a broken second chunk", [CHUNKED + b"2\r\n{}\r\n", b"zz\r\n\r\n"], 400, "malformed-body"),
    ("the path", [asking(b"/" + b"x" * MAX_TARGET_BYTES)], 414, "target-too-long"),
    ("the query", [asking(b"/livez?" + b"x" * 9_000)], 414, "target-too-long"),
    ("a target of 300 KB", [asking(b"/" + b"x" * 300_000)], 414, "target-too-long"),
    ("a header", [asking(b"/livez", b"X: " + b"x" * 9_000)], 431, "headers-too-large"),
    ("a header's name", [asking(b"/livez", b"x" * 9_000 + b": y")], 431, "headers-too-large"),
    ("an expectation", [asking(b"/livez", b"Expect: miracles")], 417, "expectation-failed"),
    ("no HTTP", [b"hello\r\n\r\n"], 400, "malformed-http"),
    ("TLS", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], 400, "malformed-http"),
    ("HTTP/2", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 400, "malformed-http"),
    ("HTTP/9.9", [b"GET / HTTP/9.9\r\n\r\n"], 400, "malformed-http"),
    ("HTTP/1.0", [b"GET /nothing HTTP/1.0\r\n\r\n"], 404, "not-found"),
    ("HTTP/0.9", [b"GET /nothing\r\n\r\n"], 404, "not-found"),
    ("no such method", [b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n"], 400, "malformed-http"),
    ("no host", [b"GET /livez HTTP/1.1\r\n\r\n"], 400, "malformed-http"),
    ("no colon", [asking(b"/livez", b"no colon")], 400, "malformed-http"),
    ("NUL in a header", [asking(b"/livez", b"X: a\x00b")], 400, "malformed-http"),
    ("a folded header", [asking(b"/livez", b"X: a\r\n b")], 400, "malformed-http"),
    ("two types", [with_body(b"Content-Type: application/json", b"{}")], 400, "malformed-http"),
    ("two lengths", [with_body(b"Content-Length: 2", b"{}")], 400, "malformed-http"),
    (
        "length and chunks",
        [HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"],
        400,
        "malformed-http",
    ),
    (
        "two keys in two cases",
        [with_body(b"Idempotency-Key: a\r\nIDEMPOTENCY-KEY: b", b"{}")],
        400,
        "repeated-header",
    ),
    ("no URI", [asking(b"http://[::1/")], 400, "malformed-http"),
    ("no path", [asking(b"/nothing")], 404, "not-found"),
    ("another method", [b"DELETE /livez HTTP/1.1\r\nHost: x\r\n\r\n"], 405, "method-not-allowed"),
]  # fmt: skip


@dataclass
class Answer:
    status_line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def send(port: int, parts: list[bytes]) -> Answer:
    """Send these bytes, each part in a segment of its own; the first answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.02)
        async with asyncio.timeout(3):
            head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            return Answer(head, headers, await reader.readexactly(int(headers["content-length"])))
    finally:
        writer.close()


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.web.graceful_shutdown.GRACE_S", 0)


@pytest.fixture
async def front() -> AsyncIterator[int]:
    """The port of a front that answers with the length of what it was sent."""

    async def echo(request: web.Request) -> web.Response:
        return json_response(b"%d" % len(await read_body(request)))

    route = Route(method="POST", path="/api/v1/echo", handler=echo, summary="", body=msgspec.Struct)
    runner = Runner(build_app("Test", [route], {}), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[int]:
    async with serving("127.0.0.1", 0, str(tmp_path / "gateway.db"), (0, 0)) as base:
        yield int(base.rpartition(":")[2])


@pytest.fixture(autouse=True)
def nothing_is_an_error(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Around every test here: no line of the log is worse than a warning, and none has a traceback."""
    with capture_logs() as lines:
        yield
    assert [line for line in lines if line["log_level"] in ("error", "critical") or "exc_info" in line] == []
    assert [each.message for each in caplog.records if each.levelno >= logging.ERROR or each.exc_info] == []


@pytest.mark.parametrize(
    ("parts", "status", "kind"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
async def test_refusals(front: int, parts: list[bytes], status: int, kind: str) -> None:
    """Each has its status, its type with the type's title, and a request id; what was sent is not shown."""
    answer = await send(front, parts)
    assert answer.status_line.startswith(f"HTTP/1.1 {status} ")
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.headers["x-request-id"]) == 36
    expected = types.BY_NAME[kind]
    assert (answer.json["type"], answer.json["title"]) == (expected.uri, expected.title)
    assert answer.json["status"] == expected.status == status
    assert answer.json.keys() == {"type", "title", "status", "detail", "instance"}
    assert ("accept-encoding" in answer.headers) == (status == 415)
    assert b"xxxx" not in answer.body


@pytest.mark.parametrize(
    "parts",
    [
        [with_body(b"Content-Encoding: GZIP", PACKED)],
        [with_body(b"Content-Encoding: x-gzip", PACKED)],
        [with_body(b"Content-Encoding: Identity", b"{}")],
        [with_body(b"Content-Encoding: ", b"{}")],
        [with_body(b"X: y", b"{}")],
        [CHUNKED + b"1\r\n{\r\n", b"1\r\n}\r\n0\r\n\r\n"],
        [HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", b"%x\r\n" % len(PACKED),
         PACKED + b"\r\n0\r\n\r\n"],
    ],
)  # fmt: skip
async def test_what_is_read(front: int, parts: list[bytes]) -> None:
    """gzip by both names and no coding, in any case, whole or in chunks: the two bytes that were meant."""
    answer = await send(front, parts)
    assert (answer.status_line, answer.body) == ("HTTP/1.1 200 OK", b"2")


async def test_a_request_id_comes_back_whoever_refuses(front: int) -> None:
    """Also where aiohttp has refused an Expect header before the middleware."""
    for header in (b"Expect: miracles\r\nX-Request-Id: abc-1", b"X-Request-Id: abc-1"):
        assert (await send(front, [asking(b"/nothing", header)])).headers["x-request-id"] == "abc-1"


async def test_the_limits_are_within(front: int) -> None:
    """A body and a target of exactly the limit are read."""
    packed = with_body(b"Content-Encoding: gzip", gzip.compress(b" " * MAX_BODY_BYTES))
    assert (await send(front, [packed])).body == b"65536"
    target = b"/livez?" + b"x" * (MAX_TARGET_BYTES - 7)
    assert (await send(front, [asking(target)])).status_line == "HTTP/1.1 200 OK"


GATEWAY = {
    "a broken chunk": 400,
    "a broken chunk later": 404,  # no such path: the body is not looked at
    "the path": 414,
    "a header": 431,
    "an expectation": 417,
    "no HTTP": 400,
    "TLS": 400,
    "HTTP/9.9": 400,
    "HTTP/1.0": 404,
    "no host": 400,
    "two types": 400,
    "another method": 405,
}


@pytest.mark.parametrize("what", GATEWAY)
async def test_the_sandbox_refuses_in_its_own_shape(sandbox: int, what: str) -> None:
    """The gateway is another company's: HTTP/1.1 and its own error body, whatever is refused."""
    [parts] = [case[1] for case in REFUSED if case[0] == what]
    answer = await send(sandbox, parts)
    assert answer.status_line.startswith(f"HTTP/1.1 {GATEWAY[what]} ")
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json["error"].keys() == {"code", "message"}


@pytest.mark.parametrize(
    ("header", "body", "status", "code"),
    [
        (b"Content-Encoding: zstd", b"{}", 415, "unsupported_content_coding"),
        (b"Content-Encoding: gzip", PACKED[:-8], 400, "body_broken"),
        (b"Content-Encoding: gzip", gzip.compress(b" " * 70_000), 413, "request_entity_too_large"),
        (b"Content-Encoding: gzip", PACKED, 422, "charge_invalid"),
    ],
)
async def test_codings_at_the_sandbox(
    sandbox: int, header: bytes, body: bytes, status: int, code: str
) -> None:
    """The same codings and limits as the fronts'."""
    sent = with_body(header + b"\r\nIdempotency-Key: k", body).replace(b"/api/v1/echo", b"/v1/charges")
    answer = await send(sandbox, [sent])
    assert answer.status_line.startswith(f"HTTP/1.1 {status} ")
    assert answer.json["error"]["code"] == code
