"""Connections of the fronts: what never becomes a request is answered in their words, too.

aiohttp answers broken HTTP (a bad header, a bad chunk, a body that is not gzip) before any handler or
middleware is asked, as plain text and with a traceback in the log.
"""

from http import HTTPStatus
from typing import cast

import structlog
from aiohttp import web

from common.http.draining import DrainingRunner
from common.http.problems import ProblemError
from common.ids import uuid7

log = structlog.get_logger()


class Connection(web.RequestHandler):
    """One connection."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer where there was no request, or the middleware itself failed; closes afterwards."""
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        # the exception's words quote what was sent: they are neither shown nor logged
        request_id = uuid7()
        log.info("http.broken_request", status=status, request_id=request_id, error=type(exc).__name__)
        words = HTTPStatus(status).phrase
        response = ProblemError(status, "This is not valid HTTP.", title=words).response("/")
        response.headers["X-Request-Id"] = request_id
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


class Runner(DrainingRunner):
    """Runs an application on connections of the kind above."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server
        return cast(_Server, server)
