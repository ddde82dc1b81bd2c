"""`payment.unknown`: the gateway may or may not have moved the money; `payment.resolved`: its answer."""

from ledger_svc.event_types.basics.fields import Attempt
from ledger_svc.event_types.basics.lease import attempted
from ledger_svc.event_types.basics.words import Text, Words, plain
from ledger_svc.event_types.definition import Counts, EventType

_OUTCOMES = {
    "succeeded": "the money was taken",
    "declined": "it was declined",
    "not_found": "it never arrived and nothing was taken",
}


class PaymentUnknown(Attempt, frozen=True, kw_only=True):
    """`payment.unknown`"""

    reason: str


class PaymentResolved(Attempt, frozen=True, kw_only=True):
    """`payment.resolved`: follows exactly one `payment.unknown`; the event after it moves the money."""

    outcome: str  # "succeeded", "declined", "not_found"


def _unknown(data: PaymentUnknown, words: Words) -> Text:
    subject, price, why = words.subject(data), words.price(data), plain(data.reason)
    if data.gives_back:
        text = f"{subject}: no answer whether {price} went back ({why})"
        text = f"{text}; the gateway will be asked, nothing is given back twice"
        return "Refund outcome unknown", text, data.amount
    text = f"{subject}: no answer about {price} from {data.payment_method} ({why})"
    text = f"{text}; the gateway will be asked, not charged a second time"
    return "Payment outcome unknown", text, data.amount


def _resolved(data: PaymentResolved, words: Words) -> Text:
    asked = f"{words.subject(data)}: asked about {words.price(data)}, the gateway said that"
    if data.gives_back:
        said = "the money was given back" if data.outcome == "succeeded" else "it was declined"
        return "Refund outcome learned", f"{asked} {said}", data.amount
    said = _OUTCOMES.get(data.outcome, plain(data.outcome))
    return "Payment outcome learned", f"{asked} {said}", data.amount


TYPES = (
    EventType(
        names=("payment.unknown",),
        data=PaymentUnknown,
        text=_unknown,
        state=lambda state, data: attempted(state, data.number, in_flight=True),
        counts=lambda data: Counts() if data.gives_back else Counts(unknown=1),
    ),
    EventType(
        names=("payment.resolved",),
        data=PaymentResolved,
        text=_resolved,
        counts=lambda data: Counts() if data.gives_back else Counts(unknown=-1),
    ),
)
