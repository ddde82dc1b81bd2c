"""What it undoes when money that was collected is taken back, by a refund or a chargeback. Pure.

On an instalment, the order of allocation is reversed: principal is undone first, then interest, fees and late
fees. What a payoff has collected is put back from the last instalment it settled backwards, on each at most
what the payoff had put on it; so while only a part is taken back, exactly that part is owed again. The
interest which the payoff saved, and the late fees which it waived, are owed again only once all of it has
been taken back: then every instalment asks for what it asked for before.

A payoff of nothing has collected nothing that could be taken back. It stands on what was collected before,
and is undone as a whole (`of_nothing`) when any of that is taken back.
"""

from collections.abc import Mapping

from msgspec import Struct

from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import Payment
from payment_svc.domain.payoff import Payoff, Settled

NOTHING = Allocation()


class Reversal(Struct, frozen=True, kw_only=True):
    """What has been undone; money in minor units."""

    allocation: Allocation  # by what it had been collected for; of a payoff, interest may be negative
    interest_owed_again: int  # what a payoff had saved, once all of the payoff is taken back
    late_fees_owed_again: int = 0  # what a payoff had waived, likewise
    refund_lapsed: int = 0  # what an undone payoff would still have given back to the customer
    changed: list[Payment]  # in order of number


def principal_first(of: Allocation, amount: int) -> Allocation:
    """The part of an allocation that is undone first. Raises ValueError for an amount it does not hold.

    Negative interest, the credits of a payoff, is undone with the last of it.
    """
    if not 0 <= amount <= of.total:
        raise ValueError(f"amount must be 0 to {of.total}, what has been collected")
    if amount == of.total:
        return of
    principal = min(amount, of.principal)
    amount -= principal
    interest = min(amount, max(0, of.interest))
    amount -= interest
    fees = min(amount, of.fees)
    return Allocation(principal=principal, interest=interest, fees=fees, late_fees=amount - fees)


def of_instalment(
    payments: list[Payment], number: int, amount: int, standing: Payoff | None, *, closed: bool
) -> Reversal:
    """Take `amount` back from what was collected for one instalment; `payments`: all of the lease.

    `standing`: the payoff that has settled the lease, if any; `closed`: the lease was closed, so nothing is
    open again.
    """
    before = state_of(payments)
    [payment] = [each for each in payments if each.number == number]
    if not closed:
        _unsettle(payment, standing)
    own = principal_first(payment.paid, min(amount, payment.paid.total))
    payment.paid -= own
    undone = own + _elsewhere(payments, payment, amount - own.total, standing, closed)
    _restate(payment, closed)
    return Reversal(allocation=undone, interest_owed_again=0, changed=changed_since(before, payments))


def of_arrived(payoff: Payoff, before: int, amount: int) -> Reversal:
    """Take `amount` back from a payoff that found its lease closed and settled nothing; `before` is gone.

    Its money was on no instalment. It is undone by the same shares all the same, and the rest of what it was
    for with the last cent.
    """
    return Reversal(
        allocation=_undone_of(payoff, before + amount) - _undone_of(payoff, before),
        interest_owed_again=0,
        changed=[],
    )


def _undone_of(payoff: Payoff, amount: int) -> Allocation:
    if amount == payoff.amount:
        return payoff.allocation
    return sum(_shares_undone(payoff, amount).values(), NOTHING)


def of_payoff(
    payments: list[Payment],
    payoff: Payoff,
    before: int,
    amount: int,
    standing: Payoff | None,
    *,
    closed: bool,
) -> Reversal:
    """Take `amount` back from a payoff of which `before` was taken back already.

    `payments`: all of the lease; `standing`: the payoff that has settled it (this one or another), if any;
    `closed`: the lease was closed, so nothing is open again, and nothing owed.
    """
    before_it = state_of(payments)
    by_number = {payment.number: payment for payment in payments}
    whole = before + amount == payoff.amount
    taken = _shares_between(payoff, before, amount)
    undone = NOTHING
    for settled in payoff.instalments:
        payment, share = by_number[settled.number], taken[settled.number]
        if not (share.total or whole):
            continue
        _unsettle(payment, standing)
        undone += _take(payments, payment, share, standing, closed)
        if whole:
            undone += _owe_savings_again(payments, payment, settled, standing, closed)
            if not closed:
                _owe_late_fees_again(payment, settled)
        _restate(payment, closed)
    again = whole and not closed
    return Reversal(
        allocation=undone,
        interest_owed_again=payoff.interest_saved if again else 0,
        late_fees_owed_again=payoff.late_fees_waived if again else 0,
        changed=changed_since(before_it, payments),
    )


def of_nothing(payments: list[Payment], payoff: Payoff) -> None:
    """Undo a payoff that has collected nothing: its instalments are open and paid as they were before."""
    settled = {each.number: each for each in payoff.instalments}
    for payment in payments:
        if payment.number in settled:
            before = settled[payment.number]
            payment.cancelled_by_payoff = False
            payment.paid = before.paid
            _owe_late_fees_again(payment, before)
            payment.status = "paid"
            _restate(payment, closed=False)


def of_unearned(payments: list[Payment], payoff: Payoff, given: Mapping[int, int]) -> None:
    """Interest that an undone payoff gave back as unearned is neither owed nor paid any longer.

    `given`: by number, whose money it was. That may be less interest than there is on that instalment, or
    more; then it is interest of the others, and some of their money is on this one from now on (`moved`).
    """
    ahead = [each for each in reversed(payments) if each.due_date > payoff.as_of]
    left = sum(given.values())
    for payment in payments:
        payment.moved += given.get(payment.number, 0)
    for at_most in (given, None):
        for payment in ahead:
            part = min(left, payment.paid.interest)
            if at_most is not None:
                part = min(part, at_most.get(payment.number, 0))
            interest = Allocation(interest=part)
            payment.owed -= interest
            payment.paid -= interest
            payment.moved -= part
            left -= part
            _restate(payment, closed=False)


def shares(payoff: Payoff, before: int, amount: int) -> dict[int, int]:
    """By number: what is money of each instalment when `amount` more of a payoff goes, `before` gone."""
    return {number: share.total for number, share in _shares_between(payoff, before, amount).items()}


def _shares_between(payoff: Payoff, before: int, amount: int) -> dict[int, Allocation]:
    earlier, now = _shares_undone(payoff, before), _shares_undone(payoff, before + amount)
    return {number: now[number] - earlier[number] for number in now}


def state_of(payments: list[Payment]) -> dict[int, tuple[object, ...]]:
    """By number: what a reversal may change."""
    return {each.number: (each.owed, each.paid, each.status, each.moved) for each in payments}


def changed_since(before: dict[int, tuple[object, ...]], payments: list[Payment]) -> list[Payment]:
    """Those that are not as they were; `before`: of `state_of`."""
    now = state_of(payments)
    return [each for each in payments if now[each.number] != before[each.number]]


def _elsewhere(
    payments: list[Payment], payment: Payment, amount: int, standing: Payoff | None, closed: bool
) -> Allocation:
    """Take back money that was collected for an instalment and is not on it, but on others since; gives it.

    There is enough of it: what is on an instalment is what is left of the money collected for it and `moved`.
    """
    undone = NOTHING
    for other in reversed(payments):
        part = min(amount - undone.total, -payment.moved, other.moved)
        if part > 0:
            if not closed:
                _unsettle(other, standing)
            taken = principal_first(other.paid, part)
            other.paid -= taken
            other.moved -= part
            payment.moved += part
            undone += taken
            _restate(other, closed)
    return undone


def _shares_undone(payoff: Payoff, amount: int) -> dict[int, Allocation]:
    """By number: what of each instalment's share is undone when `amount` of the payoff is taken back."""
    undone = {}
    for settled in reversed(payoff.instalments):
        part = min(amount, settled.share.total)
        undone[settled.number] = principal_first(settled.share, part)
        amount -= part
    return undone


def _unsettle(payment: Payment, standing: Payoff | None) -> None:
    """An instalment that a payoff cancelled becomes one that is paid: with what it had and its share.

    It asks for no more than that: what the payoff saved stays saved.
    """
    if payment.cancelled_by_payoff and standing is not None:
        [settled] = [each for each in standing.instalments if each.number == payment.number]
        payment.owed -= settled.saved
        payment.paid += settled.share
        payment.status = "paid"
        payment.cancelled_by_payoff = False


def _take(
    payments: list[Payment], payment: Payment, wanted: Allocation, standing: Payoff | None, closed: bool
) -> Allocation:
    """Take money off an instalment: these parts, or others for those that an earlier refund has taken."""
    paid = payment.paid
    found = Allocation(
        late_fees=min(wanted.late_fees, paid.late_fees),
        fees=min(wanted.fees, paid.fees),
        interest=min(wanted.interest, paid.interest),
        principal=min(wanted.principal, paid.principal),
    )
    short = wanted.total - found.total
    taken = found + principal_first(paid - found, min(short, paid.total - found.total))
    payment.paid -= taken
    return taken + _elsewhere(payments, payment, wanted.total - taken.total, standing, closed)


def _owe_savings_again(
    payments: list[Payment], payment: Payment, settled: Settled, standing: Payoff | None, closed: bool
) -> Allocation:
    """Ask again for what the payoff saved on an instalment; gives what that moves between the parts.

    A payoff gives credits as negative interest, also where they went beyond its interest and paid principal
    or fees. So these come back as principal or fees, with as much less interest.
    """
    saved = settled.saved
    if settled.status == "cancelled":
        payment.owed += saved
    else:  # the credit counts as paid on it, perhaps for other parts by now
        saved = _take(payments, payment, saved, standing, closed)
    return Allocation(
        late_fees=saved.late_fees,
        fees=saved.fees,
        interest=saved.interest - saved.total,
        principal=saved.principal,
    )


def _owe_late_fees_again(payment: Payment, settled: Settled) -> None:
    payment.owed += Allocation(late_fees=settled.late_fees_waived)
    payment.late_fees_waived -= settled.late_fees_waived


def _restate(payment: Payment, closed: bool) -> None:
    """Paid, or open again; one that was open stays what it was. On a closed lease it is cancelled."""
    if closed:
        payment.status = "cancelled"
    elif payment.paid == payment.owed:
        payment.status = "paid"
    elif payment.status == "paid":
        payment.status = "scheduled"
