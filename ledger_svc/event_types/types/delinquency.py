"""`lease.delinquent`, `lease.cured`: by the payment service."""

from datetime import date

from msgspec.structs import replace

from ledger_svc.event_types.basics.fields import Count, Data
from ledger_svc.event_types.basics.lease import LATE, LeaseState, on_day, progress, reopened
from ledger_svc.event_types.basics.words import Text, Words, day
from ledger_svc.event_types.definition import EventType


class LeaseDelinquent(Data, frozen=True, kw_only=True):
    """`lease.delinquent`"""

    as_of: date  # of the collection run
    numbers: tuple[Count, ...]  # instalments late beyond the grace
    days_late: int  # of the oldest
    amount_late: int
    currency: str


class LeaseCured(Data, frozen=True, kw_only=True):
    """`lease.cured`"""

    as_of: date
    reason: str


def _delinquent(state: LeaseState, data: LeaseDelinquent) -> LeaseState:
    late = {number: reopened(progress(state, number), LATE) for number in data.numbers}
    return replace(on_day(state, data.as_of), delinquent=True, progress=state.progress | late)


def _cured(state: LeaseState, data: LeaseCured) -> LeaseState:
    return replace(on_day(state, data.as_of), delinquent=False)


def _delinquent_text(data: LeaseDelinquent, words: Words) -> Text:
    which = ", ".join(map(str, data.numbers))
    text = f"{'Instalment' if len(data.numbers) == 1 else 'Instalments'} {which} late beyond the grace"
    late = f"{data.days_late} day{'' if data.days_late == 1 else 's'}"
    text = f"{text}, the oldest by {late}; {words.money(data.amount_late, data.currency)} to be paid"
    return "Lease delinquent", text, data.amount_late


def _cured_text(data: LeaseCured, words: Words) -> Text:
    return "Lease cured", f"As of {day(data.as_of)}: {data.reason}", 0


TYPES = (
    EventType(names=("lease.delinquent",), data=LeaseDelinquent, text=_delinquent_text, state=_delinquent),
    EventType(names=("lease.cured",), data=LeaseCured, text=_cured_text, state=_cured),
)
