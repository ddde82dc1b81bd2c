"""Read your own writes, across services: a token tells up to where a reader must have caught up.

A token names a source and the position in the source's events of one lease. A service has caught up when it
has applied the source's events of that lease up to there; for its own events it always has. An outcome about
no lease has a token as well, which is caught up with everywhere.

Format: base64url without padding of `source:sequence:lease_id:check`; check is the CRC-32 of what stands
before it, in hex. It shows that a token was changed on its way; it is no signature: a token opens nothing.
Tokens that were given before there was a check have none, and are taken.
"""

import asyncio
import base64
import re
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from common.kernel.clock import utcnow
from common.kernel.ids import canonical_uuid, uuid7_timestamp_ms
from common.messaging.envelope import Outcome
from common.runtime.backoff import Backoff
from common.web.headers.prefer import wait_s
from common.web.problems.details import FieldError, ProblemError, invalid, unavailable
from common.web.problems.types import NOT_CAUGHT_UP

HEADER = "Consistency-Token"
DEFAULT_WAIT_S = 2.0
FIRST_POLL_S = 0.005
LONGEST_POLL_S = 0.05
# What was made this short a time ago may be on its way.
YOUNG_S = 10.0
ON_ITS_WAY_S = 2.0
CLOCK_SKEW_S = 300.0
# Whose events there are; "" for what no source has told of anything.
SOURCES = ("/lease-svc", "/payment-svc")
LENGTH_MAX = 200
_TOKEN = re.compile(rf"((?:{'|'.join(SOURCES)})?):(0|[1-9][0-9]{{0,8}}):([0-9a-f-]{{36}})(?::[0-9a-f]{{8}})?")


@dataclass(frozen=True)
class Position:
    """`sequence` events of `source` on the lease."""

    source: str
    sequence: int
    lease_id: str


Reached = Callable[[Position], Awaitable[bool]]


def token(position: Position) -> str:
    """The position as an opaque, printable ASCII header value."""
    text = _text(position)
    return _written(f"{text}:{zlib.crc32(text.encode()):08x}")


def token_of(outcome: Outcome) -> str:
    """The token of a command's outcome; where it has none of its own, one that stands for nothing at all."""
    return outcome.token or token(Position("", 0, outcome.command_id))


def read_token(text: str) -> Position:
    """The position in a token. Raises ProblemError 422 where no service can have given it."""
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        raise not_given() from None
    match = _TOKEN.fullmatch(decoded) if len(text) <= LENGTH_MAX else None
    if match is None or canonical_uuid(match[3]) is None:
        raise not_given()
    position = Position(source=match[1], sequence=int(match[2]), lease_id=match[3])
    # written again it has to be the same: the decoder passes over what does not belong there
    if text not in (token(position), _written(_text(position))) or not _may_be(position):
        raise not_given()
    return position


def not_given() -> ProblemError:
    """422: no service can have given this token."""
    return invalid([FieldError(f"/{HEADER}", "is not a token that this system has given")])


def own(position: Position, told: int | None) -> bool:
    """Whether a source has reached a position in its own events: always, where it can have told of it.

    `told`: the sequence of the last event it has told of the lease; None where it knows no such lease. Raises
    ProblemError 422 for a position that is beyond it: what has been given was committed before.
    """
    if told is None or told < position.sequence:
        raise not_given()
    return True


async def wait_until_caught_up(request: web.Request, reached: Reached) -> None:
    """Return at once without a token, else when `reached`.

    Raises ProblemError 422 for a token that no service can have given, 503 when not in time.
    """
    text = request.headers.get(HEADER)
    if text is None:
        return
    position = read_token(text)
    if position.sequence == 0:  # nothing was told: there is nothing to wait for
        return
    await poll(
        lambda: reached(position),
        wait_s(request, default_s=DEFAULT_WAIT_S),
        "What you read has not caught up with your write yet; try again.",
    )


def _text(position: Position) -> str:
    return f"{position.source}:{position.sequence}:{position.lease_id}"


def _written(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _may_be(position: Position) -> bool:
    """Whether there can be such an event: of a source, and of a lease that a front has made by now."""
    if position.sequence == 0:
        return True
    born = uuid7_timestamp_ms(position.lease_id)
    return bool(position.source) and born is not None and born / 1000 <= utcnow().timestamp() + CLOCK_SKEW_S


async def arrives(identifier: str, here: Callable[[], Awaitable[bool]]) -> bool:
    """Wait a moment for something just made elsewhere, instead of denying that it exists.

    False: by its id it is young, and it has not come in time. What is older is not waited for.
    """
    age_s = (
        utcnow() - datetime.fromtimestamp((uuid7_timestamp_ms(identifier) or 0) / 1000, UTC)
    ).total_seconds()
    if not -YOUNG_S < age_s < YOUNG_S:
        return True
    return await _within(here, ON_ITS_WAY_S)


async def poll(done: Callable[[], Awaitable[bool]], within_s: float, otherwise: str) -> None:
    """Ask `done` again and again for `within_s` seconds. Raises ProblemError 503 saying `otherwise`."""
    if not await _within(done, within_s):
        raise unavailable(otherwise, of=NOT_CAUGHT_UP)


async def _within(done: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    polls = Backoff(FIRST_POLL_S, LONGEST_POLL_S, factor=1.5)
    try:
        async with asyncio.timeout(within_s):
            while not await done():  # noqa: ASYNC110 asked anew each time
                await asyncio.sleep(polls.next())
    except TimeoutError:
        return False
    return True
