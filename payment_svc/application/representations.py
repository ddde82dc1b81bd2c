"""Payments, attempts and payoff quotes as clients see them."""

from datetime import date
from typing import Any

import msgspec

from common.kernel.clock import rfc3339
from payment_svc.contracts.events import AutopayStop, Kind, PaymentStatus, Waived
from payment_svc.domain.attempt import Account, Attempt, AttemptStatus, Payment
from payment_svc.domain.declines import Decline
from payment_svc.domain.payoff import Breakdown, Payoff
from payment_svc.domain.payoff_quote import Quote


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """An instalment to be collected."""

    payment_id: str
    lease_id: str
    number: int  # 1, 2, 3 …
    due_date: date
    currency: str  # ISO 4217
    amount: int  # minor units
    amount_paid: int  # minor units
    amount_due: int  # minor units still to be paid
    status: PaymentStatus
    attempts: int  # tries so far
    next_retry_at: str | None  # RFC 3339: of autopay; null: none is planned, or autopay is off or stopped
    last_attempt_id: str | None
    autopay_stopped: AutopayStop | None  # why autopay collects nothing of it; null: nothing stops that


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One try to move money."""

    attempt_id: str
    payment_id: str | None  # null: a payoff
    lease_id: str
    kind: Kind
    amount: int  # minor units
    currency: str  # ISO 4217
    payment_method: str
    status: AttemptStatus
    decline: Decline | None
    gateway_reference: str | None
    created_at: str  # RFC 3339
    settled_at: str | None  # RFC 3339
    payment: PaymentView | None  # the instalment now; null: a payoff
    breakdown: Breakdown | None  # of a payoff: how the amount comes about
    quote_id: str | None  # of a payoff: the quote it was to pay; null: none was cited
    refund_due: int = 0  # of a payoff: minor units of interest paid ahead that go back by themselves
    waived: Waived = Waived()  # of a payoff: late fees assessed after its amount was fixed, no longer owed
    amount_refunded: int  # minor units of it that were given or taken back
    refunds: str | None  # of a refund or chargeback: the attempt whose money it takes back
    reason: str | None  # of a refund or chargeback


class AutopayView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether and with what autopay collects a lease's instalments."""

    lease_id: str
    autopay: bool
    payment_method: str | None  # what it charges; null: none was ever named
    autopay_stopped: AutopayStop | None  # why it charges nothing of the lease; null: not stopped


class PayoffEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What it would cost to pay a lease off on a day; it binds nobody."""

    lease_id: str
    as_of: date
    amount: int  # minor units
    currency: str  # ISO 4217
    breakdown: Breakdown
    interest_saved: int  # minor units that would no longer be owed, or were paid ahead and are not earned
    refund_due: int = 0  # minor units that would go back to the customer; above 0 only where the amount is 0


class PayoffQuote(PayoffEstimate, frozen=True, kw_only=True):
    """What it costs to pay a lease off, promised."""

    quote_id: str  # to be cited when paying, once
    expires_at: str  # RFC 3339, exclusive: the midnight (UTC) that ends the day


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
