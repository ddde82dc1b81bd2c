"""What it costs to pay a lease off early, as of a day, and what becomes of its instalments then.

The borrower owes all principal, the interest that the days up to then have earned, and fees. Interest follows
the schedule, not the payments: paying ahead does not lower the running period's interest, but the interest
already paid on instalments not yet due is given back as credit; paying late costs nothing beyond late fees.
"""

from collections.abc import Iterable
from datetime import date
from typing import Final, Literal

from msgspec import Struct

from common.calendar import DayCount, year_fraction
from common.money import half_even, rate_ratio
from payment_svc.allocation import Allocation

FORMULA: Final = "payoff/1"  # named in every payoff, so that an old amount can be worked out again later


class PayoffError(Exception):
    """The day of the payoff lies before the lease's start_date."""


class Terms(Struct, frozen=True, kw_only=True):
    """What of the lease's contract the payoff depends on."""

    principal: int  # minor units
    annual_rate: str  # yearly nominal rate as a decimal
    day_count: DayCount
    start_date: date


class Instalment(Struct, frozen=True, kw_only=True):
    """An instalment as it stands."""

    number: int  # 1, 2, 3 …
    due_date: date
    owed: Allocation  # all it asks for, paid or not
    paid: Allocation  # what has been paid of that
    principal_balance: int  # minor units; the lease's principal after this instalment, by the schedule
    open: bool  # neither paid nor cancelled


class Breakdown(Struct, frozen=True, kw_only=True):
    """How the amount comes about: principal + accrued_interest + fees + late_fees - credits; minor units."""

    principal: int
    accrued_interest: int  # unpaid interest of instalments due, and what the running period has earned so far
    fees: int
    late_fees: int
    credits: int  # interest already paid on instalments not yet due, at most the sum of the other parts


class Settled(Struct, frozen=True, kw_only=True):
    """What the payoff makes of an instalment that was open."""

    number: int
    status: Literal["paid", "cancelled"]  # paid: due on or before the day; cancelled: due after it
    amount_paid: int  # minor units; of a paid one its amount, of a cancelled one what had been paid before


class Payoff(Struct, frozen=True, kw_only=True):
    """A payoff as of a day; money in minor units."""

    as_of: date
    amount: int  # never negative
    breakdown: Breakdown
    interest_saved: int  # the balance of the open instalments less the amount; never negative
    allocation: Allocation  # what the amount pays; interest = accrued_interest - credits, may be negative
    instalments: tuple[Settled, ...]  # those that were open, in order of number
    formula: str = FORMULA
    quote_id: str | None = None  # the binding quote that promised it; null: worked out when it was paid


def payoff(terms: Terms, instalments: Iterable[Instalment], as_of: date) -> Payoff:
    """The payoff of a lease as of a day, from its instalments in order of number, none of them left out.

    Paid ones matter too: they say where the running period starts, and interest paid ahead is given back.
    Raises PayoffError where `as_of` lies before the start date, ValueError for a malformed rate.
    """
    if as_of < terms.start_date:
        raise PayoffError(f"as_of must not lie before {terms.start_date}, the day the lease starts")
    unpaid = Allocation()  # of open instalments: everything but interest counts towards the amount …
    accrued = 0  # … and of the interest only this
    paid_ahead = 0
    period_start, scheduled_balance = terms.start_date, terms.principal
    period_interest: int | None = None  # that of the period `as_of` falls into; None once all have passed
    settled = []
    for instalment in instalments:
        has_come = instalment.due_date <= as_of
        if has_come:
            period_start, scheduled_balance = instalment.due_date, instalment.principal_balance
        else:
            paid_ahead += instalment.paid.interest
            if period_interest is None:
                period_interest = instalment.owed.interest
        if not instalment.open:
            continue
        left = instalment.owed - instalment.paid
        unpaid += left
        if has_come:
            accrued += left.interest
        settled.append(
            Settled(
                number=instalment.number,
                status="paid" if has_come else "cancelled",
                amount_paid=instalment.owed.total if has_come else instalment.paid.total,
            )
        )
    if period_interest is not None:
        # A 30/360 day count can run past a period's end (28 February to 30 March is 32 days): hence the cap.
        accrued += min(period_interest, _interest(terms, scheduled_balance, period_start, as_of))

    gross = unpaid.principal + accrued + unpaid.fees + unpaid.late_fees
    credit = min(paid_ahead, gross)  # where more was paid ahead, the payoff is free but pays nothing out
    amount = gross - credit
    return Payoff(
        as_of=as_of,
        amount=amount,
        breakdown=Breakdown(
            principal=unpaid.principal,
            accrued_interest=accrued,
            fees=unpaid.fees,
            late_fees=unpaid.late_fees,
            credits=credit,
        ),
        interest_saved=unpaid.total - amount,
        allocation=Allocation(
            late_fees=unpaid.late_fees,
            fees=unpaid.fees,
            interest=accrued - credit,
            principal=unpaid.principal,
        ),
        instalments=tuple(settled),
    )


def _interest(terms: Terms, balance: int, start: date, end: date) -> int:
    """What a balance earns from `start` to `end`, rounded half-even."""
    rate, rate_scale = rate_ratio(terms.annual_rate)
    days, year = year_fraction(terms.day_count, start, end)
    return half_even(balance * rate * days, rate_scale * year)
