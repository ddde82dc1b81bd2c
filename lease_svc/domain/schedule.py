"""The repayment schedule of a lease: level instalments over a declining balance, exact to the minor unit.

Each row's interest is balance * annual rate * year fraction of its period, and its principal what the level
instalment leaves; the last row takes up what rounding has left over. Everything is integers and ratios of
integers, so that a tie is a tie when it is rounded half-even.
"""

from collections.abc import Sequence
from datetime import date
from math import lcm
from typing import Final, NamedTuple

from msgspec import Struct

from common.kernel import day_count as calendar
from common.kernel.day_count import FIRST_DAY, LAST_DAY, DayCount
from common.kernel.money import half_even, is_currency, rate_ratio
from lease_svc.contracts.values import PRINCIPAL_MAX, TERM_MAX, Frequency
from lease_svc.domain.annuity import level_instalment

FIRST_PERIOD_MAX_DAYS: Final = 100
_PERIODS_PER_YEAR: Final[dict[Frequency, int]] = {
    "weekly": 52,
    "biweekly": 26,
    "semimonthly": 24,
    "monthly": 12,
}


class Violation(NamedTuple):
    """What is wrong with one field of the terms."""

    field: str  # its name, such as term
    detail: str


class ScheduleError(Exception):
    """The terms cannot be carried out as they stand."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(f"{each.field}: {each.detail}" for each in violations))
        self.violations = tuple(violations)


class Terms(Struct, frozen=True, kw_only=True):
    """What a schedule is made from."""

    currency: str  # ISO 4217 code
    principal: int  # minor units, 1 to 10^12
    annual_rate: str  # yearly nominal rate as a decimal, "0" to "10", at most 8 decimals
    term: int  # number of instalments, 1 to 520
    frequency: Frequency
    day_count: DayCount
    start_date: date  # interest runs from here
    first_due_date: date | None = None  # None: one period after start_date
    fees: int = 0  # minor units, all fees together; due with instalment 1


class Row(Struct, frozen=True, kw_only=True, gc=False):
    """One instalment as scheduled."""

    number: int  # 1, 2, 3 …
    due_date: date
    amount: int  # minor units; principal + interest + fees
    principal: int  # minor units, at least 1
    interest: int  # minor units
    fees: int  # minor units; 0 but for instalment 1
    principal_balance: int  # minor units left once this instalment is paid


class Schedule(Struct, frozen=True, kw_only=True):
    """All instalments and their sums."""

    instalment: int  # minor units; principal + interest of every row but the last
    rows: tuple[Row, ...]
    total_interest: int  # minor units
    total_fees: int  # minor units
    total_payable: int  # minor units; principal + interest + fees
    first_due_date: date
    maturity_date: date  # the last due date


def due_dates(
    frequency: Frequency, start_date: date, first_due_date: date | None, first: int, count: int
) -> list[date]:
    """Due dates of the instalments `first`, `first` + 1, … (1 is the lease's first), `count` of them.

    They are steps from the anchor: `first_due_date` when given, which is itself the first due date,
    else `start_date`, one step before it.
    """
    anchor, step = (start_date, first) if first_due_date is None else (first_due_date, first - 1)
    if frequency == "monthly":
        return calendar.monthly(anchor, step, count)
    if frequency == "semimonthly":
        return calendar.semimonthly(anchor, step, count)
    return calendar.every_days(anchor, 7 if frequency == "weekly" else 14, step, count)


def check_dates(
    frequency: Frequency, term: int, start_date: date, first_due_date: date | None
) -> list[Violation]:
    """What is wrong with the dates, if anything; cheap enough to be asked before a command is sent."""
    violations: list[Violation] = []
    between = f"must lie between {FIRST_DAY} and {LAST_DAY}"
    if not FIRST_DAY <= start_date <= LAST_DAY:
        violations.append(Violation("start_date", between))
    if first_due_date is not None:
        if not FIRST_DAY <= first_due_date <= LAST_DAY:
            violations.append(Violation("first_due_date", between))
        if first_due_date <= start_date:
            violations.append(Violation("first_due_date", "must lie after start_date"))
        elif (first_due_date - start_date).days > FIRST_PERIOD_MAX_DAYS:
            detail = f"must lie at most {FIRST_PERIOD_MAX_DAYS} days after start_date"
            violations.append(Violation("first_due_date", detail))
    if violations or not 1 <= term <= TERM_MAX:
        return violations
    if due_dates(frequency, start_date, first_due_date, term, 1)[0] > LAST_DAY:
        violations.append(Violation("start_date", f"the last instalment would fall due after {LAST_DAY}"))
    return violations


def build(terms: Terms) -> Schedule:
    """The schedule of these terms. Raises ScheduleError with everything that is wrong with them."""
    _refuse_bad_values(terms)
    due = due_dates(terms.frequency, terms.start_date, terms.first_due_date, 1, terms.term)
    fractions, year = _fractions(terms, due)
    rate, scale = rate_ratio(terms.annual_rate)
    rates, one = [rate * fraction for fraction in fractions], scale * year  # r_i = rates[i] / one
    instalment = level_instalment(terms.principal, rates, one)

    rows: list[Row] = []
    balance, fees, last, total_interest = terms.principal, terms.fees, terms.term, 0
    for number, (due_date, period_rate) in enumerate(zip(due, rates, strict=True), 1):
        interest = half_even(balance * period_rate, one)
        principal = instalment - interest if number < last else balance
        balance -= principal
        if principal < 1:
            # Too little to divide, used up before the last row, or an instalment below its period's interest.
            detail = f"principal too small for that many instalments: number {number} would repay none of it"
            raise ScheduleError([Violation("term", detail)])
        total_interest += interest
        rows.append(
            Row(
                number=number,
                due_date=due_date,
                amount=principal + interest + fees,
                principal=principal,
                interest=interest,
                fees=fees,
                principal_balance=balance,
            )
        )
        fees = 0
    return Schedule(
        instalment=instalment,
        rows=tuple(rows),
        total_interest=total_interest,
        total_fees=terms.fees,
        total_payable=terms.principal + total_interest + terms.fees,
        first_due_date=due[0],
        maturity_date=due[-1],
    )


def _refuse_bad_values(terms: Terms) -> None:
    violations = check_dates(terms.frequency, terms.term, terms.start_date, terms.first_due_date)
    if not is_currency(terms.currency):
        violations.append(Violation("currency", "must be a current ISO 4217 code with a minor unit"))
    if not 1 <= terms.principal <= PRINCIPAL_MAX:
        violations.append(Violation("principal", f"must be 1 to {PRINCIPAL_MAX}"))
    if not 1 <= terms.term <= TERM_MAX:
        violations.append(Violation("term", f"must be 1 to {TERM_MAX}"))
    if terms.fees < 0:
        violations.append(Violation("fees", "must not be negative"))
    try:
        rate_ratio(terms.annual_rate)
    except ValueError as error:
        violations.append(Violation("annual_rate", str(error)))
    if violations:
        raise ScheduleError(violations)


def _fractions(terms: Terms, due: list[date]) -> tuple[list[int], int]:
    """Year fractions of the periods: numerators and their common denominator."""
    if terms.day_count != "30/360":
        return calendar.year_fractions(terms.day_count, [terms.start_date, *due])
    periods = _PERIODS_PER_YEAR[terms.frequency]
    year = lcm(360, periods)
    fractions = [year // periods] * len(due)  # a regular period is that part of a year whatever its days
    if terms.first_due_date is not None:
        regular_first = due_dates(terms.frequency, terms.start_date, None, 1, 1)[0]
        if terms.first_due_date != regular_first:
            days, _ = calendar.year_fraction("30/360", terms.start_date, terms.first_due_date)
            fractions[0] = days * (year // 360)
    return fractions, year
