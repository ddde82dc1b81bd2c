"""`payment.retry_scheduled`: autopay tries a declined instalment again."""

from datetime import date

from ledger_svc.event_types.basics.fields import Count, Data
from ledger_svc.event_types.basics.words import Text, Words, day
from ledger_svc.event_types.definition import EventType


class RetryScheduled(Data, frozen=True, kw_only=True):
    """`payment.retry_scheduled`"""

    number: Count
    retry_at: date
    attempts: int  # declined so far


def _text(data: RetryScheduled, words: Words) -> Text:
    text = f"{words.instalment(data.number)}: decline {data.attempts} of autopay"
    return "Retry scheduled", f"{text}; the next try is on {day(data.retry_at)}", 0


TYPES = (EventType(names=("payment.retry_scheduled",), data=RetryScheduled, text=_text),)
