"""The books: the sums of all bookings, by currency and account. Pure.

They are kept up event by event, so that a trial balance never has to count the whole log. They can be made
anew from the entries at any time.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ledger_svc.accounting.journal import Booking
from ledger_svc.event_types.basics.accounts import CHART


class Sums(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that was ever booked on one account; minor units."""

    debits: int = 0
    credits: int = 0


Books = dict[str, dict[str, Sums]]  # by ISO 4217 code and account

_NOTHING = Sums()


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a journal entry."""

    account: str
    side: Literal["debit", "credit"]
    amount: Annotated[int, Meta(description="minor units, above 0")]
    currency: Annotated[str, Meta(description="ISO 4217")]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One account of a trial balance; minor units."""

    account: str
    debits: int
    credits: int
    balance: Annotated[int, Meta(description="debits - credits")]


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """A trial balance in one currency; minor units."""

    accounts: Annotated[
        list[Account], Meta(description="those that anything was ever booked on, in the order of the chart")
    ]
    debits: int
    credits: int
    difference: Annotated[int, Meta(description="debits - credits: 0, or the books are wrong")]


def post(books: Books, booking: Booking | None) -> Books:
    """The books with one more booking; those given stay as they are."""
    if booking is None:
        return books
    accounts = dict(books.get(booking.currency, {}))
    for account, amount in booking.amounts.items():
        before = accounts.get(account, _NOTHING)
        accounts[account] = Sums(before.debits + max(0, amount), before.credits + max(0, -amount))
    return books | {booking.currency: accounts}


def postings(booking: Booking) -> list[Posting]:
    """A booking as the lines of a journal entry: debits first, in the order of the chart."""
    lines = [
        Posting(
            account=account,
            side="debit" if amount > 0 else "credit",
            amount=abs(amount),
            currency=booking.currency,
        )
        for account in CHART
        if (amount := booking.amounts.get(account, 0))
    ]
    return sorted(lines, key=lambda line: line.side == "credit")


def trial_balance(books: Books) -> dict[str, Balance]:
    """The trial balance of each currency."""
    return {currency: _balance(accounts) for currency, accounts in sorted(books.items())}


def _balance(accounts: dict[str, Sums]) -> Balance:
    debits = sum(each.debits for each in accounts.values())
    credits = sum(each.credits for each in accounts.values())
    return Balance(
        accounts=[
            Account(
                account=account,
                debits=accounts[account].debits,
                credits=accounts[account].credits,
                balance=accounts[account].debits - accounts[account].credits,
            )
            for account in CHART
            if account in accounts
        ],
        debits=debits,
        credits=credits,
        difference=debits - credits,
    )
