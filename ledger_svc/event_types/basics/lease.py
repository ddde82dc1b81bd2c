"""A lease's state, and the changes that several types make to it. Pure.

The events of the two sources reach the ledger interleaved in no fixed way. So the state keeps apart what
each source says, every source in its own order, and only `point_in_time.snapshot` brings both together: any
interleaving that keeps the order of each source gives the same state.
"""

from datetime import date

import msgspec
from msgspec.structs import replace

from ledger_svc.event_types.basics.fields import Count

SCHEDULED = "scheduled"
DUE = "due"
LATE = "late"
PROCESSING = "processing"
PAID = "paid"
CANCELLED = "cancelled"
CHARGED_OFF = "charged_off"
OPEN = (SCHEDULED, DUE, LATE)  # of an instalment on which nothing is in flight


class ScheduledInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a lease's schedule."""

    number: Count
    payment_id: str
    due_date: date
    amount: int


class Progress(msgspec.Struct, frozen=True):
    """What became of one instalment, by the payment service's events."""

    status: str = SCHEDULED
    open_status: str = SCHEDULED  # what it falls back to when an attempt moves nothing
    amount_paid: int = 0  # minor units
    amount: int | None = None  # minor units it asks for, where that is not what the schedule says
    late_fee: int = 0  # minor units of late fees, ever; `amount` holds them too
    waived: int = 0  # minor units of these that a payoff waived while `amount` was None

    def asked(self, agreed: int) -> int:
        """Minor units that it asks for; `agreed`: what the schedule says."""
        return agreed + self.late_fee - self.waived if self.amount is None else self.amount


class LeaseState(msgspec.Struct, frozen=True, kw_only=True):
    """All that a lease's events say so far; money in minor units."""

    # by the lease service
    status: str | None = None  # None before lease.created
    schedule: tuple[ScheduledInstalment, ...] = ()
    agreed: int = 0  # total payable
    # by the payment service
    delinquent: bool = False
    progress: dict[int, Progress] = {}  # by number; never changed in place
    collected: int = 0  # all money taken and not given back
    waived: int = 0  # interest and late fees no longer owed after an early payoff
    day: date | None = None  # the last day of a collection run on the lease that an event names

    @property
    def closed(self) -> bool:
        """Whether the lease was closed before it was paid."""
        return self.status in (CANCELLED, CHARGED_OFF)

    @property
    def billed(self) -> int:
        """All that was ever to be paid: what was agreed, and late fees."""
        return self.agreed + sum(each.late_fee for each in self.progress.values())

    @property
    def balance(self) -> int:
        """Still to be paid: Σ(amount - paid) over instalments not cancelled."""
        if self.closed:  # money that was in flight then pays nothing off
            return 0
        return self.billed - self.collected - self.waived


EMPTY = LeaseState()
UNTOUCHED = Progress()


def unchanged(state: LeaseState, data: object) -> LeaseState:
    """What an event does that changes no lease's state."""
    return state


def progress(state: LeaseState, number: int) -> Progress:
    """What became of an instalment so far."""
    return state.progress.get(number, UNTOUCHED)


def on_day(state: LeaseState, as_of: date | None) -> LeaseState:
    """A collection run of that day has looked at the lease; None: no run has."""
    return state if as_of is None else replace(state, day=max(as_of, state.day or as_of))


def attempted(state: LeaseState, number: int | None, *, in_flight: bool) -> LeaseState:
    """An attempt on an instalment has begun, or has ended and moved nothing."""
    if number is None:  # an early payoff holds up no single instalment
        return state
    before = progress(state, number)
    after = replace(before, status=PROCESSING if in_flight else before.open_status)
    return replace(state, progress=state.progress | {number: after})


def reopened(before: Progress, status: str) -> Progress:
    """The instalment is open and this is its status, an attempt in flight aside."""
    return replace(before, status=PROCESSING if before.status == PROCESSING else status, open_status=status)
