"""The chart of accounts, and how a type says which part of its data it books where."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

CASH = "cash"
PRINCIPAL = "receivable:principal"
FEES = "receivable:fees"
FUNDING = "funding"
CUSTOMERS = "payable:customers"
REFUNDS = "payable:refunds"
INCOME_FEES = "income:fees"
INCOME_LATE_FEES = "income:late_fees"
INCOME_INTEREST = "income:interest"
LOSS = "loss:charge_off"
SUSPENSE = "suspense"

# The chart of accounts, in the order in which they are shown.
CHART: dict[str, str] = {
    CASH: "money collected and not given back",
    PRINCIPAL: "principal that customers owe",
    FEES: "fees and late fees that customers owe",
    FUNDING: "what the leases' principal was paid out of",
    CUSTOMERS: "money of customers that paid nothing and goes back to them",
    REFUNDS: "interest that was paid ahead and not earned, until it has gone back to the customer",
    INCOME_FEES: "fees agreed",
    INCOME_LATE_FEES: "late fees assessed",
    INCOME_INTEREST: "interest, once it is collected",
    LOSS: "receivables given up, less what came in for them all the same",
    SUSPENSE: "what an event does not explain: nothing, or somebody has to look",
}

Line = tuple[str, int, tuple[Callable[[Any], int], ...]]  # account, sign, parts of the event's data


def debit(account: str, *parts: str) -> Line:
    """The sum of these parts of the data, each a dotted path, as a debit."""
    return account, 1, tuple(attrgetter(part) for part in parts)


def credit(account: str, *parts: str) -> Line:
    """The same as a credit."""
    return account, -1, tuple(attrgetter(part) for part in parts)


# Money that came in; with the signs reversed, money that went back.
COLLECTED: tuple[Line, ...] = (
    debit(CASH, "amount"),
    credit(FEES, "allocation.late_fees", "allocation.fees"),
    credit(INCOME_INTEREST, "allocation.interest"),
    credit(PRINCIPAL, "allocation.principal"),
)
