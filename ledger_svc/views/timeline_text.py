"""The sentences of the timeline, and how money and days are written in them."""

from calendar import month_name
from datetime import UTC, date
from decimal import Decimal
from functools import lru_cache

from iso4217 import Currency

from ledger_svc.contracts import payloads
from ledger_svc.contracts.payloads import Attempt
from ledger_svc.views.lease_state import CANCELLED

_ADVICE = {
    "do_not_retry": "it must not be tried again with this payment method",
    "retry_later": "it may be tried again later",
    "update_instrument": "another payment method is needed",
}
_AFTER_CLOSING = "Payment after closing"
_MONEY_TAKEN_BACK = "money_taken_back"
_UNDER_WAY = "which was under way when the lease was closed"


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


def created(data: payloads.LeaseCreated) -> str:
    """The terms."""
    rate = f"{(Decimal(data.annual_rate) * 100).normalize():f}"
    instalments = f"{data.term} {data.frequency} instalment{'' if data.term == 1 else 's'}"
    return (
        f"{money(data.principal, data.currency)} at {rate}% a year, to be paid in {instalments}"
        f" from {day(data.first_due_date)}; {money(data.total_payable, data.currency)} in all"
    )


def received(data: payloads.PaymentSucceeded, term: int) -> tuple[str, str]:
    """Title and sentence of money for an instalment."""
    if data.payment_status == CANCELLED:
        text = f"{subject(data, term)}: {price(data)} by {data.payment_method}"
        return _AFTER_CLOSING, f"{text}, {_UNDER_WAY}"
    text = f"{subject(data, term)} paid: {price(data)} by {data.payment_method}"
    if not data.amount_due:
        return "Instalment paid", text
    text = f"{subject(data, term)} paid in part: {price(data)} by {data.payment_method}"
    return "Part payment received", f"{text}; {money(data.amount_due, data.currency)} of it still to be paid"


def given_back(data: payloads.MoneyTakenBack, term: int) -> tuple[str, str]:
    """Title and sentence of a refund or chargeback."""
    if data.kind == "chargeback":
        title, text = "Payment charged back", f"{subject(data, term)}: the issuer took {price(data)} back"
    else:
        title, text = "Money given back", f"{subject(data, term)}: {price(data)} given back"
    text = f"{text} ({plain(data.reason)})"
    if data.refund_due_of:
        return title, f"{text}: interest paid ahead that the early payoff has saved"
    if data.interest_owed_again:
        text = f"{text}; {money(data.interest_owed_again, data.currency)} of interest is owed again"
    if data.late_fees_owed_again:
        text = f"{text}; {money(data.late_fees_owed_again, data.currency)} of late fees is owed again"
    if data.refund_lapsed:
        text = f"{text}; {money(data.refund_lapsed, data.currency)} is not due back any longer"
    stopped = [
        each.number
        for each in data.instalments
        if each.autopay_stopped is not None and each.autopay_stopped.reason == _MONEY_TAKEN_BACK
    ]
    if stopped:
        text = f"{text}; autopay does not collect {_instalments(stopped)} again by itself"
    return title, text


def autopay(data: payloads.AutopayChanged) -> tuple[str, str]:
    """Title and sentence of what autopay does from now on."""
    if data.autopay_stopped is not None:
        why = plain(data.autopay_stopped.reason)
        text = f"{data.payment_method} is not charged by any collection run any more ({why})"
        return "Autopay stopped" if data.autopay else "Autopay off", text
    if not data.autopay:
        return "Autopay off", "Instalments are no longer collected without being asked for"
    text = f"Instalments are collected by {data.payment_method} when they fall due"
    if data.instalments:
        numbers = [each.number for each in data.instalments]
        text = f"{text}; {_instalments(numbers)} can be tried by the next run"
    return "Autopay on", text


def _instalments(numbers: list[int]) -> str:
    return f"instalment{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def paid_early(data: payloads.PayoffSucceeded) -> tuple[str, str]:
    """Title and sentence of an early payoff."""
    text = f"Early payoff as of {day(data.as_of)}: {price(data)} by {data.payment_method}"
    if not data.instalments:  # there was nothing left to settle
        return _AFTER_CLOSING, f"{text}, {_UNDER_WAY}"
    text = f"{text}; {money(data.interest_saved, data.currency)} of interest saved"
    if data.refund_due:
        text = f"{text}, of which {money(data.refund_due, data.currency)} was paid ahead and goes back"
    if data.waived.late_fees:
        text = f"{text}; {money(data.waived.late_fees, data.currency)} of late fees waived"
    return "Lease paid early", text


def quoted(data: payloads.PayoffQuoted) -> str:
    """What was promised, and until when."""
    until = data.expires_at.astimezone(UTC)
    text = f"Early payoff as of {day(data.as_of)} would cost {money(data.amount, data.currency)}"
    text = f"{text} and save {money(data.interest_saved, data.currency)} of interest"
    if data.refund_due:
        text = f"{text}, of which {money(data.refund_due, data.currency)} was paid ahead and goes back"
    return f"{text}; the quote is good for one payoff before {day(until.date())}, {until:%H:%M} UTC"


def delinquent(data: payloads.LeaseDelinquent) -> str:
    """Which instalments are late, and how much they are."""
    which = ", ".join(map(str, data.numbers))
    text = f"{'Instalment' if len(data.numbers) == 1 else 'Instalments'} {which} late beyond the grace"
    late = f"{data.days_late} day{'' if data.days_late == 1 else 's'}"
    return f"{text}, the oldest by {late}; {money(data.amount_late, data.currency)} to be paid"


def declined(data: payloads.PaymentDeclined | payloads.PayoffDeclined, term: int) -> str:
    """Why, and what follows."""
    text = f"{subject(data, term)}: {price(data)} by {data.payment_method} was declined"
    return f"{text} ({plain(data.decline.code)}); {_next(data.decline)}"


def _next(decline: payloads.Decline) -> str:
    if decline.retry_at is None:
        return _ADVICE.get(decline.advice, plain(decline.advice))
    return f"the next try is on {day(date.fromisoformat(decline.retry_at[:10]))}"


def subject(data: Attempt, term: int) -> str:
    """What an attempt is about."""
    if data.number is None:
        return "Early payoff"
    return named(data.number, term)


def named(number: int, term: int) -> str:
    """An instalment; `term` 0: nobody knows yet how many there are."""
    return f"Instalment {number} of {term}" if term else f"Instalment {number}"


def price(data: Attempt) -> str:
    """How much an attempt is about."""
    return money(data.amount, data.currency)


def plain(code: str) -> str:
    """A code as words."""
    return code.replace("_", " ")
