"""`lease.created`: the terms and the schedule."""

from datetime import date
from decimal import Decimal

from msgspec.structs import replace

from ledger_svc.event_types.basics.accounts import FEES, FUNDING, INCOME_FEES, PRINCIPAL, credit, debit
from ledger_svc.event_types.basics.fields import Data
from ledger_svc.event_types.basics.lease import LeaseState, ScheduledInstalment
from ledger_svc.event_types.basics.words import Text, Words, day
from ledger_svc.event_types.definition import Counts, EventType


class LeaseCreated(Data, frozen=True, kw_only=True):
    """`lease.created`"""

    currency: str  # ISO 4217
    principal: int
    annual_rate: str  # decimal, yearly nominal: "0.1299"
    term: int  # instalments
    frequency: str  # "weekly", "biweekly", "semimonthly", "monthly"
    first_due_date: date
    total_fees: int
    total_payable: int  # principal, interest and fees
    schedule: tuple[ScheduledInstalment, ...]  # by number


def _state(state: LeaseState, data: LeaseCreated) -> LeaseState:
    return replace(state, status="active", schedule=data.schedule, agreed=data.total_payable)


def _text(data: LeaseCreated, words: Words) -> Text:
    rate = f"{(Decimal(data.annual_rate) * 100).normalize():f}"
    instalments = f"{data.term} {data.frequency} instalment{'' if data.term == 1 else 's'}"
    text = (
        f"{words.money(data.principal, data.currency)} at {rate}% a year, to be paid in {instalments}"
        f" from {day(data.first_due_date)}; {words.money(data.total_payable, data.currency)} in all"
    )
    return "Lease created", text, data.total_payable


TYPES = (
    EventType(
        names=("lease.created",),
        data=LeaseCreated,
        text=_text,
        state=_state,
        counts=lambda data: Counts(leases=1, billed=data.total_payable),
        lowers=lambda data: -data.total_payable,
        lines=(
            debit(PRINCIPAL, "principal"),
            debit(FEES, "total_fees"),
            credit(FUNDING, "principal"),
            credit(INCOME_FEES, "total_fees"),
        ),
    ),
)
