"""`lease.cancelled`, `lease.charged_off`: a lease is closed before it is paid."""

from msgspec.structs import replace

from ledger_svc.event_types.basics.accounts import (
    CUSTOMERS,
    FEES,
    FUNDING,
    INCOME_FEES,
    INCOME_INTEREST,
    INCOME_LATE_FEES,
    LOSS,
    PRINCIPAL,
    REFUNDS,
    credit,
    debit,
)
from ledger_svc.event_types.basics.fields import Closing
from ledger_svc.event_types.basics.lease import CANCELLED, CHARGED_OFF
from ledger_svc.event_types.basics.words import Text, Words
from ledger_svc.event_types.definition import ClosingRules, EventType


class LeaseCancelled(Closing, frozen=True, kw_only=True):
    """`lease.cancelled`: closed before any money was collected."""

    balance: int  # before


class LeaseChargedOff(Closing, frozen=True, kw_only=True):
    """`lease.charged_off`: given up."""

    amount: int  # the balance before


def _cancelled(data: LeaseCancelled, words: Words) -> Text:
    text = f"{words.money(data.balance, data.currency)} is no longer to be paid ({data.reason})"
    return "Lease cancelled", text, data.balance


def _charged_off(data: LeaseChargedOff, words: Words) -> Text:
    text = f"{words.money(data.amount, data.currency)} is given up as a loss ({data.reason})"
    return "Lease charged off", text, data.amount


TYPES = (
    EventType(
        names=("lease.cancelled",),
        data=LeaseCancelled,
        text=_cancelled,
        state=lambda state, data: replace(state, status=CANCELLED),
        lowers=lambda data: data.balance,
        lines=(
            debit(FUNDING, "left.principal"),
            debit(INCOME_FEES, "left.fees"),
            debit(INCOME_LATE_FEES, "left.late_fees"),
            credit(PRINCIPAL, "left.principal"),
            credit(FEES, "left.fees", "left.late_fees"),
        ),
        closing=ClosingRules(
            unsaid=(debit(FUNDING, "balance"),),
            # Money for a lease that was cancelled is the customer's.
            instead=dict.fromkeys((PRINCIPAL, FEES, REFUNDS, INCOME_INTEREST, INCOME_LATE_FEES), CUSTOMERS),
        ),
    ),
    EventType(
        names=("lease.charged_off",),
        data=LeaseChargedOff,
        text=_charged_off,
        state=lambda state, data: replace(state, status=CHARGED_OFF),
        lowers=lambda data: data.amount,
        lines=(
            debit(LOSS, "left.principal", "left.fees", "left.late_fees"),
            credit(PRINCIPAL, "left.principal"),
            credit(FEES, "left.fees", "left.late_fees"),
        ),
        closing=ClosingRules(
            unsaid=(debit(LOSS, "amount"),),
            instead={PRINCIPAL: LOSS, FEES: LOSS},  # money makes the loss smaller
        ),
    ),
)
