"""All that the ledger knows about one type of event."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from ledger_svc.event_types.basics.accounts import Line
from ledger_svc.event_types.basics.fields import Data
from ledger_svc.event_types.basics.lease import LeaseState, unchanged
from ledger_svc.event_types.basics.words import Text, Words

D = TypeVar("D", bound=Data)


class Counts(NamedTuple):
    """What an event adds to the ledger's totals; money in minor units of its currency."""

    leases: int = 0
    succeeded: int = 0  # attempts to collect by outcome; a refund is none
    declined: int = 0
    unknown: int = 0
    billed: int = 0
    collected: int = 0
    refunded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingRules:
    """What closing a lease means for the accounts."""

    unsaid: tuple[Line, ...]  # booked where the event does not say what was left: the rest is in suspense
    instead: Mapping[str, str]  # which accounts stand in once the receivable has been written off


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType(Generic[D]):
    """One type, or several whose data says the same. What is not given, such an event does not do.

    All functions are pure. Money (`lines`, `lowers`) needs a `currency` in the data; money in `counts` needs
    `lowers` too, be it 0.
    """

    names: tuple[str, ...]  # dotted, past tense
    data: type[D]  # of this definition alone
    text: Callable[[D, Words], Text]  # the line of the timeline
    state: Callable[[LeaseState, D], LeaseState] = unchanged
    counts: Callable[[D], Counts] | None = None
    lowers: Callable[[D], int] | None = None  # minor units it takes off the lease's balance; < 0: it rises
    lines: tuple[Line, ...] = ()  # what it books on which account
    # By the payment service, of a balance that a closing takes away; either may be decided without the other.
    races_closings: bool = False
    # It closes a lease, and its data is a `Closing`. Its name is also in `append_entries` of log/queries.sql.
    closing: ClosingRules | None = None


AnyType = EventType[Any]
