"""The boundary between the payment worker and the card gateway.

The difference between two of the four ways in which a call ends is money: `NotReached` says that certainly
nothing happened, so paying again is safe; `NoAnswer` says that nobody knows, so only a look-up may settle it.
Whatever is not certain is `NoAnswer`. Trouble with the gateway is a value, never an exception.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal, Protocol

import aiohttp
import msgspec

_ANSWER_BYTES_MAX = 64 * 1024  # a charge takes half a kilobyte; whatever is longer is not one
_UNAVAILABLE = "gateway_unavailable"  # the gateway's promise that it has recorded nothing and will not


class ChargeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One charge, to be made at most once under its key."""

    idempotency_key: str  # 1 to 255 printable ASCII characters
    amount: int  # minor units of `currency`, at least 1
    currency: str  # ISO 4217
    payment_method: str
    lease_id: str
    payment_id: str | None  # null: a payoff of the whole lease
    attempt_id: str


class RefundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A charge's money, or a part of it, to be given back at most once under this key."""

    idempotency_key: str  # 1 to 255 printable ASCII characters
    reference: str  # the gateway's id of the charge
    amount: int  # minor units of `currency`, at least 1
    currency: str  # ISO 4217, the charge's
    lease_id: str
    payment_id: str | None  # null: the charge was a payoff of the whole lease
    attempt_id: str  # of the refund


class Charged(msgspec.Struct, frozen=True, kw_only=True):
    """The money moved."""

    reference: str  # the gateway's id of the charge or refund, never empty


class Declined(msgspec.Struct, frozen=True, kw_only=True):
    """The issuer said no; to a refund, the gateway."""

    code: str  # the gateway's decline code
    reference: str  # the gateway's id of the charge or refund


class NotReached(msgspec.Struct, frozen=True, kw_only=True):
    """Certainly nothing happened: it may be tried again."""

    reason: str


class NoAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The money may or may not have moved: ask, never pay again."""

    reason: str


ChargeResult = Charged | Declined | NotReached | NoAnswer


class Gateway(Protocol):
    """What the payment worker needs of a gateway."""

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        """Charge a payment method, once per idempotency key."""

    async def find(self, idempotency_key: str) -> Charged | Declined | NoAnswer | None:
        """What became of a charge. None: there is no such charge; NoAnswer: the gateway could not be asked.

        None is true of the moment it was said; so ask only once a charge can no longer be on its way.
        """

    async def refund(self, request: RefundRequest) -> ChargeResult:
        """Give a charge's money back, once per idempotency key."""

    async def find_refund(self, idempotency_key: str) -> Charged | Declined | NoAnswer | None:
        """What became of a refund; as `find` for a charge."""


class _Movement(msgspec.Struct, frozen=True, kw_only=True):
    idempotency_key: str
    amount: int
    currency: str
    status: Literal["succeeded", "declined"]
    decline_code: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None


class _Charge(_Movement, frozen=True, kw_only=True):
    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] = msgspec.field(name="charge_id")


class _Refund(_Movement, frozen=True, kw_only=True):
    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] = msgspec.field(name="refund_id")


_Either = _Charge | _Refund


class _Charges(msgspec.Struct, frozen=True, kw_only=True):
    items: list[_Charge]


class _Refunds(msgspec.Struct, frozen=True, kw_only=True):
    items: list[_Refund]


class _Refusal(msgspec.Struct, frozen=True, kw_only=True):
    error: dict[str, object]


class SandboxGateway:
    """The sandbox gateway over HTTP. Make it inside a running event loop, and close it."""

    def __init__(self, base_url: str, timeout_s: float, max_in_flight: int) -> None:
        """A call waits at most `timeout_s` for one of `max_in_flight` places, then as long for its answer.

        Look-ups have as many places of their own: charges that hang must not keep anybody from asking.
        """
        self._charges = f"{base_url.rstrip('/')}/v1/charges"
        self._refunds = f"{base_url.rstrip('/')}/v1/refunds"
        self._timeout_s = timeout_s
        self._charging = asyncio.Semaphore(max_in_flight)
        self._asking = asyncio.Semaphore(max_in_flight)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the places above are the limit
            # A connection has to stand well before the time is up: a failure to connect is a certain answer,
            # the end of the whole time is not.
            timeout=aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s / 2),
        )

    async def close(self) -> None:
        """Close the connections; calls under way end as NoAnswer."""
        await self._session.close()

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        """See `Gateway.charge`. A call that is cancelled may have charged, as if it had ended in NoAnswer."""
        return await self._move(self._charges, request, _Charge)

    async def refund(self, request: RefundRequest) -> ChargeResult:
        """See `Gateway.refund`. A call that is cancelled may have given the money back."""
        return await self._move(self._refunds, request, _Refund)

    async def find(self, idempotency_key: str) -> Charged | Declined | NoAnswer | None:
        """See `Gateway.find`."""
        return await self._look_up(self._charges, idempotency_key, _Charges)

    async def find_refund(self, idempotency_key: str) -> Charged | Declined | NoAnswer | None:
        """See `Gateway.find_refund`."""
        return await self._look_up(self._refunds, idempotency_key, _Refunds)

    async def _move(
        self, url: str, request: ChargeRequest | RefundRequest, model: type[_Either]
    ) -> ChargeResult:
        if not await self._place(self._charging):
            return NotReached(reason="too many charges in flight")
        headers = {"Idempotency-Key": request.idempotency_key, "Content-Type": "application/json"}
        try:
            # Following a redirect would send the charge twice, and make a failure to connect uncertain.
            async with self._session.post(
                url, data=_body(request), headers=headers, allow_redirects=False
            ) as response:
                return _result(request, response.status, await _read(response), model)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return NotReached(reason=_reason(error))  # raised only before the first byte is sent
        except Exception as error:  # the request may be out: whatever went wrong, the truth is not known here
            return NoAnswer(reason=_reason(error))
        finally:
            self._charging.release()

    async def _look_up(
        self, url: str, idempotency_key: str, model: type[_Charges | _Refunds]
    ) -> Charged | Declined | NoAnswer | None:
        if not await self._place(self._asking):
            return NoAnswer(reason="too many look-ups in flight")
        query = {"idempotency_key": idempotency_key}
        try:
            async with self._session.get(url, params=query, allow_redirects=False) as response:
                body = await _read(response)
                if response.status != 200:
                    return NoAnswer(reason=f"status {response.status} to a look-up")
            match msgspec.json.decode(body, type=model).items:
                case []:
                    return None
                case [found] if found.idempotency_key == idempotency_key:
                    return _settled(found)
            return NoAnswer(reason="the look-up gave what was not asked for")
        except Exception as error:  # a look-up that failed in any way has said nothing
            return NoAnswer(reason=_reason(error))
        finally:
            self._asking.release()

    async def _place(self, places: asyncio.Semaphore) -> bool:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await places.acquire()
        except TimeoutError:
            return False


def _body(request: ChargeRequest | RefundRequest) -> bytes:
    fields = msgspec.structs.asdict(request)
    del fields["idempotency_key"]  # it travels as a header
    metadata = {name: fields.pop(name) for name in ("lease_id", "payment_id", "attempt_id")}
    if isinstance(request, RefundRequest):
        fields["charge_id"] = fields.pop("reference")
    return msgspec.json.encode({**fields, "metadata": metadata})


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body; raises ValueError where it is too long, aiohttp's errors where it is cut short."""
    body = b""
    async for piece in response.content.iter_any():
        if len(body := body + piece) > _ANSWER_BYTES_MAX:
            raise ValueError("the answer is too long to be one")
    return body


def _result(
    request: ChargeRequest | RefundRequest, status: int, body: bytes, model: type[_Either]
) -> ChargeResult:
    if status == 503 and msgspec.json.decode(body, type=_Refusal).error["code"] == _UNAVAILABLE:
        return NotReached(reason=_UNAVAILABLE)
    if status not in (201, 402):
        return NoAnswer(reason=f"status {status}")
    moved = msgspec.json.decode(body, type=model)
    told = (moved.idempotency_key, moved.amount, moved.currency)
    if told != (request.idempotency_key, request.amount, request.currency):
        return NoAnswer(reason="the answer is about something else")
    if (moved.status == "succeeded") != (status == 201):
        return NoAnswer(reason=f"status {status} with the word {moved.status}")
    return _settled(moved)


def _settled(moved: _Either) -> Charged | Declined | NoAnswer:
    if moved.status == "succeeded":
        return Charged(reference=moved.reference)
    if moved.decline_code is None:
        return NoAnswer(reason="declined without a code")
    return Declined(code=moved.decline_code, reference=moved.reference)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")[:200]  # it goes into an event
