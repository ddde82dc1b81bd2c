"""The sandbox gateway over HTTP: the client of what `payment_svc/sandbox/` serves."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from payment_svc.gateways.line import Answer, Line
from payment_svc.gateways.port import (
    Charged,
    ChargeRequest,
    ChargeResult,
    Declined,
    Found,
    NoAnswer,
    NotReached,
)

_PATH = "/v1/charges"
_UNAVAILABLE = "gateway_unavailable"  # the gateway's promise that it has recorded nothing and will not


class _Charge(msgspec.Struct, frozen=True, kw_only=True):
    charge_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    idempotency_key: str
    amount: int
    currency: str
    status: Literal["succeeded", "declined"]
    decline_code: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None


class _Charges(msgspec.Struct, frozen=True, kw_only=True):
    items: list[_Charge]


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
        headers = {"Idempotency-Key": request.idempotency_key, "Content-Type": "application/json"}

        def read(answer: Answer) -> ChargeResult:
            return _charge_result(request, answer)

        return await self._line.post(_PATH, _body(request), headers, read)

    async def find(self, idempotency_key: str) -> Found:
        """See `Gateway.find`. The record is one and is read as it stands, so None is certain."""

        def read(answer: Answer) -> Found:
            match msgspec.json.decode(answer.body, type=_Charges).items:
                case []:
                    return None
                case [charge] if charge.idempotency_key == idempotency_key:
                    return _settled(charge)
            return NoAnswer(reason="the look-up gave charges that were not asked for")

        return await self._line.get(_PATH, {"idempotency_key": idempotency_key}, read)


def _body(request: ChargeRequest) -> bytes:
    fields = msgspec.structs.asdict(request)
    del fields["idempotency_key"]  # it travels as a header
    metadata = {name: fields.pop(name) for name in ("lease_id", "payment_id", "attempt_id")}
    return msgspec.json.encode({**fields, "metadata": metadata})


def _charge_result(request: ChargeRequest, answer: Answer) -> ChargeResult:
    status, body = answer.status, answer.body
    if status == 503 and msgspec.json.decode(body, type=_Refusal).error["code"] == _UNAVAILABLE:
        return NotReached(reason=_UNAVAILABLE)
    if status not in (201, 402):
        return NoAnswer(reason=f"status {status} to a charge")
    charge = msgspec.json.decode(body, type=_Charge)
    told = (charge.idempotency_key, charge.amount, charge.currency)
    if told != (request.idempotency_key, request.amount, request.currency):
        return NoAnswer(reason="the answer is about another charge")
    if (charge.status == "succeeded") != (status == 201):
        return NoAnswer(reason=f"status {status} with a charge that is {charge.status}")
    return _settled(charge)


def _settled(charge: _Charge) -> Charged | Declined | NoAnswer:
    if charge.status == "succeeded":
        return Charged(reference=charge.charge_id)
    if charge.decline_code is None:
        return NoAnswer(reason="declined without a code")
    return Declined(code=charge.decline_code, reference=charge.charge_id)
