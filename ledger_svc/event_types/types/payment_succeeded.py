"""`payment.succeeded`: money came in for an instalment."""

from msgspec.structs import replace

from ledger_svc.event_types.basics.accounts import COLLECTED
from ledger_svc.event_types.basics.fields import Allocation, Attempt
from ledger_svc.event_types.basics.lease import CANCELLED, LeaseState, progress
from ledger_svc.event_types.basics.words import AFTER_CLOSING, UNDER_WAY, Text, Words
from ledger_svc.event_types.definition import Counts, EventType


class PaymentSucceeded(Attempt, frozen=True, kw_only=True):
    """`payment.succeeded`"""

    number: int
    allocation: Allocation  # what the money was for
    amount_paid: int  # of the instalment, after this payment
    amount_due: int  # of the instalment, after this payment
    payment_status: str  # "paid", "cancelled", or what an open instalment is: "scheduled", "due", "late"


def _state(state: LeaseState, data: PaymentSucceeded) -> LeaseState:
    status = data.payment_status
    after = replace(
        progress(state, data.number), status=status, open_status=status, amount_paid=data.amount_paid
    )
    collected = state.collected + data.amount
    return replace(state, progress=state.progress | {data.number: after}, collected=collected)


def _text(data: PaymentSucceeded, words: Words) -> Text:
    subject, by = words.subject(data), f"{words.price(data)} by {data.payment_method}"
    if data.payment_status == CANCELLED:
        return AFTER_CLOSING, f"{subject}: {by}, {UNDER_WAY}", data.amount
    if not data.amount_due:
        return "Instalment paid", f"{subject} paid: {by}", data.amount
    due = words.money(data.amount_due, data.currency)
    return (
        "Part payment received",
        f"{subject} paid in part: {by}; {due} of it still to be paid",
        data.amount,
    )


TYPES = (
    EventType(
        names=("payment.succeeded",),
        data=PaymentSucceeded,
        text=_text,
        state=_state,
        counts=lambda data: Counts(succeeded=1, collected=data.amount),
        lowers=lambda data: data.amount,
        lines=COLLECTED,
        races_closings=True,
    ),
)
