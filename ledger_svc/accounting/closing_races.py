"""Events that cross the closing of their lease: decided without it, though it was decided before. Pure.

Money and late fees are told by one service and the closing of their lease by another. So either may be
decided without knowing of the other, and either may be recorded first. `payment_sequence` in the closing says
which it knew of.
"""

from collections.abc import Iterable, Iterator

from ledger_svc.contracts import envelope, payloads
from ledger_svc.contracts.envelope import Event

Closing = payloads.LeaseCancelled | payloads.LeaseChargedOff
Move = (
    payloads.PaymentSucceeded | payloads.PayoffSucceeded | payloads.MoneyTakenBack | payloads.LateFeeAssessed
)

CLOSINGS = frozenset({"lease.cancelled", "lease.charged_off"})
# What moves a balance that a closing takes away: money taken, money given back, and late fees.
MOVES = frozenset(
    {
        *("payment.succeeded", "payoff.succeeded", "payment.refunded", "payment.charged_back"),
        "lease.late_fee_assessed",
    }
)


def closing_before(move: Event, recorded: Iterable[Event]) -> Closing | None:
    """The closing among `recorded` that did not know of a move, if there is one."""
    for each in recorded:
        closing = envelope.data_of(each) if each.type in CLOSINGS else None
        if isinstance(closing, Closing) and move.sequence > closing.payment_sequence:
            return closing
    return None


def overtaken(closing: Closing, recorded: Iterable[Event]) -> Iterator[Move]:
    """The moves among `recorded` that a closing did not know of."""
    for each in recorded:
        if each.type in MOVES and each.sequence > closing.payment_sequence:
            data = envelope.data_of(each)
            if isinstance(data, Move):
                yield data
