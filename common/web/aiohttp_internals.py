"""What is private of aiohttp and used here: no other module touches it.

`_messages` and `_current_request` of a connection, `_version` of a request, `_loop` and `_kwargs` of a
server. tests/unit/common/web/test_refusals.py and tests/unit/structure/test_internals.py fail where they
change.
"""

from aiohttp import web
from aiohttp.http import HttpVersion11, RawRequestMessage


class OpenConnection(web.RequestHandler):
    """aiohttp's connection, with names for what it does not show."""

    @classmethod
    def serve_on(cls, server: web.Server) -> None:
        """Let a server make each connection of this class; it has no argument for that."""

        class Server(web.Server):
            def __call__(self) -> web.RequestHandler:
                return cls(self, loop=self._loop, **self._kwargs)

        server.__class__ = Server

    @property
    def waiting(self) -> int:
        """How many requests, or errors in the place of one, no handler has taken yet."""
        return len(self._messages)

    @property
    def last_is_broken(self) -> bool:
        """Whether the last of those that wait is what could not be read as a request."""
        return not isinstance(self._messages[-1][0], RawRequestMessage)

    @property
    def request_in_hand(self) -> web.BaseRequest | None:
        """The request that a handler is at work on."""
        return self._current_request

    @staticmethod
    def answer_in_http_1_1(request: web.BaseRequest) -> None:
        """Answer in HTTP/1.1, whatever the request came in."""
        request._version = HttpVersion11
