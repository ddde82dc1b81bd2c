"""Stripe's objects, as far as they are read here, and what they say of a charge. Pure.

Fields: https://docs.stripe.com/api/payment_intents/object, https://docs.stripe.com/api/errors.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from payment_svc.application.gateway import Charged, Declined, NoAnswer

# Printable ASCII: they are kept, and shown. \Z and not $: a dollar would let a final newline pass.
Id = Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]{1,255}\Z")]
Code = Annotated[str, msgspec.Meta(pattern=r"^[\x20-\x7e]{1,64}\Z")]

# What a declined charge is called where Stripe has no decline code for it.
AUTHENTICATION_REQUIRED = "authentication_required"
CANCELED = "payment_canceled"
INVALID_METHOD = "invalid_payment_method"
UNSPECIFIED = "card_declined"


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request, or the last try to charge, failed."""

    type: Code | None = None
    code: Code | None = None
    decline_code: Code | None = None  # the issuer's reason, where it is the issuer who said no
    param: str | None = None  # the request's field that is wrong
    payment_intent: PaymentIntent | None = None  # as the failed request has left it


class PaymentIntent(msgspec.Struct, frozen=True, kw_only=True):
    """One charge, from its making to its end."""

    id: Id
    amount: int  # Stripe's units: see stripe_money
    amount_received: int = 0
    currency: str  # ISO 4217 in lower case
    status: str
    metadata: dict[str, str] = {}
    last_payment_error: Error | None = None


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """Money given back (https://docs.stripe.com/api/refunds/object)."""

    id: Id
    amount: int  # Stripe's units
    currency: str  # ISO 4217 in lower case
    status: str
    metadata: dict[str, str] = {}
    failure_reason: Code | None = None


def decline_code(error: Error) -> str:
    """The most telling word there is: the issuer's, else the API's, else that there is none."""
    return error.decline_code or error.code or UNSPECIFIED


def settled(intent: PaymentIntent) -> Charged | Declined | NoAnswer:
    """What became of a charge that was created and confirmed in one call, off session.

    Statuses: https://docs.stripe.com/payments/paymentintents/lifecycle. An intent that waits for the customer
    (`requires_action`) is a decline: nobody is given its secret, so nobody can complete it. One that has not
    been tried yet, or that is being charged, says nothing.
    """
    match intent.status, intent.last_payment_error:
        case "succeeded", _ if intent.amount_received == intent.amount:
            return Charged(reference=intent.id)
        case "succeeded", _:
            return NoAnswer(reason=f"received {intent.amount_received} of {intent.amount}", outage=False)
        case "requires_payment_method", Error() as error:
            return Declined(code=decline_code(error), reference=intent.id)
        case "requires_action", _:
            return Declined(code=AUTHENTICATION_REQUIRED, reference=intent.id)
        case "canceled", error:
            return Declined(code=decline_code(error) if error else CANCELED, reference=intent.id)
    return NoAnswer(reason=f"the payment intent is {intent.status}"[:200], outage=False)


def given_back(refund: Refund) -> Charged | Declined | NoAnswer:
    """What became of a refund. One that is `pending` may still fail, days later."""
    match refund.status:
        case "succeeded":
            return Charged(reference=refund.id)
        case "failed" | "canceled":
            return Declined(code=refund.failure_reason or f"refund_{refund.status}", reference=refund.id)
    return NoAnswer(reason=f"the refund is {refund.status}"[:200], outage=False)
