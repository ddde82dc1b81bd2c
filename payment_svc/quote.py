"""Binding payoff quotes: an amount that is promised until its day is over, and paid once or not at all. Pure.

A promise stands on the instalments as they were: where one has changed since, paying the quoted amount would
be wrong for somebody, so such a quote is refused and a new one has to be asked for.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from payment_svc.allocation import Allocation
from payment_svc.attempt import (
    Account,
    Attempt,
    Payment,
    Refused,
    begin_payoff,
    nothing_in_flight,
    payoff_of,
    something_left,
)
from payment_svc.payoff import Payoff, PayoffError

DAYS_AHEAD_MAX = 60  # of a quote's day: nobody is bound for longer


class Quote(msgspec.Struct, kw_only=True):
    """A promised payoff."""

    quote_id: str  # UUIDv7, made by the front
    lease_id: str
    payoff: Payoff
    state: str  # of the instalments it stands on, see `state_of`
    created_at: datetime
    expires_at: datetime  # exclusive: the midnight (UTC) that ends the day
    used_by: str | None = None  # the attempt that pays it or has paid it


def quote(account: Account, payments: list[Payment], quote_id: str, as_of: date, now: datetime) -> Quote:
    """Promise what it costs to pay the lease off on a day; `now` in UTC.

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
        payoff = payoff_of(account, payments, as_of)
    except PayoffError as error:
        raise Refused(422, str(error).removeprefix("as_of "), "/as_of") from None
    return Quote(
        quote_id=quote_id,
        lease_id=account.lease_id,
        payoff=replace(payoff, quote_id=quote_id),
        state=state_of(payments),
        created_at=now,
        expires_at=datetime.combine(as_of + timedelta(days=1), time(), UTC),
    )


def state_of(payments: Iterable[Payment]) -> str:
    """What a payoff depends on and what can change, as hex SHA-256: owed, paid, and what is closed.

    Not the payoff worked out anew: a later version of the formula must not break a promise of this one.
    """
    rows = [
        (payment.number, not payment.open, _parts(payment.owed), _parts(payment.paid))
        for payment in sorted(payments, key=lambda payment: payment.number)
    ]
    return sha256(msgspec.json.encode(rows)).hexdigest()


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
    if state_of(payments) != quote.state:
        raise Refused(
            409,
            "What is to be paid on this lease has changed since this quote was given;"
            " its amount is no longer right. A new quote is needed.",
        )
    quote.used_by = attempt_id
    return begin_payoff(account, quote.payoff, attempt_id, command_id, method, now)


def _parts(money: Allocation) -> tuple[int, ...]:
    return money.late_fees, money.fees, money.interest, money.principal
