"""What happened to a lease, told in words for people."""

from calendar import month_name
from collections.abc import Iterable, Iterator
from datetime import UTC, date
from decimal import Decimal
from functools import lru_cache
from typing import assert_never

import msgspec
from iso4217 import Currency

from common.clock import rfc3339
from ledger_svc import events, facts, reconstruct
from ledger_svc.entry import Entry
from ledger_svc.facts import Attempt, Data

_ADVICE = {
    "do_not_retry": "it must not be tried again with this payment method",
    "retry_later": "it may be tried again later",
    "update_instrument": "another payment method is needed",
}
_OUTCOMES = {
    "succeeded": "the money was taken",
    "declined": "it was declined",
    "not_found": "it never arrived and nothing was taken",
}
_AFTER_CLOSING = "Payment after closing"
_UNDER_WAY = "which was under way when the lease was closed"


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the timeline."""

    at: str  # RFC 3339, UTC, microseconds: when it occurred
    seq: int  # of the ledger's entry
    type: str  # the event's
    title: str  # a few words
    summary: str  # a sentence without its full stop
    amount: int  # minor units: what the event is about
    balance_after: int | None  # minor units; None while the ledger has not seen lease.created


def timeline(entries: Iterable[Entry]) -> Iterator[Item]:
    """One item for each entry of a lease, of which all are given, oldest first (see `reconstruct.in_order`).

    `balance_after` comes from folding all entries up to that one, so a page is cut from the items, never from
    the entries. UnknownEventType and MalformedEvent as in `reconstruct.apply`.
    """
    state = reconstruct.EMPTY
    for entry in reconstruct.in_order(entries):
        data = events.data_of(events.decode(entry.raw))
        state = reconstruct.apply_data(state, data)
        title, summary, amount = _tell(data, term=len(state.schedule))
        yield Item(
            at=rfc3339(entry.occurred_at),
            seq=entry.seq,
            type=entry.type,
            title=title,
            summary=summary,
            amount=amount,
            balance_after=None if state.status is None else state.balance,
        )


def money(amount: int, currency: str) -> str:
    """An amount of minor units as people write it: 10662 USD → "106.62 USD", 500 JPY → "500 JPY".

    The number of decimals is ISO 4217's; where it gives none, the minor units are named as such.
    """
    exponent = _exponent(currency)
    if exponent is None:
        return f"{amount:,} minor units of {currency}"
    return f"{Decimal(amount).scaleb(-exponent):,.{exponent}f} {currency}"


@lru_cache(maxsize=512)  # more than there are currencies
def _exponent(currency: str) -> int | None:
    try:
        return Currency(currency).exponent
    except ValueError:
        return None


def day(when: date) -> str:
    """A calendar day in words: 1 January 2027."""
    return f"{when.day} {month_name[when.month]} {when.year}"


def _tell(data: Data, *, term: int) -> tuple[str, str, int]:
    """Title, summary and amount of one event."""
    match data:
        case facts.LeaseCreated():
            return "Lease created", _created(data), data.total_payable
        case facts.LeasePaidOff():
            how = "early payoff" if data.cause == "payoff" else "last instalment"
            paid = money(data.amount_paid, data.currency)
            return "Lease paid off", f"Closed by the {how}; {paid} paid in all", data.amount_paid
        case facts.LeaseCancelled():
            text = f"{money(data.balance, data.currency)} is no longer to be paid ({data.reason})"
            return "Lease cancelled", text, data.balance
        case facts.LeaseChargedOff():
            text = f"{money(data.amount, data.currency)} is given up as a loss ({data.reason})"
            return "Lease charged off", text, data.amount
        case facts.LeaseReopened():
            text = f"Opened again by a {data.cause}; {money(data.balance, data.currency)} to be paid"
            return "Lease reopened", text, data.balance
        case facts.MoneyTakenBack():
            return *_given_back(data, term), data.amount
        case facts.AttemptStarted() if data.kind == "refund":
            text = f"{_subject(data, term)}: giving {_price(data)} back to {data.payment_method}"
            return "Refund started", text, data.amount
        case facts.PaymentDeclined() if data.kind == "refund":
            text = f"{_subject(data, term)}: the gateway did not give {_price(data)} back"
            return "Refund declined", f"{text} ({_words(data.decline.code)})", data.amount
        case facts.PaymentFailed() if data.kind == "refund":
            text = f"{_subject(data, term)}: the gateway was not reached, nothing was given back"
            return "Refund not attempted", f"{text} ({_words(data.reason)})", data.amount
        case facts.PaymentUnknown() if data.kind == "refund":
            text = f"{_subject(data, term)}: no answer whether {_price(data)} went back"
            text = f"{text} ({_words(data.reason)}); the gateway will be asked, nothing is given back twice"
            return "Refund outcome unknown", text, data.amount
        case facts.PaymentResolved() if data.kind == "refund":
            said = "the money was given back" if data.outcome == "succeeded" else "it was declined"
            text = f"{_subject(data, term)}: asked about {_price(data)}, the gateway said that {said}"
            return "Refund outcome learned", text, data.amount
        case facts.AttemptStarted():
            text = f"{_subject(data, term)}: taking {_price(data)} from {data.payment_method}"
            return "Payment started", text, data.amount
        case facts.PaymentSucceeded():
            return *_received(data, term), data.amount
        case facts.PaymentDeclined() | facts.PayoffDeclined():
            return "Payment declined", _declined(data, term), data.amount
        case facts.PaymentFailed():
            text = f"{_subject(data, term)}: {_price(data)} never reached the gateway, nothing was taken"
            return "Payment not attempted", f"{text} ({_words(data.reason)})", data.amount
        case facts.PaymentUnknown():
            text = f"{_subject(data, term)}: no answer about {_price(data)} from {data.payment_method}"
            text = f"{text} ({_words(data.reason)}); the gateway will be asked, not charged a second time"
            return "Payment outcome unknown", text, data.amount
        case facts.PaymentResolved():
            said = _OUTCOMES.get(data.outcome, _words(data.outcome))
            text = f"{_subject(data, term)}: asked about {_price(data)}, the gateway said that {said}"
            return "Payment outcome learned", text, data.amount
        case facts.PayoffSucceeded():
            return *_paid_early(data), data.amount
        case facts.PayoffQuoted():
            return "Payoff quoted", _quoted(data), data.amount
        case facts.RetryScheduled():
            text = f"{_named(data.number, term)}: decline {data.attempts} of autopay"
            return "Retry scheduled", f"{text}; the next try is on {day(data.retry_at)}", 0
        case facts.LateFeeAssessed():
            text = f"{_named(data.number, term)}, due on {day(data.due_date)}, was not paid within the grace"
            return "Late fee", f"{text}; it costs {money(data.amount, data.currency)} more", data.amount
        case facts.LeaseDelinquent():
            return "Lease delinquent", _delinquent(data), data.amount_late
        case facts.LeaseCured():
            return "Lease cured", f"As of {day(data.as_of)}: {data.reason}", 0
        case _:
            assert_never(data)


def _created(data: facts.LeaseCreated) -> str:
    rate = f"{(Decimal(data.annual_rate) * 100).normalize():f}"
    instalments = f"{data.term} {data.frequency} instalment{'' if data.term == 1 else 's'}"
    return (
        f"{money(data.principal, data.currency)} at {rate}% a year, to be paid in {instalments}"
        f" from {day(data.first_due_date)}; {money(data.total_payable, data.currency)} in all"
    )


def _received(data: facts.PaymentSucceeded, term: int) -> tuple[str, str]:
    if data.payment_status == reconstruct.CANCELLED:
        text = f"{_subject(data, term)}: {_price(data)} by {data.payment_method}"
        return _AFTER_CLOSING, f"{text}, {_UNDER_WAY}"
    text = f"{_subject(data, term)} paid: {_price(data)} by {data.payment_method}"
    if not data.amount_due:
        return "Instalment paid", text
    text = f"{_subject(data, term)} paid in part: {_price(data)} by {data.payment_method}"
    return "Part payment received", f"{text}; {money(data.amount_due, data.currency)} of it still to be paid"


def _given_back(data: facts.MoneyTakenBack, term: int) -> tuple[str, str]:
    if data.kind == "chargeback":
        title, text = "Payment charged back", f"{_subject(data, term)}: the issuer took {_price(data)} back"
    else:
        title, text = "Money given back", f"{_subject(data, term)}: {_price(data)} given back"
    text = f"{text} ({_words(data.reason)})"
    if not data.interest_owed_again:
        return title, text
    return title, f"{text}; {money(data.interest_owed_again, data.currency)} of interest is owed again"


def _paid_early(data: facts.PayoffSucceeded) -> tuple[str, str]:
    text = f"Early payoff as of {day(data.as_of)}: {_price(data)} by {data.payment_method}"
    if not data.instalments:  # there was nothing left to settle
        return _AFTER_CLOSING, f"{text}, {_UNDER_WAY}"
    return "Lease paid early", f"{text}; {money(data.interest_saved, data.currency)} of interest saved"


def _quoted(data: facts.PayoffQuoted) -> str:
    until = data.expires_at.astimezone(UTC)
    text = f"Early payoff as of {day(data.as_of)} would cost {money(data.amount, data.currency)}"
    text = f"{text} and save {money(data.interest_saved, data.currency)} of interest"
    return f"{text}; the quote is good for one payoff before {day(until.date())}, {until:%H:%M} UTC"


def _delinquent(data: facts.LeaseDelinquent) -> str:
    which = ", ".join(map(str, data.numbers))
    text = f"{'Instalment' if len(data.numbers) == 1 else 'Instalments'} {which} late beyond the grace"
    late = f"{data.days_late} day{'' if data.days_late == 1 else 's'}"
    return f"{text}, the oldest by {late}; {money(data.amount_late, data.currency)} to be paid"


def _declined(data: facts.PaymentDeclined | facts.PayoffDeclined, term: int) -> str:
    text = f"{_subject(data, term)}: {_price(data)} by {data.payment_method} was declined"
    return f"{text} ({_words(data.decline.code)}); {_next(data.decline)}"


def _next(decline: facts.Decline) -> str:
    if decline.retry_at is None:
        return _ADVICE.get(decline.advice, _words(decline.advice))
    return f"the next try is on {day(date.fromisoformat(decline.retry_at[:10]))}"


def _subject(data: Attempt, term: int) -> str:
    if data.number is None:
        return "Early payoff"
    return _named(data.number, term)


def _named(number: int, term: int) -> str:
    return f"Instalment {number} of {term}" if term else f"Instalment {number}"


def _price(data: Attempt) -> str:
    return money(data.amount, data.currency)


def _words(code: str) -> str:
    return code.replace("_", " ")
