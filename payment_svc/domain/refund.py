"""Refunds and chargebacks: what may be taken back, and what becomes of an attempt when it is. Pure.

A refund is an attempt of its own: it has its own idempotency key and goes through the same states as any
other. A chargeback has happened already when it is told of; nothing is asked of the gateway.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from payment_svc.domain import refund_allocation
from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import Account, Attempt, Payment, Refused
from payment_svc.domain.payoff import Payoff
from payment_svc.domain.refund_allocation import Reversal

REFUND_DUE = "refund_due"  # the reason of a refund that gives back what a payoff owes to the customer


class Given(NamedTuple):
    """A part of a payoff's `refund_due` that has gone back."""

    original: Attempt  # whose money it was
    amount: int  # minor units


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
    account.money_moves += 1
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


def give_due(original: Attempt, amount: int) -> Reversal:
    """What a payoff owed to the customer has gone back: interest that was paid ahead and is not earned.

    The payoff has seen to that; no instalment changes, and nothing is owed again.
    """
    original.refunded += amount
    return Reversal(allocation=Allocation(interest=amount), interest_owed_again=0, changed=[])


def paid_in_full(payments: list[Payment], original: Attempt) -> set[int]:
    """The numbers of those instalments that an attempt's money has paid in full, also where a part went back.

    `payments`: all of the lease, as they are before more of it is taken back. A payoff pays all that is open.
    Others than the one it was for may have been paid with it too, where money has moved.
    """
    return {
        payment.number
        for payment in payments
        if original.payoff is not None
        or (payment.number != original.number and payment.moved > 0 and payment.status == "paid")
        or (
            payment.number == original.number
            and (payment.cancelled_by_payoff or payment.paid.total + original.refunded >= payment.owed.total)
        )
    }


def take_back(
    account: Account,
    payments: list[Payment],
    original: Attempt,
    amount: int,
    standing: Payoff | None,
    given: Sequence[Given] = (),
) -> Reversal:
    """The money is gone: undo what it had paid. `standing`: the payoff that `payoff_standing` names.

    `payments`: all of the lease. On a lease that was closed nothing is owed again. `given`: what of the
    `refund_due` of `standing` has gone back.
    """
    if standing is not None and standing.of_nothing and not account.closed:
        return _undo(account, payments, original, amount, standing, given)
    before = original.refunded
    original.refunded += amount
    closed = account.closed is not None
    if original.payoff is None:
        assert original.number is not None
        return refund_allocation.of_instalment(payments, original.number, amount, standing, closed=closed)
    if original.after_closing:
        return refund_allocation.of_arrived(original.payoff, before, amount)
    undone = refund_allocation.of_payoff(payments, original.payoff, before, amount, standing, closed=closed)
    if not original.left and account.payoff_standing == original.attempt_id:
        account.payoff_standing = None
    return undone


def _undo(
    account: Account,
    payments: list[Payment],
    original: Attempt,
    amount: int,
    standing: Payoff,
    given: Sequence[Given],
) -> Reversal:
    """Undo a payoff of nothing, on which the taking back of any money ends, and take the money back.

    The lease owes what it would owe had the payoff never been. The interest that it gave back stays given
    back: it is not owed again. What it has not given back yet is not due any longer.
    """
    before = refund_allocation.state_of(payments)
    account.payoff_standing = None
    refund_allocation.of_nothing(payments, standing)
    refund_allocation.of_unearned(payments, standing, _whose(given))
    taken = take_back(account, payments, original, amount, None)
    return Reversal(
        allocation=standing.allocation + taken.allocation,
        interest_owed_again=standing.interest_saved - standing.refund_due + taken.interest_owed_again,
        late_fees_owed_again=standing.late_fees_waived + taken.late_fees_owed_again,
        refund_lapsed=standing.refund_due - sum(each.amount for each in given),
        changed=refund_allocation.changed_since(before, payments),
    )


def _whose(given: Sequence[Given]) -> dict[int, int]:
    """By number: what has gone back of the money of each instalment."""
    whose: Counter[int] = Counter()
    parts: Counter[str] = Counter()
    for original, amount in given:
        parts[original.attempt_id] += amount
    for original in {each.attempt_id: each for each, _ in given}.values():
        part = parts[original.attempt_id]
        if original.payoff is None:
            assert original.number is not None
            whose[original.number] += part
        else:  # nothing else has been taken back of it since
            whose.update(refund_allocation.shares(original.payoff, original.refunded - part, part))
    return whose


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
