"""Double entry: what each event books on which account. Pure.

What an event books is a function of that event alone, by the `lines` of its type; but for one thing that no
field can say. Where it races the closing of its lease (see `closing_races`), the receivable that it would
move has been written off: then other accounts stand in for it, whichever of the two is recorded first.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ledger_svc.accounting.closing_races import closing_before, overtaken
from ledger_svc.contracts.envelope import Event
from ledger_svc.event_types import registry
from ledger_svc.event_types.basics.accounts import SUSPENSE, Line
from ledger_svc.event_types.basics.fields import Closing, Data


class Booking(msgspec.Struct, frozen=True):
    """What one event books, in one currency."""

    currency: str  # ISO 4217
    amounts: dict[str, int]  # by account, minor units: a debit is positive, a credit negative; they sum to 0


_AS_THEY_ARE: Mapping[str, str] = {}


def book(event: Event, data: Data, recorded: Iterable[Event] = ()) -> Booking | None:
    """What an event books; None where it moves nothing.

    `data`: the event's. `recorded`: what the log has already of the same lease and may race it (see
    `closing_races`); more does no harm.
    """
    definition = registry.TYPES[event.type]
    if not definition.lines:
        return None
    amounts: dict[str, int] = {}
    if definition.races_closings:
        closing = closing_before(event, recorded)
        _add(amounts, definition.lines, data, _AS_THEY_ARE if closing is None else closing.instead)
    elif definition.closing and isinstance(data, Closing):
        _add(amounts, definition.lines if data.left is not None else definition.closing.unsaid, data)
        for moved, move in overtaken(data, recorded):  # undo what it has booked, book what it should have
            _add(amounts, moved.lines, move, sign=-1)
            _add(amounts, moved.lines, move, definition.closing.instead)
    else:
        _add(amounts, definition.lines, data)
    unexplained = -sum(amounts.values())
    if unexplained:
        amounts[SUSPENSE] = unexplained
    amounts = {account: amount for account, amount in amounts.items() if amount}
    return Booking(currency_of(data), amounts) if amounts else None


def currency_of(data: Any) -> str:
    """ISO 4217; every type that moves money names it."""
    currency: str = data.currency
    return currency


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
