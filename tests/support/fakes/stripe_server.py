"""A server that speaks the documented shapes of Stripe's PaymentIntents and Refunds, for the adapter's tests.

It is strict: a parameter that Stripe does not know, or one that is missing, is refused as Stripe refuses it.
What it does to a charge is said by the payment method (Stripe's names for test cards) and by `trouble`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

API_KEY = "sk_test_0123456789"
DECLINES = {
    "pm_card_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_chargeDeclinedLostCard": ("card_declined", "lost_card"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", None),
    "pm_card_authenticationRequired": ("authentication_required", "authentication_required"),
}
CUSTOMERS = {"pm_saved": "cus_1"}  # payment methods that may be charged together with their customer only
PARAMETERS = {
    "amount", "currency", "customer", "payment_method", "payment_method_types[]",
    "confirm", "off_session", "error_on_requires_action",
}  # fmt: skip
SEARCH = re.compile(r"metadata\['idempotency_key'\]:'((?:[^'\\]|\\.)*)'")


class StripeServer:
    """One account."""

    def __init__(self) -> None:
        self.trouble: str | None = None  # see `create`
        self.intents: dict[str, dict[str, Any]] = {}  # by id: what really happened
        self.refunds: list[dict[str, Any]] = []
        self.searchable: list[str] = []  # ids that the search shows: it lags behind until `index()`
        self.requests: list[dict[str, str]] = []  # the forms of all charges that came in
        self._saved: dict[str, tuple[dict[str, str], int, dict[str, Any]]] = {}  # by idempotency key
        self._in_use: set[str] = set()

    def index(self) -> None:
        """Let the search catch up."""
        self.searchable = list(self.intents)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/payment_intents`, with idempotency around it."""
        if refused := self._refused(request):
            return refused
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.requests.append(form)
        if self.trouble == "rate limit":
            return _error(429, "invalid_request_error", code="rate_limit")
        key = request.headers["Idempotency-Key"]
        if key in self._in_use:
            return _error(409, "invalid_request_error", code="idempotency_key_in_use")
        if key in self._saved:
            params, status, body = self._saved[key]
            if params != form:
                return _error(400, "idempotency_error")
            return _answer(status, body, {"Idempotent-Replayed": "true"})
        if wrong := self._wrong(form):
            return wrong  # not saved: nothing was executed
        if self.trouble == "lock timeout":
            return _error(429, "invalid_request_error", code="lock_timeout")
        self._in_use.add(key)
        try:
            status, body = self._charge(form)
            if self.trouble == "500 after the charge":
                status, body = 500, {"error": {"type": "api_error", "message": "Sorry"}}
            if self.trouble == "slow":
                await asyncio.sleep(0.5)
            self._saved[key] = (form, status, body)
        finally:
            self._in_use.discard(key)
        if self.trouble == "cut" and request.transport is not None:
            request.transport.abort()
        return _answer(status, body)

    async def search(self, request: web.Request) -> web.Response:
        """`GET /v1/payment_intents/search`: exact match of one value of the metadata, in any case."""
        if refused := self._refused(request):
            return refused
        match = SEARCH.fullmatch(request.query["query"])
        if match is None or set(request.query) != {"query", "limit"}:
            return _error(400, "invalid_request_error", param="query")
        key = re.sub(r"\\(.)", r"\1", match[1])
        found = [
            self.intents[id_]
            for id_ in self.searchable
            if self.intents[id_]["metadata"]["idempotency_key"].lower() == key.lower()
        ]
        limit = int(request.query["limit"])
        page = {"object": "search_result", "url": "/v1/payment_intents/search", "data": found[:limit]}
        return _answer(200, page | {"has_more": len(found) > limit, "next_page": None})

    async def refund(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/refunds`, with idempotency around it."""
        if refused := self._refused(request):
            return refused
        form = {name: str(value) for name, value in (await request.post()).items()}
        if self.trouble == "rate limit":
            return _error(429, "invalid_request_error", code="rate_limit")
        key = request.headers["Idempotency-Key"]
        if key in self._saved:
            params, status, body = self._saved[key]
            return _answer(status, body) if params == form else _error(400, "idempotency_error")
        intent = self.intents.get(form["payment_intent"])
        if intent is None:
            return _error(404, "invalid_request_error", code="resource_missing", param="payment_intent")
        given = sum(each["amount"] for each in self.refunds if each["payment_intent"] == intent["id"])
        if given == intent["amount_received"]:
            return _error(400, "invalid_request_error", code="charge_already_refunded")
        if given + int(form["amount"]) > intent["amount_received"]:
            return _error(400, "invalid_request_error", param="amount")
        refund = {
            "id": f"re_{len(self.refunds) + 1}",
            "object": "refund",
            "amount": int(form["amount"]),
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "metadata": {name[9:-1]: value for name, value in form.items() if name.startswith("metadata[")},
            "status": {"processing": "pending", "failed": "failed"}.get(self.trouble or "", "succeeded"),
        }
        if self.trouble == "failed":
            refund["failure_reason"] = "lost_or_stolen_card"
        self.refunds.append(refund)
        self._saved[key] = (form, 200, refund)
        if self.trouble == "cut" and request.transport is not None:
            request.transport.abort()
        return _answer(200, refund)

    async def list_refunds(self, request: web.Request) -> web.Response:
        """`GET /v1/refunds`: those of one payment intent."""
        if refused := self._refused(request):
            return refused
        found = [each for each in self.refunds if each["payment_intent"] == request.query["payment_intent"]]
        return _answer(200, {"object": "list", "data": found, "has_more": False})

    def _refused(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {API_KEY}":
            return _error(401, "invalid_request_error", message="Invalid API Key provided: sk_test_***6789")
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", request.headers["Stripe-Version"])
        return None

    def _wrong(self, form: dict[str, str]) -> web.Response | None:
        for name in form:
            if name not in PARAMETERS and not re.fullmatch(r"metadata\[\w{1,40}\]", name):
                return _error(400, "invalid_request_error", code="parameter_unknown", param=name)
        if not re.fullmatch(r"[1-9]\d{0,7}", form["amount"]):
            return _error(400, "invalid_request_error", code="parameter_invalid_integer", param="amount")
        if form["currency"] == "usd" and int(form["amount"]) < 50:
            return _error(400, "invalid_request_error", code="amount_too_small", param="amount")
        if not re.fullmatch(r"[a-z]{3}", form["currency"]):
            return _error(400, "invalid_request_error", param="currency")
        method = form["payment_method"]
        if method not in {"pm_card_visa", *DECLINES, *CUSTOMERS}:
            return _error(400, "invalid_request_error", code="resource_missing", param="payment_method")
        if form.get("customer") != CUSTOMERS.get(method):
            return _error(400, "invalid_request_error", param="customer")
        flags = ("confirm", "off_session", "error_on_requires_action")
        assert [form[flag] for flag in flags] == ["true"] * 3
        assert form["payment_method_types[]"] == "card"
        return None

    def _charge(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        intent: dict[str, Any] = {
            "id": f"pi_{len(self.intents) + 1}",
            "object": "payment_intent",
            "amount": int(form["amount"]),
            "amount_received": int(form["amount"]),
            "currency": form["currency"],
            "last_payment_error": None,
            "metadata": {name[9:-1]: value for name, value in form.items() if name.startswith("metadata[")},
            "next_action": None,
            "status": "succeeded",
        }
        self.intents[intent["id"]] = intent
        if form["payment_method"] in DECLINES:
            code, decline_code = DECLINES[form["payment_method"]]
            error = {"type": "card_error", "code": code, "message": "Your card was declined."}
            error |= {"decline_code": decline_code} if decline_code else {}
            intent |= {"status": "requires_payment_method", "amount_received": 0, "last_payment_error": error}
            return 402, {"error": {**error, "payment_intent": intent}}
        if self.trouble == "processing":
            intent |= {"status": "processing", "amount_received": 0}
        return 200, intent


def _answer(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(body, status=status, headers={"Request-Id": "req_1", **(headers or {})})


def _error(status: int, type_: str, **more: str) -> web.Response:
    return _answer(status, {"error": {"type": type_, "message": "No.", **more}})


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[StripeServer, str]]:
    """The server and its base URL, while the block runs."""
    server = StripeServer()
    app = web.Application()
    app.router.add_post("/v1/payment_intents", server.create)
    app.router.add_get("/v1/payment_intents/search", server.search)
    app.router.add_post("/v1/refunds", server.refund)
    app.router.add_get("/v1/refunds", server.list_refunds)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield server, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
