"""Read your own writes, across services: a token tells up to where a reader must have caught up.

A token names a source and the position in the source's events of one lease. A service has caught up when it
has applied the source's events of that lease up to there; for its own events it always has.
"""

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from common.clock import utcnow
from common.http.prefer import wait_s
from common.http.problem_types import NOT_CAUGHT_UP
from common.http.problems import FieldError, invalid, unavailable
from common.ids import born_ms, canonical_uuid

HEADER = "Consistency-Token"
DEFAULT_WAIT_S = 2.0
FIRST_POLL_S = 0.005
LONGEST_POLL_S = 0.05
# What was made this short a time ago may be on its way.
YOUNG_S = 10.0
ON_ITS_WAY_S = 2.0
_TOKEN = re.compile(r"(/[a-z-]{1,20}):([0-9]{1,9}):([0-9a-f-]{36})")


@dataclass(frozen=True)
class Position:
    """`sequence` events of `source` on the lease."""

    source: str
    sequence: int
    lease_id: str


Reached = Callable[[Position], Awaitable[bool]]


def token(position: Position) -> str:
    """The position as an opaque, printable ASCII header value."""
    text = f"{position.source}:{position.sequence}:{position.lease_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(text: str) -> Position:
    """The position in a token. Raises ProblemError 422 where it is none of ours."""
    try:
        decoded = base64.urlsafe_b64decode(text[:200] + "=" * (-len(text[:200]) % 4)).decode()
    except ValueError:
        decoded = ""
    match = _TOKEN.fullmatch(decoded)
    if match is None or canonical_uuid(match[3]) is None:
        raise invalid([FieldError(f"/{HEADER}", "is not a token that this system has given")])
    return Position(source=match[1], sequence=int(match[2]), lease_id=match[3])


async def wait_until_caught_up(request: web.Request, reached: Reached) -> None:
    """Return at once without a token, else when `reached`. Raises ProblemError 503 when not in time."""
    text = request.headers.get(HEADER)
    if text is None:
        return
    position = read_token(text)
    await poll(
        lambda: reached(position),
        wait_s(request, default_s=DEFAULT_WAIT_S),
        "What you read has not caught up with your write yet; try again.",
    )


async def arrives(identifier: str, here: Callable[[], Awaitable[bool]]) -> bool:
    """Wait a moment for something just made elsewhere, instead of denying that it exists.

    False: by its id it is young, and it has not come in time. What is older is not waited for.
    """
    age_s = (utcnow() - datetime.fromtimestamp((born_ms(identifier) or 0) / 1000, UTC)).total_seconds()
    if not -YOUNG_S < age_s < YOUNG_S:
        return True
    return await _within(here, ON_ITS_WAY_S)


async def poll(done: Callable[[], Awaitable[bool]], within_s: float, otherwise: str) -> None:
    """Ask `done` again and again for `within_s` seconds. Raises ProblemError 503 saying `otherwise`."""
    if not await _within(done, within_s):
        raise unavailable(otherwise, of=NOT_CAUGHT_UP)


async def _within(done: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    pause_s = FIRST_POLL_S
    try:
        async with asyncio.timeout(within_s):
            while not await done():
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.5, LONGEST_POLL_S)
    except TimeoutError:
        return False
    return True
