"""Stripe: one PaymentIntent per charge, created and confirmed in one call (https://docs.stripe.com/api).

How answers are read, and why:

- A card error (402) is a decline. So is a payment method that Stripe refuses to charge at all.
- Any other refusal of the request (400, 401, 403, 404 of type `invalid_request_error`) says that nothing was
  charged, as does 429 `rate_limit`: rate limiters stand before everything else.
- All else is NoAnswer: 409 (the key is in use at this moment), 429 `lock_timeout`, 5xx ("indeterminate"), and
  400 `idempotency_error` (the key belongs to another request, whose end is not told).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

import msgspec

from payment_svc.adapters.gateways.http_client import Answer, Line
from payment_svc.adapters.gateways.stripe.amounts import to_stripe
from payment_svc.adapters.gateways.stripe.objects import (
    INVALID_METHOD,
    Error,
    PaymentIntent,
    Refund,
    decline_code,
    given_back,
    settled,
)
from payment_svc.application.gateway import (
    ChargeRequest,
    ChargeResult,
    Declined,
    Found,
    NoAnswer,
    NotReached,
    RefundRequest,
)

API_VERSION: Final = "2024-06-20"  # the shapes that are read here; an account's own default may be any
KEY: Final = "idempotency_key"  # of the metadata, where the search finds it

_INTENTS = "/v1/payment_intents"
_REFUNDS = "/v1/refunds"
_REFUNDS_LISTED = 100  # of one charge; more than any is given back in
_REFUSED = (400, 401, 403, 404)


class _Failure(msgspec.Struct, frozen=True, kw_only=True):
    error: Error


class _Search(msgspec.Struct, frozen=True, kw_only=True):
    data: list[PaymentIntent]


class _Refunds(msgspec.Struct, frozen=True, kw_only=True):
    data: list[Refund]


class StripeGateway:
    """A `Gateway`. Make it inside a running event loop, and close it.

    A payment method is `pm_…`, or `cus_…-pm_…` where it is attached to a customer: a saved card is charged
    off session only together with its customer.
    """

    def __init__(self, base_url: str, api_key: str, timeout_s: float, max_in_flight: int) -> None:
        """For the limits see `Line`. The key goes into each request's head and nowhere else."""
        headers = {"Authorization": f"Bearer {api_key}", "Stripe-Version": API_VERSION}
        self._line = Line(base_url, timeout_s, max_in_flight, headers)

    async def close(self) -> None:
        """Close the connections; calls under way end as NoAnswer."""
        await self._line.close()

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        """See `Gateway.charge`."""
        amount = to_stripe(request.amount, request.currency)
        if amount is None:
            reason = f"Stripe cannot take {request.amount} of {request.currency}: see its currencies"
            return NotReached(reason=reason, outage=False)

        def read(answer: Answer) -> ChargeResult:
            return _charge_result(request, amount, answer)

        return await self._line.post(_INTENTS, _form(request, amount), _headers(request), read)

    async def refund(self, request: RefundRequest) -> ChargeResult:
        """See `Gateway.refund`. One that Stripe still works on is NoAnswer: it is asked about."""
        amount = to_stripe(request.amount, request.currency)
        if amount is None:
            reason = f"Stripe cannot give back {request.amount} of {request.currency}: see its currencies"
            return NotReached(reason=reason, outage=False)
        fields = {"payment_intent": request.reference, "amount": str(amount), **_metadata(request)}

        def read(answer: Answer) -> ChargeResult:
            return _refund_result(request, amount, answer)

        return await self._line.post(_REFUNDS, urlencode(fields).encode(), _headers(request), read)

    async def find_refund(self, idempotency_key: str, reference: str) -> Found:
        """See `Gateway.find_refund`. Refunds of one charge are listed, without the search's lag."""

        def read(answer: Answer) -> Found:
            for refund in msgspec.json.decode(answer.body, type=_Refunds).data:
                if refund.metadata.get(KEY) == idempotency_key:
                    return given_back(refund)
            return None

        query = {"payment_intent": reference, "limit": str(_REFUNDS_LISTED)}
        return await self._line.get(_REFUNDS, query, read)

    async def find(self, idempotency_key: str) -> Found:
        """See `Gateway.find`. Never None.

        Stripe cannot be asked by idempotency key. Sending the charge again under its key would tell, but it
        would charge if the first had never arrived, or if the key has been forgotten. So the key is searched
        for in the metadata. The search lags behind, by seconds as a rule and by an hour at times
        (https://docs.stripe.com/search, "Data freshness"), so that finding nothing proves nothing.
        """
        escaped = idempotency_key.replace("\\", "\\\\").replace("'", "\\'")
        query = {"query": f"metadata['{KEY}']:'{escaped}'", "limit": "2"}

        def read(answer: Answer) -> Found:
            match msgspec.json.decode(answer.body, type=_Search).data:
                case []:
                    return NoAnswer(reason="the search does not show it (yet)", outage=False)
                # the search does not tell upper from lower case
                case [intent] if intent.metadata.get(KEY) == idempotency_key:
                    return settled(intent)
            return NoAnswer(reason="the search gave payment intents that were not asked for")

        return await self._line.get(f"{_INTENTS}/search", query, read)


def _form(request: ChargeRequest, amount: int) -> bytes:
    customer, _, method = request.payment_method.rpartition("-")
    fields = {
        "amount": str(amount),
        "currency": request.currency.lower(),
        **({"customer": customer} if customer else {}),
        "payment_method": method,
        "payment_method_types[]": "card",
        "confirm": "true",
        "off_session": "true",
        # An issuer who wants the customer to act declines; the intent is not left open for that.
        "error_on_requires_action": "true",
        **_metadata(request),
    }
    return urlencode(fields).encode()


def _headers(request: ChargeRequest | RefundRequest) -> dict[str, str]:
    return {
        "Idempotency-Key": request.idempotency_key,
        "Content-Type": "application/x-www-form-urlencoded",
    }


def _metadata(request: ChargeRequest | RefundRequest) -> dict[str, str]:
    return {
        f"metadata[{KEY}]": request.idempotency_key,
        "metadata[attempt_id]": request.attempt_id,
        "metadata[lease_id]": request.lease_id,
        **({"metadata[payment_id]": request.payment_id} if request.payment_id else {}),
    }


def _refund_result(request: RefundRequest, amount: int, answer: Answer) -> ChargeResult:
    if answer.status == 200:
        refund = msgspec.json.decode(answer.body, type=Refund)
        told = (refund.metadata.get(KEY), refund.amount, refund.currency)
        asked = (request.idempotency_key, amount, request.currency.lower())
        return given_back(refund) if told == asked else NoAnswer(reason="the answer is about another refund")
    if answer.status in _REFUSED or answer.status == 429:
        error = msgspec.json.decode(answer.body, type=_Failure).error
        if answer.status == 429 and error.code == "rate_limit":
            return NotReached(reason="rate_limit")
        if error.type == "invalid_request_error" and answer.status != 429:
            # Stripe has less of that money than we think: for good, so it is no outage
            if error.code == "charge_already_refunded" or error.param == "amount":
                return _without_intent(error.code or "refund_too_large", answer)
            return _refused(error, answer)
        return NoAnswer(reason=f"status {answer.status}: {error.type}"[:200], outage=False)
    return NoAnswer(reason=f"status {answer.status} to a refund")


def _charge_result(request: ChargeRequest, amount: int, answer: Answer) -> ChargeResult:
    if answer.status == 200:
        intent = msgspec.json.decode(answer.body, type=PaymentIntent)
        return settled(intent) if _is_of(intent, request, amount) else _FOREIGN
    if answer.status == 402:
        return _declined(request, amount, answer)
    if answer.status in _REFUSED or answer.status == 429:
        error = msgspec.json.decode(answer.body, type=_Failure).error
        if answer.status == 429:
            limited = error.code == "rate_limit"
            return NotReached(reason="rate_limit") if limited else NoAnswer(reason=f"status 429 {error.code}")
        if error.type == "invalid_request_error" and error.payment_intent is None:
            return _refused(error, answer)
        return NoAnswer(reason=f"status {answer.status}: {error.type}"[:200], outage=False)
    return NoAnswer(reason=f"status {answer.status} to a charge")


_FOREIGN = NoAnswer(reason="the answer is about another charge")


def _is_of(intent: PaymentIntent, request: ChargeRequest, amount: int) -> bool:
    told = (intent.metadata.get(KEY), intent.amount, intent.currency)
    return told == (request.idempotency_key, amount, request.currency.lower())


def _declined(request: ChargeRequest, amount: int, answer: Answer) -> ChargeResult:
    error = msgspec.json.decode(answer.body, type=_Failure).error
    if error.payment_intent is None:
        return _without_intent(decline_code(error), answer)
    if not _is_of(error.payment_intent, request, amount):
        return _FOREIGN
    intent = error.payment_intent
    if intent.last_payment_error is None:
        intent = msgspec.structs.replace(intent, last_payment_error=error)
    result = settled(intent)
    if isinstance(result, Declined):
        return result
    return NoAnswer(reason=f"status 402 with a payment intent that is {intent.status}"[:200])


def _refused(error: Error, answer: Answer) -> ChargeResult:
    """Stripe has not tried to charge, and says why."""
    if error.param in ("payment_method", "customer"):
        return _without_intent(INVALID_METHOD, answer)
    words = " ".join(word for word in (error.code, error.param) if word)
    return NotReached(reason=f"refused with {answer.status}: {words}".rstrip(": ")[:200], outage=False)


def _without_intent(code: str, answer: Answer) -> ChargeResult:
    """A decline that left no payment intent behind: the request's own id is the reference."""
    request_id = answer.headers.get("Request-Id", "")
    if not 0 < len(request_id) <= 255:
        return NoAnswer(reason=f"status {answer.status} without anything to refer to")
    return Declined(code=code, reference=request_id)
