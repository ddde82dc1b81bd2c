"""Double entry: what each event books on which account. Pure.

What an event books is a function of that event alone, by `TABLE`; but for one thing that no field could tell.
Where it crosses the closing of its lease (see `crossing`), the receivable that it would move has been written
off: then other accounts stand in for it, `INSTEAD`, whichever of the two is recorded first.
"""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

import msgspec

from ledger_svc.accounting.closing_races import Closing, Move, closing_before, overtaken
from ledger_svc.contracts import payloads
from ledger_svc.contracts.envelope import Event
from ledger_svc.contracts.payloads import Data

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


class Booking(msgspec.Struct, frozen=True):
    """What one event books, in one currency."""

    currency: str  # ISO 4217
    amounts: dict[str, int]  # by account, minor units: a debit is positive, a credit negative; they sum to 0


Line = tuple[str, int, tuple[Callable[[Any], int], ...]]  # account, sign, parts of the event's data


def _debit(account: str, *parts: str) -> Line:
    return account, 1, tuple(attrgetter(part) for part in parts)


def _credit(account: str, *parts: str) -> Line:
    return account, -1, tuple(attrgetter(part) for part in parts)


COLLECTED = (
    _debit(CASH, "amount"),
    _credit(FEES, "allocation.late_fees", "allocation.fees"),
    _credit(INCOME_INTEREST, "allocation.interest"),
    _credit(PRINCIPAL, "allocation.principal"),
)
Booked = payloads.LeaseCreated | Closing | Move
TABLE: dict[type[Booked], tuple[Line, ...]] = {
    payloads.LeaseCreated: (
        _debit(PRINCIPAL, "principal"),
        _debit(FEES, "total_fees"),
        _credit(FUNDING, "principal"),
        _credit(INCOME_FEES, "total_fees"),
    ),
    payloads.LateFeeAssessed: (_debit(FEES, "amount"), _credit(INCOME_LATE_FEES, "amount")),
    payloads.PaymentSucceeded: COLLECTED,
    payloads.PayoffSucceeded: (
        *COLLECTED,
        _debit(INCOME_INTEREST, "refund_due"),
        _credit(REFUNDS, "refund_due"),
        _debit(INCOME_LATE_FEES, "waived.late_fees"),
        _credit(FEES, "waived.late_fees"),
    ),
    payloads.MoneyTakenBack: (
        *((account, -sign, parts) for account, sign, parts in COLLECTED),
        _credit(INCOME_INTEREST, "earlier_due", "refund_lapsed"),
        _debit(REFUNDS, "earlier_due", "refund_lapsed"),
        _debit(FEES, "late_fees_owed_again"),
        _credit(INCOME_LATE_FEES, "late_fees_owed_again"),
    ),
    payloads.LeaseChargedOff: (
        _debit(LOSS, "left.principal", "left.fees", "left.late_fees"),
        _credit(PRINCIPAL, "left.principal"),
        _credit(FEES, "left.fees", "left.late_fees"),
    ),
    payloads.LeaseCancelled: (
        _debit(FUNDING, "left.principal"),
        _debit(INCOME_FEES, "left.fees"),
        _debit(INCOME_LATE_FEES, "left.late_fees"),
        _credit(PRINCIPAL, "left.principal"),
        _credit(FEES, "left.fees", "left.late_fees"),
    ),
}
# Closings that do not say what was left: what they leave in suspense shows that somebody has to clear it.
UNSAID: dict[type[Closing], tuple[Line, ...]] = {
    payloads.LeaseChargedOff: (_debit(LOSS, "amount"),),
    payloads.LeaseCancelled: (_debit(FUNDING, "balance"),),
}
# Money mends the loss of a lease that was charged off; of one that was cancelled it is the customer's.
INSTEAD: dict[type[Closing], Mapping[str, str]] = {
    payloads.LeaseChargedOff: {PRINCIPAL: LOSS, FEES: LOSS},
    payloads.LeaseCancelled: dict.fromkeys(
        (PRINCIPAL, FEES, REFUNDS, INCOME_INTEREST, INCOME_LATE_FEES), CUSTOMERS
    ),
}
_AS_THEY_ARE: Mapping[str, str] = {}


def book(event: Event, data: Data, recorded: Iterable[Event] = ()) -> Booking | None:
    """What an event books; None where it moves nothing.

    `data`: the event's. `recorded`: what the log has already of the same lease and may cross it (see
    `closings`); more does no harm.
    """
    if not isinstance(data, Booked):
        return None
    lines = TABLE[type(data)]
    amounts: dict[str, int] = {}
    if isinstance(data, Move):
        closing = closing_before(event, recorded)
        _add(amounts, lines, data, _AS_THEY_ARE if closing is None else INSTEAD[type(closing)])
    elif isinstance(data, Closing):
        _add(amounts, lines if data.left is not None else UNSAID[type(data)], data)
        for move in overtaken(data, recorded):  # take back what it has booked, and book what it should have
            _add(amounts, TABLE[type(move)], move, sign=-1)
            _add(amounts, TABLE[type(move)], move, INSTEAD[type(data)])
    else:
        _add(amounts, lines, data)
    unexplained = -sum(amounts.values())
    if unexplained:
        amounts[SUSPENSE] = unexplained
    amounts = {account: amount for account, amount in amounts.items() if amount}
    return Booking(data.currency, amounts) if amounts else None


def _add(
    amounts: dict[str, int],
    lines: Iterable[Line],
    data: Any,
    instead: Mapping[str, str] = _AS_THEY_ARE,
    sign: int = 1,
) -> None:
    for account, side, parts in lines:
        account = instead.get(account, account)
        amount = sum(part(data) for part in parts)
        amounts[account] = amounts.get(account, 0) + sign * side * amount
