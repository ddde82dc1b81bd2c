"""`lease.autopay_changed`: how money is to come in, by the payment service."""

import msgspec

from ledger_svc.event_types.basics.fields import AutopayStop, Count, Data
from ledger_svc.event_types.basics.words import Text, Words, instalments, plain
from ledger_svc.event_types.definition import EventType


class AutopayInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """An instalment whose series of attempts begins anew."""

    number: Count


class AutopayChanged(Data, frozen=True, kw_only=True):
    """`lease.autopay_changed`"""

    autopay: bool
    payment_method: str | None
    autopay_stopped: AutopayStop | None  # why nothing of the lease is charged
    instalments: tuple[AutopayInstalment, ...]


def _text(data: AutopayChanged, words: Words) -> Text:
    if data.autopay_stopped is not None:
        why = plain(data.autopay_stopped.reason)
        text = f"{data.payment_method} is not charged by any collection run any more ({why})"
        return "Autopay stopped" if data.autopay else "Autopay off", text, 0
    if not data.autopay:
        return "Autopay off", "Instalments are no longer collected without being asked for", 0
    text = f"Instalments are collected by {data.payment_method} when they fall due"
    if data.instalments:
        numbers = [each.number for each in data.instalments]
        text = f"{text}; {instalments(numbers)} can be tried by the next run"
    return "Autopay on", text, 0


TYPES = (EventType(names=("lease.autopay_changed",), data=AutopayChanged, text=_text),)
