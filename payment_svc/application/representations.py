"""Payments, attempts and payoff quotes as clients see them."""

from datetime import date
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from common.kernel.clock import rfc3339
from common.kernel.money import MinorUnits
from payment_svc.contracts.events import AutopayStop, Kind, PaymentStatus, Waived
from payment_svc.domain.attempt import Account, Attempt, AttemptStatus, Payment
from payment_svc.domain.declines import Decline
from payment_svc.domain.payoff import Breakdown, Payoff
from payment_svc.domain.payoff_quote import Quote


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """An instalment to be collected."""

    payment_id: Annotated[str, Meta(description="the instalment's payment, UUIDv7")]
    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    number: Annotated[int, Meta(description="1, 2, 3 …")]
    due_date: Annotated[date, Meta(description="the day it falls due")]
    currency: Annotated[str, Meta(description="ISO 4217")]
    amount: MinorUnits
    amount_paid: MinorUnits
    amount_due: Annotated[int, Meta(description="minor units still to be paid")]
    status: Annotated[PaymentStatus, Meta(description="what became of it")]
    attempts: Annotated[int, Meta(description="tries so far")]
    next_retry_at: Annotated[
        str | None,
        Meta(description="RFC 3339: of autopay; null: none is planned, or autopay is off or stopped"),
    ]
    last_attempt_id: str | None
    autopay_stopped: Annotated[
        AutopayStop | None, Meta(description="why autopay collects nothing of it; null: nothing stops that")
    ]


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One try to move money."""

    attempt_id: Annotated[str, Meta(description="the attempt, UUIDv7; also the gateway's idempotency key")]
    payment_id: Annotated[str | None, Meta(description="null: a payoff")]
    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    kind: Annotated[Kind, Meta(description="what was to be collected, or taken back")]
    amount: MinorUnits
    currency: Annotated[str, Meta(description="ISO 4217")]
    payment_method: Annotated[str, Meta(description="the token that was charged; never a card number")]
    status: Annotated[AttemptStatus, Meta(description="what became of it")]
    decline: Annotated[Decline | None, Meta(description="why, and what to do about it")]
    gateway_reference: Annotated[str | None, Meta(description="the gateway's id of the charge")]
    created_at: Annotated[str, Meta(description="RFC 3339")]
    settled_at: Annotated[str | None, Meta(description="RFC 3339")]
    payment: Annotated[PaymentView | None, Meta(description="the instalment now; null: a payoff")]
    breakdown: Annotated[Breakdown | None, Meta(description="of a payoff: how the amount comes about")]
    quote_id: Annotated[
        str | None, Meta(description="of a payoff: the quote it was to pay; null: none was cited")
    ]
    refund_due: Annotated[
        int, Meta(description="of a payoff: minor units of interest paid ahead that go back by themselves")
    ] = 0
    waived: Annotated[
        Waived, Meta(description="of a payoff: late fees assessed after its amount was fixed, no longer owed")
    ] = Waived()
    amount_refunded: Annotated[int, Meta(description="minor units of it that were given or taken back")]
    refunds: Annotated[
        str | None, Meta(description="of a refund or chargeback: the attempt whose money it takes back")
    ]
    reason: Annotated[str | None, Meta(description="of a refund or chargeback")]


class AutopayView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether and with what autopay collects a lease's instalments."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    autopay: Annotated[
        bool, Meta(description="whether instalments are to be collected without being asked for")
    ]
    payment_method: Annotated[str | None, Meta(description="what it charges; null: none was ever named")]
    autopay_stopped: Annotated[
        AutopayStop | None, Meta(description="why it charges nothing of the lease; null: not stopped")
    ]


class PayoffEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What it would cost to pay a lease off on a day; it binds nobody."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    as_of: Annotated[date, Meta(description="the day the payoff was reckoned for")]
    amount: MinorUnits
    currency: Annotated[str, Meta(description="ISO 4217")]
    breakdown: Annotated[Breakdown, Meta(description="how the amount comes about")]
    interest_saved: Annotated[
        int,
        Meta(description="minor units that would no longer be owed, or were paid ahead and are not earned"),
    ]
    refund_due: Annotated[
        int,
        Meta(
            description="minor units that would go back to the customer; above 0 only where the amount is 0"
        ),
    ] = 0


class PayoffQuote(PayoffEstimate, frozen=True, kw_only=True):
    """What it costs to pay a lease off, promised."""

    quote_id: Annotated[str, Meta(description="to be cited when paying, once")]
    expires_at: Annotated[str, Meta(description="RFC 3339, exclusive: the midnight (UTC) that ends the day")]


def attempt_url(attempt_id: str) -> str:
    """Where an attempt can be read."""
    return f"/api/v1/attempts/{attempt_id}"


def payment_view(payment: Payment, account: Account) -> PaymentView:
    """A payment for an answer. What stops the lease's method stops each open instalment."""
    stopped, retry_at = None, None
    if account.autopay and payment.open:
        stopped = payment.autopay_stopped or account.autopay_stopped
        retry_at = payment.next_retry_at if stopped is None else None
    return PaymentView(
        payment_id=payment.payment_id,
        lease_id=payment.lease_id,
        number=payment.number,
        due_date=payment.due_date,
        currency=account.currency,
        amount=payment.owed.total,
        amount_paid=payment.paid.total,
        amount_due=payment.amount_due,
        status=payment.shown_status,
        attempts=payment.attempts,
        next_retry_at=rfc3339(retry_at) if retry_at else None,
        last_attempt_id=payment.last_attempt_id,
        autopay_stopped=stopped,
    )


def attempt_view(attempt: Attempt, payment: Payment | None, account: Account) -> AttemptView:
    """An attempt for an answer, with its payment where it has one."""
    return AttemptView(
        attempt_id=attempt.attempt_id,
        payment_id=attempt.payment_id,
        lease_id=attempt.lease_id,
        kind=attempt.kind,
        amount=attempt.amount,
        currency=attempt.currency,
        payment_method=attempt.payment_method,
        status=attempt.status,
        decline=attempt.decline,
        gateway_reference=attempt.gateway_reference,
        created_at=rfc3339(attempt.created_at),
        settled_at=rfc3339(attempt.settled_at) if attempt.settled_at else None,
        payment=payment_view(payment, account) if payment else None,
        breakdown=attempt.payoff.breakdown if attempt.payoff else None,
        quote_id=attempt.payoff.quote_id if attempt.payoff else None,
        refund_due=attempt.refund_due,
        waived=Waived(late_fees=attempt.late_fees_waived),
        amount_refunded=attempt.refunded,
        refunds=attempt.refunds,
        reason=attempt.reason,
    )


def autopay_view(account: Account) -> AutopayView:
    """Autopay of a lease for an answer."""
    return AutopayView(
        lease_id=account.lease_id,
        autopay=account.autopay,
        payment_method=account.payment_method,
        autopay_stopped=account.autopay_stopped,
    )


def estimate_view(account: Account, payoff: Payoff) -> PayoffEstimate:
    """A payoff that nobody has promised, for an answer."""
    return PayoffEstimate(**_payoff(account, payoff))


def quote_view(account: Account, quote: Quote) -> PayoffQuote:
    """A quote for an answer."""
    return PayoffQuote(
        **_payoff(account, quote.payoff), quote_id=quote.quote_id, expires_at=rfc3339(quote.expires_at)
    )


def _payoff(account: Account, payoff: Payoff) -> dict[str, Any]:
    return {
        "lease_id": account.lease_id,
        "as_of": payoff.as_of,
        "amount": payoff.amount,
        "currency": account.currency,
        "breakdown": payoff.breakdown,
        "interest_saved": payoff.interest_saved,
        "refund_due": payoff.refund_due,
    }
