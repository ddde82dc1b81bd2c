"""`lease.paid_off`, and `lease.reopened` where money went back after that."""

from msgspec.structs import replace

from ledger_svc.event_types.basics.fields import Data
from ledger_svc.event_types.basics.words import Text, Words
from ledger_svc.event_types.definition import EventType


class LeasePaidOff(Data, frozen=True, kw_only=True):
    """`lease.paid_off`"""

    currency: str
    amount_paid: int  # all money collected on the lease
    cause: str  # "payment" or "payoff"


class LeaseReopened(Data, frozen=True, kw_only=True):
    """`lease.reopened`"""

    currency: str
    balance: int  # to be paid again
    cause: str  # "refund" or "chargeback"


def _paid_off(data: LeasePaidOff, words: Words) -> Text:
    how = "early payoff" if data.cause == "payoff" else "last instalment"
    paid = words.money(data.amount_paid, data.currency)
    return "Lease paid off", f"Closed by the {how}; {paid} paid in all", data.amount_paid


def _reopened(data: LeaseReopened, words: Words) -> Text:
    text = f"Opened again by a {data.cause}; {words.money(data.balance, data.currency)} to be paid"
    return "Lease reopened", text, data.balance


TYPES = (
    EventType(
        names=("lease.paid_off",),
        data=LeasePaidOff,
        text=_paid_off,
        state=lambda state, data: replace(state, status="paid_off"),
    ),
    EventType(
        names=("lease.reopened",),
        data=LeaseReopened,
        text=_reopened,
        state=lambda state, data: replace(state, status="active"),
    ),
)
