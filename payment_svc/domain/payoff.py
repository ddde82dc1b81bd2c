"""What it costs to pay a lease off early, as of a day, and what becomes of its instalments then.

The borrower owes all principal, the interest that the days up to then have earned, and fees. Interest follows
the schedule, not the payments: paying ahead does not lower the running period's interest, but the interest
already paid on instalments not yet due is given back as credit; paying late costs nothing beyond late fees.
Credit beyond what is owed is unearned interest and belongs to the customer (15 U.S.C. 1615): then the payoff
costs nothing, and the rest of the credit is due back (`refund_due`).
"""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from common.kernel.day_count import DayCount, year_fraction
from common.kernel.money import MinorUnits, half_even, rate_ratio
from payment_svc.domain.allocation import Allocation

FORMULA: Final = "payoff/2"  # named in every payoff, so that an old amount can be worked out again later
CUT: Final = "payoff/1"  # the same, but cut to zero where it fell below: nothing was due back
REST: Final = "rest/1"  # of what a payoff taken back in part has left open: see `rest`


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

    number: Annotated[int, Meta(description="1, 2, 3 …")]
    due_date: Annotated[date, Meta(description="the day it falls due")]
    owed: Annotated[Allocation, Meta(description="all it asks for, paid or not")]
    paid: Annotated[Allocation, Meta(description="what has been paid of that")]
    principal_balance: Annotated[
        int, Meta(description="minor units; the lease's principal after this instalment, by the schedule")
    ]
    open: Annotated[bool, Meta(description="neither paid nor cancelled")]


class Breakdown(Struct, frozen=True, kw_only=True):
    """How the amount comes about: principal + accrued_interest + fees + late_fees - credits; minor units."""

    principal: MinorUnits
    accrued_interest: Annotated[
        int,
        Meta(description="unpaid interest of instalments due, and what the running period has earned so far"),
    ]
    fees: MinorUnits
    late_fees: MinorUnits
    credits: Annotated[
        int,
        Meta(
            description="interest already paid on instalments not yet due; may exceed the sum of the other "
            "parts"
        ),
    ]


class Settled(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the payoff makes of an instalment that was open."""

    number: int
    status: Literal["paid", "cancelled"]  # paid: due on or before the day; cancelled: due after it
    amount_paid: int  # minor units; of a paid one its amount, of a cancelled one what had been paid before
    owed: Allocation  # all it asked for before
    paid: Allocation  # what had been paid of that before
    share: Allocation  # what of the payoff's amount is for it; no part is negative
    late_fees_waived: int = 0  # late fees assessed since the payoff was worked out

    @property
    def saved(self) -> Allocation:
        """What is no longer owed of it; mostly interest, principal too where credits went beyond interest."""
        return self.owed - self.paid - self.share


class Payoff(Struct, frozen=True, kw_only=True):
    """A payoff as of a day; money in minor units."""

    as_of: date
    amount: int  # never negative
    breakdown: Breakdown
    interest_saved: int  # the balance of the open instalments - amount + refund_due; never negative
    allocation: Allocation  # what the amount pays; interest is net of credits and may be negative
    instalments: tuple[Settled, ...]  # those that were open, in order of number
    formula: str = FORMULA
    quote_id: str | None = None  # the binding quote that promised it; null: worked out when it was paid

    @property
    def refund_due(self) -> int:
        """What the formula falls below zero by: unearned interest, to be given back to the customer."""
        parts = self.breakdown
        gross = parts.principal + parts.accrued_interest + parts.fees + parts.late_fees
        return self.amount - gross + parts.credits

    @property
    def late_fees_waived(self) -> int:
        """Late fees assessed since it was worked out, of all instalments."""
        return sum(each.late_fees_waived for each in self.instalments)

    @property
    def of_nothing(self) -> bool:
        """Whether it collects nothing and so stands only while all stands that was collected before.

        Those that the old formula cut to zero stand whatever is taken back: nothing was given back by them.
        """
        return self.amount == 0 and self.formula not in (CUT, REST)


def payoff(terms: Terms, instalments: Iterable[Instalment], as_of: date, *, formula: str = FORMULA) -> Payoff:
    """The payoff of a lease as of a day, from its instalments in order of number, none of them left out.

    Paid ones matter too: they say where the running period starts, and interest paid ahead is given back.
    `formula`: the version, CUT for a payoff of before. Raises PayoffError where `as_of` lies before the start
    date, ValueError for a malformed rate.
    """
    if as_of < terms.start_date:
        raise PayoffError(f"as_of must not lie before {terms.start_date}, the day the lease starts")
    unpaid = Allocation()  # of open instalments: everything but interest counts towards the amount …
    accrued = 0  # … and of the interest only this
    paid_ahead = 0
    running: Instalment | None = None  # that of the period `as_of` falls into; None once all have passed
    period_start, scheduled_balance = terms.start_date, terms.principal
    opened = []
    for instalment in instalments:
        has_come = instalment.due_date <= as_of
        if has_come:
            period_start, scheduled_balance = instalment.due_date, instalment.principal_balance
        else:
            paid_ahead += instalment.paid.interest
            running = running or instalment
        if not instalment.open:
            continue
        left = instalment.owed - instalment.paid
        unpaid += left
        if has_come:
            accrued += left.interest
        opened.append(instalment)
    earned = 0
    if running is not None:
        # A 30/360 day count can run past a period's end (28 February to 30 March is 32 days): hence the cap.
        earned = min(running.owed.interest, _interest(terms, scheduled_balance, period_start, as_of))
        accrued += earned

    gross = unpaid.principal + accrued + unpaid.fees + unpaid.late_fees
    credit = min(paid_ahead, gross) if formula == CUT else paid_ahead
    amount = max(0, gross - credit)
    refund_due = amount - gross + credit
    claims = [_claim(each, as_of, earned if each is running else 0) for each in opened]
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
        interest_saved=unpaid.total - amount + refund_due,
        allocation=Allocation(
            late_fees=unpaid.late_fees,
            fees=unpaid.fees,
            interest=accrued - credit + refund_due,
            principal=unpaid.principal,
        ),
        instalments=tuple(
            _settled(each, as_of, share) for each, share in zip(opened, _shares(claims, amount), strict=True)
        ),
        formula=formula,
    )


def rest(instalments: Iterable[Instalment], as_of: date) -> Payoff:
    """The payoff of what is open on a lease whose payoff was taken back in part: all of it, and no more.

    Interest was settled by that payoff, for the days up to it and for what had been paid ahead. So nothing
    has been earned since, nothing is credited a second time and nothing is left to be saved.
    """
    left = [(each, each.owed - each.paid) for each in instalments if each.open]
    total = sum((due for _, due in left), Allocation())
    return Payoff(
        as_of=as_of,
        amount=total.total,
        breakdown=Breakdown(
            principal=total.principal,
            accrued_interest=total.interest,
            fees=total.fees,
            late_fees=total.late_fees,
            credits=0,
        ),
        interest_saved=0,
        allocation=total,
        instalments=tuple(_settled(each, each.due_date, due) for each, due in left),
        formula=REST,
    )


def _settled(instalment: Instalment, as_of: date, share: Allocation) -> Settled:
    has_come = instalment.due_date <= as_of
    return Settled(
        number=instalment.number,
        status="paid" if has_come else "cancelled",
        amount_paid=instalment.owed.total if has_come else instalment.paid.total,
        owed=instalment.owed,
        paid=instalment.paid,
        share=share,
    )


def _claim(instalment: Instalment, as_of: date, earned: int) -> Allocation:
    """What a payoff asks for an open instalment before others' credits; `earned`: in its period."""
    left = instalment.owed - instalment.paid
    if instalment.due_date <= as_of:
        return left
    return replace(left, interest=max(0, earned - instalment.paid.interest))


def _shares(claims: list[Allocation], amount: int) -> list[Allocation]:
    """The claims, cut to the amount: credits take interest away first, from the last instalment backwards."""
    cut = sum(claim.total for claim in claims) - amount
    shares = list(claims)
    for part in ("interest", "principal", "fees", "late_fees"):
        for place in reversed(range(len(shares))):
            taken = min(cut, getattr(shares[place], part))
            cut -= taken
            shares[place] = replace(shares[place], **{part: getattr(shares[place], part) - taken})
    return shares


def _interest(terms: Terms, balance: int, start: date, end: date) -> int:
    """What a balance earns from `start` to `end`, rounded half-even."""
    rate, rate_scale = rate_ratio(terms.annual_rate)
    days, year = year_fraction(terms.day_count, start, end)
    return half_even(balance * rate * days, rate_scale * year)
