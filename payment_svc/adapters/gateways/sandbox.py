"""The sandbox gateway over HTTP: the client of what `gateway_sandbox` serves."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from payment_svc.adapters.gateways.http_client import Answer, Line
from payment_svc.application.gateway import (
    Charged,
    ChargeRequest,
    ChargeResult,
    Declined,
    Found,
    NoAnswer,
    NotReached,
    RefundRequest,
)

_CHARGES = "/v1/charges"
_REFUNDS = "/v1/refunds"
_UNAVAILABLE = "gateway_unavailable"  # the gateway's promise that it has recorded nothing and will not

Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class _Movement(msgspec.Struct, frozen=True, kw_only=True):
    idempotency_key: str
    amount: int
    currency: str
    status: Literal["succeeded", "declined"]
    decline_code: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None


class _Charge(_Movement, frozen=True, kw_only=True):
    reference: Reference = msgspec.field(name="charge_id")


class _Refund(_Movement, frozen=True, kw_only=True):
    reference: Reference = msgspec.field(name="refund_id")


_Either = _Charge | _Refund


class _Charges(msgspec.Struct, frozen=True, kw_only=True):
    items: list[_Charge]


class _Refunds(msgspec.Struct, frozen=True, kw_only=True):
    items: list[_Refund]


class _Refusal(msgspec.Struct, frozen=True, kw_only=True):
    error: dict[str, object]


class SandboxGateway:
    """A `Gateway`. Make it inside a running event loop, and close it."""

    def __init__(self, base_url: str, timeout_s: float, max_in_flight: int) -> None:
        """For the limits see `Line`."""
        self._line = Line(base_url, timeout_s, max_in_flight)

    async def close(self) -> None:
        """Close the connections; calls under way end as NoAnswer."""
        await self._line.close()

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        """See `Gateway.charge`."""
        return await self._move(_CHARGES, request, _Charge)

    async def refund(self, request: RefundRequest) -> ChargeResult:
        """See `Gateway.refund`."""
        return await self._move(_REFUNDS, request, _Refund)

    async def find(self, idempotency_key: str) -> Found:
        """See `Gateway.find`. The record is one and is read as it stands, so None is certain."""
        return await self._look_up(_CHARGES, idempotency_key, _Charges)

    async def find_refund(self, idempotency_key: str, reference: str) -> Found:
        """See `Gateway.find_refund`; the key is enough here."""
        return await self._look_up(_REFUNDS, idempotency_key, _Refunds)

    async def _move(
        self, path: str, request: ChargeRequest | RefundRequest, model: type[_Either]
    ) -> ChargeResult:
        headers = {"Idempotency-Key": request.idempotency_key, "Content-Type": "application/json"}

        def read(answer: Answer) -> ChargeResult:
            return _result(request, answer, model)

        return await self._line.post(path, _body(request), headers, read)

    async def _look_up(self, path: str, idempotency_key: str, model: type[_Charges | _Refunds]) -> Found:
        def read(answer: Answer) -> Found:
            match msgspec.json.decode(answer.body, type=model).items:
                case []:
                    return None
                case [found] if found.idempotency_key == idempotency_key:
                    return _settled(found)
            return NoAnswer(reason="the look-up gave what was not asked for")

        return await self._line.get(path, {"idempotency_key": idempotency_key}, read)


def _body(request: ChargeRequest | RefundRequest) -> bytes:
    fields = msgspec.structs.asdict(request)
    del fields["idempotency_key"]  # it travels as a header
    metadata = {name: fields.pop(name) for name in ("lease_id", "payment_id", "attempt_id")}
    if isinstance(request, RefundRequest):
        fields["charge_id"] = fields.pop("reference")
    return msgspec.json.encode({**fields, "metadata": metadata})


def _result(request: ChargeRequest | RefundRequest, answer: Answer, model: type[_Either]) -> ChargeResult:
    status, body = answer.status, answer.body
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
