"""Binding payoff quotes: an amount that is promised until its day is over, and paid once or not at all. Pure.

A promise stands on the money as it was: where the customer or the bank has moved some since (a payment,
refund, chargeback or payoff; or the lease was closed), the quote is broken, and for good: it is refused and a
new one has to be asked for. What the lender does does not break it: the payoff that cites it waives late fees
that were assessed since.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import (
    Account,
    Attempt,
    Payment,
    Refused,
    begin_payoff,
    nothing_in_flight,
    payoff_of,
    something_left,
)
from payment_svc.domain.payoff import CUT, FORMULA, Payoff, PayoffError

DAYS_AHEAD_MAX = 60  # of a quote's day: nobody is bound for longer
STATE = "2:"  # what a digest begins with; those of before have no such thing, see `first_state_of`


class Quote(msgspec.Struct, kw_only=True):
    """A promised payoff."""

    quote_id: str  # UUIDv7, made by the front
    lease_id: str
    payoff: Payoff
    state: str  # of the money it stands on, see `state_of`
    created_at: datetime
    expires_at: datetime  # exclusive: the midnight (UTC) that ends the day
    used_by: str | None = None  # the attempt that pays it or has paid it


def quote(
    account: Account,
    payments: list[Payment],
    quote_id: str,
    as_of: date,
    now: datetime,
    *,
    formula: str = FORMULA,
) -> Quote:
    """Promise what it costs to pay the lease off on a day; `now` in UTC, `formula` as in `payoff`.

    Raises Refused: 422 on `/as_of` for a day that is over, too far ahead or before the lease starts; 409
    where nothing is left to be paid, or an attempt is in flight (its outcome may change the amount).
    """
    today = now.date()
    if as_of < today:
        raise Refused(422, f"must not lie before {today}, today (UTC)", "/as_of")
    if as_of > today + timedelta(days=DAYS_AHEAD_MAX):
        raise Refused(422, f"must be at most {DAYS_AHEAD_MAX} days ahead of {today}, today (UTC)", "/as_of")
    nothing_in_flight(account, payments)
    try:
        payoff = payoff_of(account, payments, as_of, formula=formula)
    except PayoffError as error:
        raise Refused(422, str(error).removeprefix("as_of "), "/as_of") from None
    return Quote(
        quote_id=quote_id,
        lease_id=account.lease_id,
        payoff=replace(payoff, quote_id=quote_id),
        state=first_state_of(payments, payoff) if formula == CUT else state_of(account, payments),
        created_at=now,
        expires_at=datetime.combine(as_of + timedelta(days=1), time(), UTC),
    )


def state_of(account: Account, payments: Iterable[Payment]) -> str:
    """What customers and banks can change of what a payoff depends on, as SHA-256 in hex after STATE.

    How often money has moved, what is owed (late fees apart, which are the lender's), paid, and closed. Not
    the payoff worked out anew: a later version of the formula must not break a promise of this one.
    """
    rows = _rows(payments, {payment.number: 0 for payment in payments})
    return STATE + sha256(msgspec.json.encode((account.money_moves, rows))).hexdigest()


def first_state_of(payments: Iterable[Payment], payoff: Payoff) -> str:
    """The digest of quotes given before money was counted: hex SHA-256 of what is owed, paid and closed.

    It has late fees in it: `payoff`, the quote's, says what they were then.
    """
    late_fees = {settled.number: settled.owed.late_fees for settled in payoff.instalments}
    return sha256(msgspec.json.encode(_rows(payments, late_fees))).hexdigest()


def _holds(account: Account, payments: list[Payment], quote: Quote) -> bool:
    if quote.state.startswith(STATE):
        return quote.state == state_of(account, payments)
    return quote.state == first_state_of(payments, quote.payoff)


def start_quoted_payoff(
    account: Account,
    payments: list[Payment],
    quote: Quote | None,
    attempt_id: str,
    command_id: str,
    method: str,
    now: datetime,
) -> Attempt:
    """Begin to collect exactly what was quoted, and mark the quote as used by the attempt.

    `quote`: the one that was cited, if there is such a one. Raises Refused: 422 on `/quote_id` where it is no
    quote of this lease; 409 where an attempt is in flight, nothing is left to be paid, or the quote is used,
    expired or out of date.
    """
    if quote is None or quote.lease_id != account.lease_id:
        raise Refused(422, "is no quote of this lease", "/quote_id")
    nothing_in_flight(account, payments)
    if quote.used_by is not None:
        raise Refused(409, f"This quote has been used, by attempt {quote.used_by}.")
    something_left(payments)
    if now >= quote.expires_at:
        raise Refused(
            409, f"This quote has expired: it was good for {quote.payoff.as_of} (UTC). A new one is needed."
        )
    if not _holds(account, payments, quote):
        raise Refused(
            409,
            "Money has moved on this lease since this quote was given;"
            " its amount is no longer right. A new quote is needed.",
        )
    quote.used_by = attempt_id
    return begin_payoff(account, quote.payoff, attempt_id, command_id, method, now)


def _rows(payments: Iterable[Payment], late_fees: dict[int, int]) -> list[tuple[object, ...]]:
    """By instalment: whether it is closed, what it asks for, and what was paid; with these late fees."""
    return [
        (
            payment.number,
            not payment.open,
            _parts(replace(payment.owed, late_fees=late_fees.get(payment.number, payment.owed.late_fees))),
            _parts(payment.paid),
        )
        for payment in sorted(payments, key=lambda payment: payment.number)
    ]


def _parts(money: Allocation) -> tuple[int, ...]:
    return money.late_fees, money.fees, money.interest, money.principal
