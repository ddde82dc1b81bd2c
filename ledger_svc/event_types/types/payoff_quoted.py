"""`payoff.quoted`: a promise; it moves nothing."""

from datetime import UTC, date, datetime
from typing import Annotated

from msgspec import Meta

from ledger_svc.event_types.basics.fields import Data
from ledger_svc.event_types.basics.words import Text, Words, day
from ledger_svc.event_types.definition import EventType


class PayoffQuoted(Data, frozen=True, kw_only=True):
    """`payoff.quoted`"""

    currency: str
    as_of: date
    amount: int
    interest_saved: int  # where it is paid: balance before - amount + refund_due
    refund_due: int = 0  # what would go back to the customer
    expires_at: Annotated[datetime, Meta(tz=True)]  # exclusive


def _text(data: PayoffQuoted, words: Words) -> Text:
    until = data.expires_at.astimezone(UTC)
    text = f"Early payoff as of {day(data.as_of)} would cost {words.money(data.amount, data.currency)}"
    text = f"{text} and save {words.money(data.interest_saved, data.currency)} of interest"
    if data.refund_due:
        text = f"{text}, of which {words.money(data.refund_due, data.currency)} was paid ahead and goes back"
    text = f"{text}; the quote is good for one payoff before {day(until.date())}, {until:%H:%M} UTC"
    return "Payoff quoted", text, data.amount


TYPES = (EventType(names=("payoff.quoted",), data=PayoffQuoted, text=_text),)
