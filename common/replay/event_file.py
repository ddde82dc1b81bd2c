"""Events from a file of one JSON value a line, or from standard input."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from common.replay.bounds import Unreadable

LINE_BYTES_MAX = 16 * 1024 * 1024
AT_ONCE = 1_000  # lines
BYTES_AT_ONCE = 8 * 1024 * 1024


def read(source: str) -> Iterator[list[bytes]]:
    """The lines of the file at that path ("-": standard input), some at a time. Raises Unreadable."""
    with ExitStack() as stack:
        try:
            file = sys.stdin.buffer if source == "-" else stack.enter_context(Path(source).open("rb"))
            found: list[bytes] = []
            size = 0
            while line := file.readline(LINE_BYTES_MAX + 1):
                if len(line) > LINE_BYTES_MAX:
                    raise Unreadable(f"{source} has a line of more than {LINE_BYTES_MAX} bytes")
                if not line.strip():
                    continue
                found.append(line.strip())
                size += len(line)
                if len(found) == AT_ONCE or size >= BYTES_AT_ONCE:
                    yield found
                    found, size = [], 0
        except OSError as error:
            raise Unreadable(f"{source} cannot be read: {error.strerror}") from error
        if found:
            yield found
