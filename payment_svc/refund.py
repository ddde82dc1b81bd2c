"""Refunds and chargebacks: what may be taken back, and what becomes of an attempt when it is. Pure.

A refund is an attempt of its own: it has its own idempotency key and goes through the same states as any
other. A chargeback has happened already when it is told of; nothing is asked of the gateway.
"""

from datetime import datetime

from payment_svc import reversal
from payment_svc.attempt import Account, Attempt, Payment, Refused
from payment_svc.payoff import Payoff
from payment_svc.reversal import Reversal


def start(
    account: Account,
    payments: list[Payment],
    original: Attempt,
    attempt_id: str,
    command_id: str,
    amount: int | None,
    reason: str,
    now: datetime,
) -> Attempt:
    """Begin to give back what an attempt collected; `amount` None: all that is left of it.

    `payments`: the one it was for, or all of the lease for a payoff; nothing else can begin on them until the
    refund is settled. Raises Refused: 409 for their state or the attempt's, 422 for the amount.
    """
    _may_be_taken_back(account, payments, original)
    if amount is None and not original.left:
        raise Refused(409, "Nothing of what this attempt collected is left to be given back.")
    if amount is not None and amount > original.left:
        raise Refused(422, f"must be at most {original.left}, what is left of this attempt", "/amount")
    if original.payment_id is None:
        account.payoff_in_flight = attempt_id
    else:
        payments[0].in_flight = attempt_id
    return _attempt(
        original,
        attempt_id=attempt_id,
        command_id=command_id,
        kind="refund",
        amount=original.left if amount is None else amount,
        status="started",
        reason=reason,
        created_at=now,
    )


def charge_back(
    account: Account,
    payments: list[Payment],
    original: Attempt,
    attempt_id: str,
    command_id: str,
    notice_id: str,
    amount: int,
    reason: str,
    now: datetime,
) -> Attempt:
    """The issuer has taken back what an attempt collected.

    Raises Refused: 409 while an attempt or refund on the same money is in flight (its outcome decides what is
    left), or where there is nothing to be taken back; 422 where it is more than is left.
    """
    _may_be_taken_back(account, payments, original)
    if amount > original.left:
        raise Refused(422, f"must be at most {original.left}, what is left of this attempt", "/amount")
    return _attempt(
        original,
        attempt_id=attempt_id,
        command_id=command_id,
        kind="chargeback",
        amount=amount,
        status="succeeded",
        reason=reason,
        created_at=now,
        settled_at=now,
        notice_id=notice_id,
        gateway_reference=original.gateway_reference,
    )


def paid_in_full(payments: list[Payment], original: Attempt) -> set[int]:
    """The numbers of those instalments that an attempt's money has paid in full, also where a part went back.

    `payments`: those it was for, as they are before more of it is taken back. A payoff pays all that is open.
    """
    return {
        payment.number
        for payment in payments
        if original.payoff is not None
        or payment.cancelled_by_payoff
        or payment.paid.total + original.refunded >= payment.owed.total
    }


def take_back(
    account: Account, payments: list[Payment], original: Attempt, amount: int, standing: Payoff | None
) -> Reversal:
    """The money is gone: undo what it had paid. `standing`: the payoff that `payoff_standing` names.

    On a lease that was closed nothing is owed again.
    """
    before = original.refunded
    original.refunded += amount
    closed = account.closed is not None
    if original.payoff is None:
        return reversal.of_instalment(payments[0], amount, standing, closed=closed)
    if original.after_closing:
        return reversal.of_arrived(original.payoff, before, amount)
    undone = reversal.of_payoff(payments, original.payoff, before, amount, standing, closed=closed)
    if not original.left and account.payoff_standing == original.attempt_id:
        account.payoff_standing = None
    return undone


def _may_be_taken_back(account: Account, payments: list[Payment], original: Attempt) -> None:
    if original.refunds is not None:
        raise Refused(409, f"This attempt is a {original.kind} itself.")
    if original.status != "succeeded":
        raise Refused(409, f"This attempt is {original.status}: it has collected nothing.")
    if account.payoff_in_flight or any(payment.in_flight for payment in payments):
        raise Refused(409, "An attempt on the same money is in flight; its outcome has to be known first.")


def _attempt(original: Attempt, **own: object) -> Attempt:
    return Attempt(
        lease_id=original.lease_id,
        payment_id=original.payment_id,
        number=original.number,
        currency=original.currency,
        payment_method=original.payment_method,
        refunds=original.attempt_id,
        **own,  # type: ignore[arg-type]
    )
