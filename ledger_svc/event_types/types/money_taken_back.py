"""`payment.refunded`, `payment.charged_back`: money went back to the customer."""

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
from ledger_svc.event_types.basics.fields import Allocation, Attempt, AutopayStop
from ledger_svc.event_types.basics.lease import LeaseState, attempted, progress, reopened
from ledger_svc.event_types.basics.words import Text, Words, instalments, plain
from ledger_svc.event_types.definition import Counts, EventType

_MONEY_TAKEN_BACK = "money_taken_back"


class ChangedInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """An instalment after money was taken back from it."""

    number: int
    status: str
    amount: int  # what it asks for: after an early payoff that may be less than the schedule says
    amount_paid: int
    autopay_stopped: AutopayStop | None = None  # why no run collects it; older events do not say


class MoneyTakenBack(Attempt, frozen=True, kw_only=True):
    """`payment.refunded`, `payment.charged_back`"""

    reason: str
    allocation: Allocation  # what is undone; interest is negative where a payoff's credits are undone
    instalments: tuple[ChangedInstalment, ...]  # only those it changed
    interest_owed_again: int  # what an early payoff had saved, once all of it is taken back or undone
    late_fees_owed_again: int = 0  # what it had waived, likewise
    refund_due_of: str | None = None  # the payoff whose `refund_due` this gives back; None: other money
    refund_lapsed: int = 0  # of a payoff's `refund_due`: what it had not given back when it was undone

    @property
    def owed_again(self) -> int:
        """What the balance grows by; nothing on a closed lease, where no instalment is open again."""
        if all(each.status in ("paid", "cancelled") for each in self.instalments):
            return 0
        return self.amount + self.interest_owed_again + self.late_fees_owed_again

    @property
    def earlier_due(self) -> int:
        """The amount, where it gives back what a payoff owed to the customer; else 0."""
        return self.amount if self.refund_due_of else 0


def _state(state: LeaseState, data: MoneyTakenBack) -> LeaseState:
    landed = attempted(state, data.number, in_flight=False)
    changed = {
        # With a payoff of nothing others are open again too: attempts on them may be in flight.
        each.number: replace(
            reopened(progress(landed, each.number), each.status),
            amount_paid=each.amount_paid,
            amount=each.amount,
        )
        for each in data.instalments
    }
    return replace(
        landed,
        progress=landed.progress | changed,
        collected=state.collected - data.amount,
        waived=state.waived + data.amount - data.owed_again,
    )


def _text(data: MoneyTakenBack, words: Words) -> Text:
    if data.kind == "chargeback":
        title, text = "Payment charged back", f"the issuer took {words.price(data)} back"
    else:
        title, text = "Money given back", f"{words.price(data)} given back"
    text = f"{words.subject(data)}: {text} ({plain(data.reason)})"
    if data.refund_due_of:
        return title, f"{text}: interest paid ahead that the early payoff has saved", data.amount
    if data.interest_owed_again:
        text = f"{text}; {words.money(data.interest_owed_again, data.currency)} of interest is owed again"
    if data.late_fees_owed_again:
        text = f"{text}; {words.money(data.late_fees_owed_again, data.currency)} of late fees is owed again"
    if data.refund_lapsed:
        text = f"{text}; {words.money(data.refund_lapsed, data.currency)} is not due back any longer"
    stopped = [
        each.number
        for each in data.instalments
        if each.autopay_stopped is not None and each.autopay_stopped.reason == _MONEY_TAKEN_BACK
    ]
    if stopped:
        text = f"{text}; autopay does not collect {instalments(stopped)} again by itself"
    return title, text, data.amount


TYPES = (
    EventType(
        names=("payment.refunded", "payment.charged_back"),
        data=MoneyTakenBack,
        text=_text,
        state=_state,
        counts=lambda data: Counts(refunded=data.amount),
        lowers=lambda data: -data.owed_again,
        lines=(
            *((account, -sign, parts) for account, sign, parts in COLLECTED),
            credit(INCOME_INTEREST, "earlier_due", "refund_lapsed"),
            debit(REFUNDS, "earlier_due", "refund_lapsed"),
            debit(FEES, "late_fees_owed_again"),
            credit(INCOME_LATE_FEES, "late_fees_owed_again"),
        ),
        races_closings=True,
    ),
)
