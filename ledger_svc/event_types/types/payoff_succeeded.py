"""`payoff.succeeded`: the lease is paid early."""

from datetime import date

import msgspec
from msgspec.structs import replace

from ledger_svc.event_types.basics.accounts import (
    COLLECTED,
    FEES,
    INCOME_INTEREST,
    INCOME_LATE_FEES,
    REFUNDS,
    credit,
    debit,
)
from ledger_svc.event_types.basics.fields import Allocation, Attempt, Waived
from ledger_svc.event_types.basics.lease import LeaseState, Progress, progress
from ledger_svc.event_types.basics.words import AFTER_CLOSING, UNDER_WAY, Text, Words, day
from ledger_svc.event_types.definition import Counts, EventType


class ClosedInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """What an early payoff made of an instalment that was open."""

    number: int
    status: str  # "paid" or "cancelled"
    amount_paid: int
    late_fees_waived: int = 0  # what it asks for no longer


class PayoffSucceeded(Attempt, frozen=True, kw_only=True):
    """`payoff.succeeded`"""

    as_of: date
    allocation: Allocation  # what the money was for; interest, net of credits, may be negative
    interest_saved: int  # balance before - amount + refund_due - what is waived
    refund_due: int = 0  # interest paid ahead and not earned, which goes back to the customer
    waived: Waived = Waived()
    instalments: tuple[ClosedInstalment, ...]  # only those that were open

    @property
    def settled(self) -> int:
        """What the balance falls by."""
        return self.amount + self.interest_saved - self.refund_due + self.waived.late_fees


def _state(state: LeaseState, data: PayoffSucceeded) -> LeaseState:
    closed = {each.number: _closed(progress(state, each.number), each) for each in data.instalments}
    return replace(
        state,
        progress=state.progress | closed,
        collected=state.collected + data.amount,
        waived=state.waived + data.settled - data.amount,
    )


def _closed(before: Progress, by_payoff: ClosedInstalment) -> Progress:
    waived = by_payoff.late_fees_waived
    return replace(
        before,
        status=by_payoff.status,
        open_status=by_payoff.status,
        amount_paid=by_payoff.amount_paid,
        amount=None if before.amount is None else before.amount - waived,
        waived=before.waived + waived if before.amount is None else before.waived,
    )


def _text(data: PayoffSucceeded, words: Words) -> Text:
    text = f"Early payoff as of {day(data.as_of)}: {words.price(data)} by {data.payment_method}"
    if not data.instalments:  # there was nothing left to settle
        return AFTER_CLOSING, f"{text}, {UNDER_WAY}", data.amount
    text = f"{text}; {words.money(data.interest_saved, data.currency)} of interest saved"
    if data.refund_due:
        text = f"{text}, of which {words.money(data.refund_due, data.currency)} was paid ahead and goes back"
    if data.waived.late_fees:
        text = f"{text}; {words.money(data.waived.late_fees, data.currency)} of late fees waived"
    return "Lease paid early", text, data.amount


TYPES = (
    EventType(
        names=("payoff.succeeded",),
        data=PayoffSucceeded,
        text=_text,
        state=_state,
        counts=lambda data: Counts(succeeded=1, collected=data.amount),
        lowers=lambda data: data.settled,
        lines=(
            *COLLECTED,
            debit(INCOME_INTEREST, "refund_due"),
            credit(REFUNDS, "refund_due"),
            debit(INCOME_LATE_FEES, "waived.late_fees"),
            credit(FEES, "waived.late_fees"),
        ),
        races_closings=True,
    ),
)
