"""A lease was closed before it was paid: what becomes of its instalments, and of a payoff in flight. Pure.

What is in flight then is not called back, for the gateway may have taken the money already. It ends as any
other attempt does: money that was taken is recorded, its instalment stays cancelled, and `returns` gives the
money back.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import Account, Closed, Payment, done
from payment_svc.domain.payoff import Payoff

# How each of the lease service's events closes a lease.
HOW: dict[str, Closed] = {"lease.cancelled": "cancelled", "lease.charged_off": "charged_off"}


def cancel_open(payments: Iterable[Payment]) -> list[Payment]:
    """Cancel those that are open; what was paid on them stays paid. Returns what has changed."""
    changed = [payment for payment in payments if payment.open]
    for payment in changed:
        payment.status = "cancelled"
        done(payment)
    return changed


def forget(account: Account) -> None:
    """No collection run has anything more to do on the lease; what it was before its closing is history."""
    account.delinquent = False
    account.next_look_on = None


def settles_nothing(payoff: Payoff) -> Payoff:
    """What a payoff tells that succeeds after the lease was closed: money, and nothing it was owed for.

    One that has collected nothing has moved nothing either.
    """
    allocation = Allocation() if payoff.of_nothing else payoff.allocation
    return replace(payoff, allocation=allocation, interest_saved=0, instalments=())
