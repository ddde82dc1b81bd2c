"""Answers that are sent while they are made, of any length; one that was cut is never taken for whole."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

import structlog
from aiohttp import hdrs, web

from common.web.headers.fields import elements, weight

log = structlog.get_logger()

WRITE_TIMEOUT_S = 60.0  # a client that takes nothing for so long is left


async def stream(
    request: web.Request, chunks: AsyncGenerator[bytes, None], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer 200 with what `chunks` gives, compressed where the client accepts gzip.

    Where the client goes away, or making a chunk fails, the connection is cut: the answer has no end then, so
    that no client can take it for whole. `chunks` is closed in any case.
    """
    response = web.StreamResponse(headers={**headers, hdrs.VARY: hdrs.ACCEPT_ENCODING})
    only_head = request.method == hdrs.METH_HEAD
    if not only_head and accepts_gzip(request.headers.getall(hdrs.ACCEPT_ENCODING, [])):
        response.enable_compression(web.ContentCoding.gzip)
    async with aclosing(chunks):
        await response.prepare(request)
        if only_head:
            return response
        try:
            async for chunk in chunks:
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    await response.write(chunk)
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await response.write_eof()
        except BaseException as error:
            _cut(request, error)
            if not isinstance(error, Exception):
                raise
    return response


def accepts_gzip(lines: Sequence[str]) -> bool:
    """Whether an Accept-Encoding field allows gzip (RFC 9110, 12.5.3); aiohttp does not look at weights."""
    weights = {element.name: weight(element) for element in reversed(elements(lines))}
    return next((weights[name] > 0 for name in ("gzip", "x-gzip", "*") if name in weights), False)


def _cut(request: web.Request, error: BaseException) -> None:
    gone = isinstance(error, ConnectionResetError | asyncio.CancelledError)
    tell = log.info if gone else log.error
    tell("download.cut", path=request.path, error=repr(error))
    if request.transport is not None:
        request.transport.abort()
