"""From a webhook's body, in the shape of Stripe's events, to what it says in this service's own words. Pure.

Shapes: https://docs.stripe.com/api/events and https://docs.stripe.com/api/events/types. Webhooks come more
than once and in any order. So every notice carries what tells a repeat (`notice_id`, `dispute_id`), and
amounts are totals rather than differences: a later notice includes an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from payment_svc.adapters.gateways.stripe.amounts import from_stripe
from payment_svc.adapters.gateways.stripe.objects import Code, Id, PaymentIntent, Refund, settled
from payment_svc.application.gateway import Charged, Declined, NoAnswer

Amount = Annotated[int, msgspec.Meta(ge=0, le=10**17)]  # Stripe's units; more than any charge of a lease


class ChargeSettled(msgspec.Struct, frozen=True, kw_only=True):
    """A charge has come to its end."""

    notice_id: str  # the gateway's id of the notice; a repeat has the same
    created: datetime  # when it happened, to the second
    attempt_id: str  # whose charge it is; also its idempotency key
    amount: int  # minor units that were to be charged
    currency: str  # ISO 4217
    result: Charged | Declined


class ChargedBack(msgspec.Struct, frozen=True, kw_only=True):
    """The issuer has taken a charge's money back; told once or twice per dispute."""

    notice_id: str
    created: datetime
    gateway_reference: str  # of the charge, as `Charged` gave it
    attempt_id: str | None  # null: the gateway does not say; Stripe's disputes do not
    dispute_id: str  # the gateway's; the same in everything that is told of this dispute
    amount: int  # minor units taken back
    currency: str
    reason: str  # the gateway's word for it, such as "fraudulent"


class Refunded(msgspec.Struct, frozen=True, kw_only=True):
    """A charge's money was given back, wholly or in part, whoever asked for it."""

    notice_id: str
    created: datetime
    gateway_reference: str
    attempt_id: str | None
    amount_refunded: int  # minor units of all refunds of this charge so far
    currency: str


class Reinstated(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute was won: the issuer has given back what it had taken."""

    notice_id: str
    created: datetime
    gateway_reference: str  # of the charge
    attempt_id: str | None
    dispute_id: str
    amount: int  # minor units
    currency: str


class RefundFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A refund has come back, perhaps days after it had succeeded: the gateway has the money again."""

    notice_id: str
    created: datetime
    refund_reference: str  # the gateway's id of the refund
    attempt_id: str | None  # whose refund it is; null: the gateway does not say
    amount: int  # minor units
    currency: str
    reason: str  # the gateway's word for it, such as "lost_or_stolen_card"


Notice = ChargeSettled | ChargedBack | Refunded | Reinstated | RefundFailed


class NotANotice(ValueError):
    """The body is not an event, or not of the shape that its type has."""


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    object: msgspec.Raw


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    id: Id
    type: str
    created: Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]  # seconds since 1970; the year 9999
    data: _Data


class _Dispute(msgspec.Struct, frozen=True, kw_only=True):
    id: Id
    amount: Amount
    currency: str
    charge: Id
    payment_intent: Id | None = None
    reason: Code
    status: str
    metadata: dict[str, str] = {}


class _Charge(msgspec.Struct, frozen=True, kw_only=True):
    id: Id
    amount_refunded: Amount
    currency: str
    payment_intent: Id | None = None
    metadata: dict[str, str] = {}


def read(body: bytes) -> Notice | None:
    """What a webhook says; None where it is of no concern here, which is no mistake.

    Raises NotANotice. The body is to be checked with `signature.verify` before.
    """
    try:
        event = msgspec.json.decode(body, type=_Event)
        reader = _READERS.get(event.type)
        return reader(event) if reader else None
    except (ValueError, RecursionError) as error:  # msgspec's, UnicodeDecodeError, from_stripe's
        raise NotANotice(str(error)) from None


def _charge_settled(event: _Event) -> ChargeSettled | None:
    intent = msgspec.json.decode(event.data.object, type=PaymentIntent)
    attempt_id = intent.metadata.get("attempt_id")
    result = settled(intent)
    if not attempt_id or isinstance(result, NoAnswer):  # not made here, or not at its end
        return None
    return ChargeSettled(
        notice_id=event.id,
        created=datetime.fromtimestamp(event.created, UTC),
        attempt_id=attempt_id,
        amount=from_stripe(intent.amount, intent.currency),
        currency=intent.currency.upper(),
        result=result,
    )


def _dispute_created(event: _Event) -> ChargedBack | None:
    """A dispute may begin as an inquiry (`warning_…`) and take no money; if it does later, that is told."""
    status = msgspec.json.decode(event.data.object, type=_Dispute).status
    return _charged_back(event) if status in ("needs_response", "under_review", "lost") else None


def _charged_back(event: _Event) -> ChargedBack:
    dispute = msgspec.json.decode(event.data.object, type=_Dispute)
    return ChargedBack(
        notice_id=event.id,
        created=datetime.fromtimestamp(event.created, UTC),
        gateway_reference=dispute.payment_intent or dispute.charge,
        attempt_id=dispute.metadata.get("attempt_id"),
        dispute_id=dispute.id,
        amount=from_stripe(dispute.amount, dispute.currency),
        currency=dispute.currency.upper(),
        reason=dispute.reason,
    )


def _refunded(event: _Event) -> Refunded:
    charge = msgspec.json.decode(event.data.object, type=_Charge)
    return Refunded(
        notice_id=event.id,
        created=datetime.fromtimestamp(event.created, UTC),
        gateway_reference=charge.payment_intent or charge.id,
        attempt_id=charge.metadata.get("attempt_id"),
        amount_refunded=from_stripe(charge.amount_refunded, charge.currency),
        currency=charge.currency.upper(),
    )


def _reinstated(event: _Event) -> Reinstated:
    told = _charged_back(event)
    return Reinstated(
        notice_id=told.notice_id,
        created=told.created,
        gateway_reference=told.gateway_reference,
        attempt_id=told.attempt_id,
        dispute_id=told.dispute_id,
        amount=told.amount,
        currency=told.currency,
    )


def _refund_failed(event: _Event) -> RefundFailed | None:
    refund = msgspec.json.decode(event.data.object, type=Refund)
    if refund.status not in ("failed", "canceled"):  # how it went on until then is asked for
        return None
    return RefundFailed(
        notice_id=event.id,
        created=datetime.fromtimestamp(event.created, UTC),
        refund_reference=refund.id,
        attempt_id=refund.metadata.get("attempt_id"),
        amount=from_stripe(refund.amount, refund.currency),
        currency=refund.currency.upper(),
        reason=refund.failure_reason or refund.status,
    )


_READERS: dict[str, Callable[[_Event], Notice | None]] = {
    "payment_intent.succeeded": _charge_settled,
    "payment_intent.payment_failed": _charge_settled,
    "charge.refunded": _refunded,
    "charge.dispute.created": _dispute_created,
    "charge.dispute.funds_withdrawn": _charged_back,
    "charge.dispute.funds_reinstated": _reinstated,
    "charge.refund.updated": _refund_failed,
    "refund.updated": _refund_failed,
    "refund.failed": _refund_failed,
}
