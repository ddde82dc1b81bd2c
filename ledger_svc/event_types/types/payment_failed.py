"""`payment.failed`: certainly never reached the gateway."""

from ledger_svc.event_types.basics.fields import Attempt
from ledger_svc.event_types.basics.lease import attempted
from ledger_svc.event_types.basics.words import Text, Words, plain
from ledger_svc.event_types.definition import EventType


class PaymentFailed(Attempt, frozen=True, kw_only=True):
    """`payment.failed`"""

    reason: str


def _text(data: PaymentFailed, words: Words) -> Text:
    why = plain(data.reason)
    if data.gives_back:
        text = f"{words.subject(data)}: the gateway was not reached, nothing was given back ({why})"
        return "Refund not attempted", text, data.amount
    text = f"{words.subject(data)}: {words.price(data)} never reached the gateway, nothing was taken ({why})"
    return "Payment not attempted", text, data.amount


TYPES = (
    EventType(
        names=("payment.failed",),
        data=PaymentFailed,
        text=_text,
        state=lambda state, data: attempted(state, data.number, in_flight=False),
    ),
)
