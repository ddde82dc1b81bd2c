"""HTTP calls to a gateway: so many at once, so long, and what it means when one does not end well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

import aiohttp
import msgspec

from common.kernel.card_numbers import holds_card_number
from payment_svc.application.gateway import Charged, Declined, NoAnswer, NotReached

_ANSWER_BYTES_MAX = 64 * 1024  # a charge takes some kilobytes; whatever is longer is not one
_REASON_LENGTH_MAX = 200  # it goes into an event
_CARD_NUMBER = "the answer holds a card number"

T = TypeVar("T")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back, whole."""

    status: int
    headers: Mapping[str, str]  # names in any case
    body: bytes


class Line:
    """The connections to one gateway. Make it inside a running event loop, and close it."""

    def __init__(
        self, base_url: str, timeout_s: float, max_in_flight: int, headers: Mapping[str, str] | None = None
    ) -> None:
        """A call waits at most `timeout_s` for one of `max_in_flight` places, then as long for its answer.

        Look-ups have as many places of their own: charges that hang must not keep anybody from asking.
        `headers` go with every call.
        """
        self._base = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._changing = asyncio.Semaphore(max_in_flight)
        self._asking = asyncio.Semaphore(max_in_flight)
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0),  # the places above are the limit
            # A connection has to stand well before the time is up: a failure to connect is a certain answer,
            # the end of the whole time is not.
            timeout=aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s / 2),
        )

    async def close(self) -> None:
        """Close the connections; calls under way end as NoAnswer."""
        await self._session.close()

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str], read: Callable[[Answer], T]
    ) -> T | NotReached | NoAnswer:
        """Send what changes something, once. What `read` raises makes NoAnswer: such an answer is none."""
        if not await self._place(self._changing):
            return NotReached(reason="too many charges in flight", called=False)
        try:
            # Following a redirect would send it twice, and make a failure to connect uncertain.
            async with self._session.post(
                self._base + path, data=body, headers=headers, allow_redirects=False
            ) as response:
                return _kept(read(await _whole(response)))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return NotReached(reason=_reason(error))  # raised only before the first byte is sent
        except Exception as error:  # the request may be out: whatever went wrong, the truth is not known here
            return NoAnswer(reason=_reason(error))
        finally:
            self._changing.release()

    async def get(self, path: str, query: Mapping[str, str], read: Callable[[Answer], T]) -> T | NoAnswer:
        """Ask for something; a look-up that failed in any way has said nothing."""
        if not await self._place(self._asking):
            return NoAnswer(reason="too many look-ups in flight")
        try:
            async with self._session.get(self._base + path, params=query, allow_redirects=False) as response:
                answer = await _whole(response)
                if answer.status != 200:
                    return NoAnswer(reason=f"status {answer.status} to a look-up")
                return _kept(read(answer))
        except Exception as error:
            return NoAnswer(reason=_reason(error))
        finally:
            self._asking.release()

    async def _place(self, places: asyncio.Semaphore) -> bool:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await places.acquire()
        except TimeoutError:
            return False


async def _whole(response: aiohttp.ClientResponse) -> Answer:
    """Raises ValueError where the body is too long, aiohttp's errors where it is cut short."""
    body = b""
    async for piece in response.content.iter_any():
        if len(body := body + piece) > _ANSWER_BYTES_MAX:
            raise ValueError("the answer is too long to be one")
    return Answer(status=response.status, headers=response.headers, body=body)


def _kept(result: T) -> T | NoAnswer:
    """The result; one with a card number in it is none, for its words are stored and told."""
    match result:
        case Charged(reference=reference):
            words = reference
        case Declined(code=code, reference=reference):
            words = f"{code}, {reference}"  # a comma joins no digits
        case NotReached(reason=reason) | NoAnswer(reason=reason):
            return msgspec.structs.replace(result, reason=_shown(reason))
        case _:
            return result
    return NoAnswer(reason=_CARD_NUMBER, outage=False) if holds_card_number(words) else result


def _reason(error: Exception) -> str:
    return _shown(f"{type(error).__name__}: {error}".rstrip(": ")[:_REASON_LENGTH_MAX])


def _shown(reason: str) -> str:
    return _CARD_NUMBER if holds_card_number(reason) else reason
