"""Webhooks in the shape of Stripe's events, and what is read from them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from payment_svc.adapters.gateways.stripe.webhook_events import (
    ChargedBack,
    ChargeSettled,
    NotANotice,
    Refunded,
    RefundFailed,
    Reinstated,
    read,
)
from payment_svc.application.gateway import Charged, Declined

CREATED = datetime(2027, 1, 16, 14, 5, 30, tzinfo=UTC)
INTENT: dict[str, Any] = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 13162,
    "amount_received": 13162,
    "currency": "usd",
    "last_payment_error": None,
    "metadata": {"idempotency_key": "att-1", "attempt_id": "att-1", "lease_id": "lea-1"},
    "status": "succeeded",
}
FAILED = INTENT | {
    "amount_received": 0,
    "status": "requires_payment_method",
    "last_payment_error": {
        "type": "card_error",
        "code": "card_declined",
        "decline_code": "insufficient_funds",
        "payment_method": {"id": "pm_1", "object": "payment_method"},
    },
}
CHARGE: dict[str, Any] = {
    "id": "ch_1",
    "object": "charge",
    "amount": 13162,
    "amount_refunded": 5000,
    "currency": "usd",
    "metadata": {"attempt_id": "att-1"},
    "payment_intent": "pi_1",
    "refunded": False,
}
DISPUTE: dict[str, Any] = {
    "id": "dp_1",
    "object": "dispute",
    "amount": 13162,
    "charge": "ch_1",
    "currency": "usd",
    "metadata": {},
    "payment_intent": "pi_1",
    "reason": "fraudulent",
    "status": "needs_response",
}


def event(type_: str, thing: Any, **changes: Any) -> bytes:
    whole = {
        "id": "evt_1",
        "object": "event",
        "api_version": "2024-06-20",
        "created": int(CREATED.timestamp()),
        "data": {"object": thing},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": "req_1", "idempotency_key": "att-1"},
        "type": type_,
    }
    return json.dumps(whole | changes).encode()


def test_charged() -> None:
    """The money moved: whose charge it is, how much, and under which reference."""
    assert read(event("payment_intent.succeeded", INTENT)) == ChargeSettled(
        notice_id="evt_1",
        created=CREATED,
        attempt_id="att-1",
        amount=13162,
        currency="USD",
        result=Charged(reference="pi_1"),
    )


def test_declined() -> None:
    """The issuer said no, with its code."""
    notice = read(event("payment_intent.payment_failed", FAILED))
    assert isinstance(notice, ChargeSettled)
    assert notice.result == Declined(code="insufficient_funds", reference="pi_1")


@pytest.mark.parametrize("type_", ["charge.dispute.created", "charge.dispute.funds_withdrawn"])
def test_charged_back(type_: str) -> None:
    """Both events of one dispute say the same, under the same dispute_id."""
    assert read(event(type_, DISPUTE)) == ChargedBack(
        notice_id="evt_1",
        created=CREATED,
        gateway_reference="pi_1",
        attempt_id=None,
        dispute_id="dp_1",
        amount=13162,
        currency="USD",
        reason="fraudulent",
    )


def test_charged_back_without_a_payment_intent() -> None:
    """A gateway that knows charges only, and whose they are, as the sandbox does."""
    notice = read(
        event(
            "charge.dispute.created", DISPUTE | {"payment_intent": None, "metadata": {"attempt_id": "att-1"}}
        )
    )
    assert isinstance(notice, ChargedBack)
    assert (notice.gateway_reference, notice.attempt_id) == ("ch_1", "att-1")


@pytest.mark.parametrize("status", ["warning_needs_response", "warning_closed", "won", "prevented"])
def test_an_inquiry_takes_no_money(status: str) -> None:
    """A dispute that begins as an inquiry is no chargeback; when funds are withdrawn, it is one."""
    dispute = DISPUTE | {"status": status}
    assert read(event("charge.dispute.created", dispute)) is None
    assert isinstance(read(event("charge.dispute.funds_withdrawn", dispute)), ChargedBack)


def test_refunded() -> None:
    """All that was refunded so far, so that repeats and reordering do no harm."""
    assert read(event("charge.refunded", CHARGE)) == Refunded(
        notice_id="evt_1",
        created=CREATED,
        gateway_reference="pi_1",
        attempt_id="att-1",
        amount_refunded=5000,
        currency="USD",
    )


def test_amounts_are_in_our_minor_units() -> None:
    """Stripe's 500 are 5 UGX."""
    notice = read(event("charge.refunded", CHARGE | {"currency": "ugx", "amount_refunded": 500}))
    assert isinstance(notice, Refunded)
    assert (notice.amount_refunded, notice.currency) == (5, "UGX")


@pytest.mark.parametrize(
    "body",
    [
        event("customer.created", {"id": "cus_1"}),
        event("payment_intent.created", INTENT),
        event("payment_intent.succeeded", INTENT | {"metadata": {}}),
        event("payment_intent.succeeded", INTENT | {"amount_received": 1}),
        event("payment_intent.payment_failed", INTENT | {"status": "processing"}),
    ],
)
def test_of_no_concern(body: bytes) -> None:
    """Other types, other people's charges, and what settles nothing: no mistake, and nothing to do."""
    assert read(body) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        event("charge.refunded", None),
        event("charge.refunded", CHARGE | {"amount_refunded": "5000"}),
        event("charge.refunded", CHARGE | {"amount_refunded": -1}),
        event("charge.refunded", CHARGE | {"currency": "xyz"}),
        event("charge.refunded", CHARGE | {"currency": "isk", "amount_refunded": 550}),
        event("charge.dispute.created", DISPUTE | {"id": ""}),
        event("charge.dispute.created", DISPUTE | {"reason": None}),
        event("payment_intent.succeeded", INTENT | {"metadata": {"attempt_id": 1}}),
        event("payment_intent.succeeded", INTENT, created=-1),
        event("payment_intent.succeeded", INTENT, created=10**12),
        event("payment_intent.succeeded", INTENT, id=None),
        event("payment_intent.succeeded", INTENT).replace(b"pi_1", b"\xff\xfe"),
    ],
)
def test_not_a_notice(body: bytes) -> None:
    """What is no event, or has not the shape of its type, is told apart from what is of no concern."""
    with pytest.raises(NotANotice):
        read(body)


def test_reinstated() -> None:
    """A dispute that was won: the money is back with the gateway."""
    assert read(event("charge.dispute.funds_reinstated", DISPUTE | {"status": "won"})) == Reinstated(
        notice_id="evt_1",
        created=CREATED,
        gateway_reference="pi_1",
        attempt_id=None,
        dispute_id="dp_1",
        amount=13162,
        currency="USD",
    )


REFUND: dict[str, Any] = {
    "id": "re_1",
    "object": "refund",
    "amount": 5000,
    "currency": "usd",
    "failure_reason": "lost_or_stolen_card",
    "metadata": {"attempt_id": "att-2"},
    "status": "failed",
}


@pytest.mark.parametrize("type_", ["charge.refund.updated", "refund.updated", "refund.failed"])
def test_a_refund_that_failed_later(type_: str) -> None:
    """All its events say the same; those that tell of anything else but a failure are of no concern."""
    assert read(event(type_, REFUND)) == RefundFailed(
        notice_id="evt_1",
        created=CREATED,
        refund_reference="re_1",
        attempt_id="att-2",
        amount=5000,
        currency="USD",
        reason="lost_or_stolen_card",
    )
    for status in ("pending", "succeeded"):
        assert read(event(type_, REFUND | {"status": status})) is None
