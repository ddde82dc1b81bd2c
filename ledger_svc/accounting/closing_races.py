"""Events that race the closing of their lease: decided without it, though it was decided before. Pure.

Money and late fees come from one service and the closing of their lease from another. So either may be
decided without knowing of the other, and either may be recorded first. `payment_sequence` in the closing says
which it knew of.
"""

from collections.abc import Iterable, Iterator

from ledger_svc.contracts.envelope import Event
from ledger_svc.event_types import registry
from ledger_svc.event_types.basics.fields import Closing, Data
from ledger_svc.event_types.definition import AnyType, ClosingRules


def closing_before(move: Event, recorded: Iterable[Event]) -> ClosingRules | None:
    """The rules of the closing among `recorded` that did not know of a move, if there is one."""
    for each in recorded:
        closing = registry.data_of(each) if each.type in registry.CLOSINGS else None
        if isinstance(closing, Closing) and move.sequence > closing.payment_sequence:
            return registry.TYPES[each.type].closing
    return None


def overtaken(closing: Closing, recorded: Iterable[Event]) -> Iterator[tuple[AnyType, Data]]:
    """The moves among `recorded` that a closing did not know of."""
    for each in recorded:
        if each.type in registry.MOVES and each.sequence > closing.payment_sequence:
            yield registry.TYPES[each.type], registry.data_of(each)
