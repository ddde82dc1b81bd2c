"""`lease.late_fee_assessed`: by the payment service."""

from datetime import date

from msgspec.structs import replace

from ledger_svc.event_types.basics.accounts import FEES, INCOME_LATE_FEES, credit, debit
from ledger_svc.event_types.basics.fields import Count, Data
from ledger_svc.event_types.basics.lease import LeaseState, on_day, progress, reopened
from ledger_svc.event_types.basics.words import Text, Words, day
from ledger_svc.event_types.definition import Counts, EventType


class LateFeeAssessed(Data, frozen=True, kw_only=True):
    """`lease.late_fee_assessed`"""

    number: Count
    amount: int  # the fee
    currency: str
    due_date: date
    as_of: date  # of the collection run
    payment_status: str  # what the instalment is, an attempt in flight aside


def _state(state: LeaseState, data: LateFeeAssessed) -> LeaseState:
    state = on_day(state, data.as_of)
    before = progress(state, data.number)
    after = replace(
        reopened(before, data.payment_status),
        amount=None if before.amount is None else before.amount + data.amount,
        late_fee=before.late_fee + data.amount,
    )
    return replace(state, progress=state.progress | {data.number: after})


def _text(data: LateFeeAssessed, words: Words) -> Text:
    text = f"{words.instalment(data.number)}, due on {day(data.due_date)}, was not paid within the grace"
    return "Late fee", f"{text}; it costs {words.money(data.amount, data.currency)} more", data.amount


TYPES = (
    EventType(
        names=("lease.late_fee_assessed",),
        data=LateFeeAssessed,
        text=_text,
        state=_state,
        counts=lambda data: Counts(billed=data.amount),
        lowers=lambda data: -data.amount,
        lines=(debit(FEES, "amount"), credit(INCOME_LATE_FEES, "amount")),
        races_closings=True,
    ),
)
