"""A lease's state after each event. Pure."""

from datetime import date

from ledger_svc.event_types import registry
from ledger_svc.event_types.basics.fields import Data
from ledger_svc.event_types.basics.lease import DUE, LATE, LeaseState


def apply_data(state: LeaseState, data: Data) -> LeaseState:
    """The state after one more event, given its data."""
    return registry.of_data(data).state(state, data)


def by_the_day(state: LeaseState, due_date: date, recorded: str) -> str:
    """What an open instalment is: what its events say, or what the calendar of the last run says since.

    The payment service's statuses go by that day, and no event says of each instalment that it has come.
    """
    if state.day is None or due_date > state.day or recorded == LATE:
        return recorded
    return LATE if due_date < state.day else DUE
