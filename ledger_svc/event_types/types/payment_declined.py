"""`payment.declined`, `payoff.declined`: the issuer said no."""

from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from ledger_svc.event_types.basics.fields import Attempt
from ledger_svc.event_types.basics.lease import attempted
from ledger_svc.event_types.basics.words import Text, Words, day, plain
from ledger_svc.event_types.definition import Counts, EventType

_ADVICE = {
    "do_not_retry": "it must not be tried again with this payment method",
    "retry_later": "it may be tried again later",
    "update_instrument": "another payment method is needed",
}


class Decline(msgspec.Struct, frozen=True, kw_only=True):
    """Why the issuer said no."""

    code: str
    advice: Annotated[str, Meta(description='"do_not_retry", "retry_later", "update_instrument"')]
    retry_at: Annotated[str | None, Meta(description="RFC 3339 instant or day")] = None


class PaymentDeclined(Attempt, frozen=True, kw_only=True):
    """`payment.declined`"""

    decline: Decline


class PayoffDeclined(Attempt, frozen=True, kw_only=True):
    """`payoff.declined`: an early payoff holds up no instalment, so nothing of the lease changes."""

    decline: Decline


def _counts(data: PaymentDeclined | PayoffDeclined) -> Counts:
    return Counts() if data.gives_back else Counts(declined=1)


def _text(data: PaymentDeclined | PayoffDeclined, words: Words) -> Text:
    code = plain(data.decline.code)
    text = f"{words.subject(data)}: {words.price(data)} by {data.payment_method} was declined"
    return "Payment declined", f"{text} ({code}); {_next(data.decline)}", data.amount


def _payment_text(data: PaymentDeclined, words: Words) -> Text:
    if data.gives_back:
        text = f"{words.subject(data)}: the gateway did not give {words.price(data)} back"
        return "Refund declined", f"{text} ({plain(data.decline.code)})", data.amount
    return _text(data, words)


def _next(decline: Decline) -> str:
    if decline.retry_at is None:
        return _ADVICE.get(decline.advice, plain(decline.advice))
    return f"the next try is on {day(date.fromisoformat(decline.retry_at[:10]))}"


TYPES = (
    EventType(
        names=("payment.declined",),
        data=PaymentDeclined,
        text=_payment_text,
        state=lambda state, data: attempted(state, data.number, in_flight=False),
        counts=_counts,
    ),
    EventType(names=("payoff.declined",), data=PayoffDeclined, text=_text, counts=_counts),
)
