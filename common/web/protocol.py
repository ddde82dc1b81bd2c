"""Connections of the fronts: what never becomes a request is answered in their words, too.

aiohttp refuses broken HTTP (a bad header, a bad chunk, a target that is too long) before any handler or
middleware is asked: as plain text in HTTP/1.0, with a traceback in the log.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong

from common.kernel.ids import uuid7
from common.runtime.process import DRAIN_S
from common.runtime.settings import Settings
from common.web.aiohttp_internals import OpenConnection
from common.web.graceful_shutdown import DrainingRunner
from common.web.problems.details import ProblemError, as_problem
from common.web.problems.types import (
    HEADERS_TOO_LARGE,
    INTERNAL_ERROR,
    MALFORMED_HTTP,
    TARGET_TOO_LONG,
    ProblemType,
)

log = structlog.get_logger()

MAX_TARGET_BYTES = 8 * 1024  # of a request: the path and the query
# `handler_args` of an application: bodies come as they were sent, see codings.py.
READING = {"auto_decompress": False, "max_line_size": MAX_TARGET_BYTES}

_WORDS = {
    MALFORMED_HTTP: "This is not valid HTTP.",
    TARGET_TOO_LONG: "The path and the query are over the limit of {} bytes.",
    HEADERS_TOO_LARGE: "A header is over the limit of {} bytes.",
}


class Connection(OpenConnection):
    """One connection."""

    def refusal(self, problem: ProblemError) -> web.Response:
        """The answer to what no handler has seen."""
        return problem.response("/")

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`. A body that breaks off in the middle of its handler ends there, too."""
        waiting = self.waiting
        super().data_received(data)
        request = self.request_in_hand
        if (
            self.waiting > waiting
            and self.last_is_broken
            and request is not None
            and not request.content.is_eof()
        ):
            request.content.set_exception(web.RequestPayloadError())

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer where there was no request, or the middleware itself failed; closes afterwards."""
        if request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)  # the answer has begun: it is cut
        request_id = uuid7()
        if status >= 500:
            log.error("request.failed", request_id=request_id, exc_info=exc)
            problem = ProblemError(
                INTERNAL_ERROR, f"Something broke here; the log has it under {request_id}."
            )
        else:
            # the exception's words quote what was sent: they are neither shown nor logged
            log.info("http.broken_request", request_id=request_id, error=type(exc).__name__)
            kind, limit = self._kind(exc)
            problem = ProblemError(kind, _WORDS[kind].format(limit))
        response = self.refusal(problem)
        response.headers["X-Request-Id"] = request_id
        response.force_close()
        return response

    def _kind(self, error: BaseException | None) -> tuple[ProblemType, object]:
        if not isinstance(error, LineTooLong):
            return MALFORMED_HTTP, None
        limit = error.args[1]
        return TARGET_TOO_LONG if limit == self.max_line_size else HEADERS_TOO_LARGE, limit

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """See `web.RequestHandler`. Every refusal is a problem, in HTTP/1.1 (RFC 9112, 2.3)."""
        if isinstance(resp, web.HTTPException):  # past the middleware: an Expect header that nobody meets
            resp = self.refusal(as_problem(resp))
        if resp.status >= 400 and not resp.prepared:
            self.answer_in_http_1_1(request)
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """See `web.RequestHandler`. A client's broken body is no defect: one line, and not what was sent."""
        error = kw.get("exc_info")
        if isinstance(error, web.RequestPayloadError | HttpProcessingError):
            log.info("http.broken_body", error=type(error).__name__)
        else:
            super().log_exception(*args, **kw)


class Runner(DrainingRunner):
    """Runs an application on connections of the kind above, or of `connection`."""

    connection: type[Connection] = Connection

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        self.connection.serve_on(server)
        return server


@asynccontextmanager
async def serve(app: web.Application, settings: Settings, default_port: int) -> AsyncIterator[None]:
    """Serve the application; afterwards finish what was begun, for some seconds."""
    # aiohttp waits that long twice: for handlers to end, and for them to end once they are cancelled
    runner = Runner(app, access_log=None, keepalive_timeout=75, shutdown_timeout=DRAIN_S / 2)
    await runner.setup()
    try:
        port = settings.port or default_port
        await web.TCPSite(runner, settings.host, port, backlog=1024).start()
        log.info("http.listening", host=settings.host, port=port)
        yield
    finally:
        await runner.cleanup()
