"""Webhooks as the gateway sends them: bodies in the shape of Stripe's events, and their signatures.

Written from Stripe's documents, not with the service's code.
"""

import hashlib
import hmac
import json
import time
import uuid
from typing import Any

PATH = "/api/v1/webhooks/gateway"


def signature(body: bytes, secret: str, *, age_s: int = 0) -> str:
    """The `Stripe-Signature` header, made so many seconds ago."""
    at = str(int(time.time()) - age_s)
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def event(type_: str, thing: dict[str, Any], *, age_s: int = 0) -> bytes:
    """An event about a thing."""
    created = int(time.time()) - age_s
    told = {"id": f"evt_{uuid.uuid4()}", "object": "event", "type": type_, "created": created}
    return json.dumps(told | {"data": {"object": thing}}).encode()


def settled(attempt: dict[str, Any], reference: str, code: str | None = None, **changes: Any) -> bytes:
    """How the charge of an attempt ended: with this decline code, or well."""
    intent = {
        "id": reference,
        "object": "payment_intent",
        "amount": attempt["amount"],
        "amount_received": 0 if code else attempt["amount"],
        "currency": attempt["currency"].lower(),
        "status": "requires_payment_method" if code else "succeeded",
        "metadata": {"attempt_id": attempt["attempt_id"]},
        "last_payment_error": {"decline_code": code} if code else None,
    }
    return event(f"payment_intent.{'payment_failed' if code else 'succeeded'}", intent | changes)


def disputed(reference: str, amount: int, *, age_s: int = 0, **changes: Any) -> bytes:
    """The issuer has taken an amount of a charge back."""
    dispute = {
        "id": f"dp_{uuid.uuid4()}",
        "object": "dispute",
        "amount": amount,
        "currency": "usd",
        "charge": reference,
        "reason": "fraudulent",
        "status": "needs_response",
    }
    return event("charge.dispute.created", dispute | changes, age_s=age_s)


def refunded(reference: str, amount: int) -> bytes:
    """So much of a charge has been given back so far."""
    charge = {"id": reference, "object": "charge", "amount_refunded": amount, "currency": "usd"}
    return event("charge.refunded", charge)
