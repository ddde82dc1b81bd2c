"""`payment.attempt_started`"""

from datetime import date

from ledger_svc.event_types.basics.fields import Attempt
from ledger_svc.event_types.basics.lease import LeaseState, attempted, on_day
from ledger_svc.event_types.basics.words import Text, Words
from ledger_svc.event_types.definition import EventType


class AttemptStarted(Attempt, frozen=True, kw_only=True):
    """`payment.attempt_started`"""

    as_of: date | None = None  # of the collection run that began it; None: by hand, a payoff, a refund


def _state(state: LeaseState, data: AttemptStarted) -> LeaseState:
    return attempted(on_day(state, data.as_of), data.number, in_flight=True)


def _text(data: AttemptStarted, words: Words) -> Text:
    if data.gives_back:
        text = f"{words.subject(data)}: giving {words.price(data)} back to {data.payment_method}"
        return "Refund started", text, data.amount
    text = f"{words.subject(data)}: taking {words.price(data)} from {data.payment_method}"
    return "Payment started", text, data.amount


TYPES = (EventType(names=("payment.attempt_started",), data=AttemptStarted, text=_text, state=_state),)
