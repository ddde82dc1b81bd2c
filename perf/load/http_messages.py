"""HTTP/1.1 as bytes: requests to be sent, and answers read off a connection.

A client library costs more per request than the fronts that are measured with it.
"""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_HEADER_BYTES_MAX = 16_384


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
