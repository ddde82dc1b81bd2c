"""Early payoff: examples worked by hand on the lease of 1,200.00 at 12 % over 12 months."""

from datetime import date
from typing import Any

import pytest

from lease_svc.domain import schedule
from payment_svc.domain.allocation import Allocation
from payment_svc.domain.payoff import (
    CUT,
    FORMULA,
    REST,
    Breakdown,
    Instalment,
    Payoff,
    PayoffError,
    Terms,
    payoff,
    rest,
)

START = date(2026, 12, 1)
TERMS = Terms(principal=120_000, annual_rate="0.12", day_count="30/360", start_date=START)


def instalments(paid: int = 0, **changes: Any) -> list[Instalment]:
    """The lease's twelve instalments, the first `paid` of them paid; 2500 of fees on the first.

    Rows 1 to 3 as (principal, interest, balance after): (9462, 1200, 110538), (9557, 1105, 100981),
    (9652, 1010, 91329). All interest is 7942, all together 130442.
    """
    terms: dict[str, Any] = {
        "currency": "USD", "principal": 120_000, "annual_rate": "0.12", "term": 12, "frequency": "monthly",
        "day_count": "30/360", "start_date": START, "fees": 2500,
    }  # fmt: skip
    found = []
    for row in schedule.build(schedule.Terms(**{**terms, **changes})).rows:
        owed = Allocation(fees=row.fees, interest=row.interest, principal=row.principal)
        found.append(
            Instalment(
                number=row.number,
                due_date=row.due_date,
                owed=owed,
                paid=owed if row.number <= paid else Allocation(),
                principal_balance=row.principal_balance,
                open=row.number > paid,
            )
        )
    return found


def with_paid(instalment: Instalment, paid: Allocation) -> Instalment:
    """The same instalment with that much paid, still open."""
    return Instalment(
        number=instalment.number,
        due_date=instalment.due_date,
        owed=instalment.owed,
        paid=paid,
        principal_balance=instalment.principal_balance,
        open=True,
    )


def outcomes(found: Payoff) -> list[tuple[int, str, int]]:
    return [(each.number, each.status, each.amount_paid) for each in found.instalments]


def test_in_the_middle_of_a_period_with_one_instalment_overdue() -> None:
    """On 16 February number 1 is paid and number 2 is not.

    Principal 120000 - 9462 = 110538. Interest: 1105 of number 2, and 15 of 360 days on the 100981 that the
    schedule leaves after it: 100981 * 0.12 * 15/360 = 504.905, so 505. Together 112148, out of a balance of
    130442 - 13162 = 117280.
    """
    found = payoff(TERMS, instalments(paid=1), date(2027, 2, 16))
    assert found.breakdown == Breakdown(
        principal=110538, accrued_interest=1610, fees=0, late_fees=0, credits=0
    )
    assert (found.amount, found.interest_saved, found.formula) == (112148, 5132, FORMULA)
    assert found.allocation == Allocation(interest=1610, principal=110538)
    assert outcomes(found)[0] == (2, "paid", 10662)
    assert outcomes(found)[1:] == [(number, "cancelled", 0) for number in range(3, 13)]
    # what of the amount is for number 2, for number 3 with the running period's interest, and for number 4
    assert [each.share for each in found.instalments[:3]] == [
        Allocation(interest=1105, principal=9557),
        Allocation(interest=505, principal=9652),
        Allocation(principal=9749),
    ]
    assert sum(each.saved.total for each in found.instalments) == found.interest_saved


def test_on_the_first_day_nothing_has_accrued() -> None:
    """Principal and fees are owed and all interest is saved."""
    found = payoff(TERMS, instalments(), START)
    assert (found.amount, found.interest_saved) == (122500, 7942)


def test_on_a_due_date_its_interest_is_owed_and_no_more() -> None:
    """1 February: the interest of numbers 1 and 2, 1200 + 1105, and the running period has just begun."""
    assert payoff(TERMS, instalments(), date(2027, 2, 1)).breakdown.accrued_interest == 2305


def test_the_day_before_the_start_is_refused() -> None:
    """There is nothing to pay off before the lease starts."""
    with pytest.raises(PayoffError, match="must not lie before 2026-12-01"):
        payoff(TERMS, instalments(), date(2026, 11, 30))


@pytest.mark.parametrize("as_of", [date(2027, 12, 1), date(2030, 1, 1)])
def test_from_maturity_on_nothing_is_saved(as_of: date) -> None:
    """The amount is the balance and every open instalment becomes paid."""
    found = payoff(TERMS, instalments(paid=10), as_of)
    # Numbers 11 and 12: 10662 and 10660.
    assert (found.amount, found.interest_saved) == (21322, 0)
    assert [settled.status for settled in found.instalments] == ["paid", "paid"]


def test_interest_paid_ahead_is_given_back() -> None:
    """On 11 December number 1 is paid in full, weeks ahead, and 700 of number 2, all of it interest.

    Principal 110538; 10 days on 120000: 120000 * 0.12 * 10/360 = 400; credits 1200 + 700.
    """
    ahead = instalments(paid=1)
    ahead[1] = with_paid(ahead[1], Allocation(interest=700))
    found = payoff(TERMS, ahead, date(2026, 12, 11))
    assert found.breakdown == Breakdown(
        principal=110538, accrued_interest=400, fees=0, late_fees=0, credits=1900
    )
    assert found.amount == 110538 + 400 - 1900
    assert found.allocation == Allocation(interest=-1500, principal=110538)
    # Credits beyond the interest that has accrued cut the principal of the last instalment.
    assert [each.share for each in found.instalments[:2]] == [
        Allocation(principal=9557),
        Allocation(principal=9652),
    ]
    assert found.instalments[-1].share == Allocation(principal=10554 - 1500)
    # Number 1 was paid and is not touched; number 2 keeps what was paid on it.
    assert outcomes(found)[0] == (2, "cancelled", 700)


def test_more_credit_than_is_owed_goes_back() -> None:
    """One cent of principal is open and 40 of interest was paid ahead: it is free, and 39 are due back.

    By the formula of before, by which payoffs on record were worked out, they were not.
    """
    last = Allocation(interest=40, principal=100)
    only = Instalment(
        number=1,
        due_date=date(2027, 1, 1),
        owed=last,
        paid=Allocation(interest=40, principal=99),
        principal_balance=0,
        open=True,
    )
    terms = Terms(principal=100, annual_rate="4.8", day_count="30/360", start_date=START)
    found = payoff(terms, [only], START)
    assert (found.amount, found.refund_due, found.breakdown.credits) == (0, 39, 40)
    assert (found.interest_saved, found.formula, found.of_nothing) == (40, "payoff/2", True)
    assert found.allocation == Allocation(interest=-1, principal=1)
    before = payoff(terms, [only], START, formula=CUT)
    assert (before.amount, before.refund_due, before.breakdown.credits) == (0, 0, 1)
    assert (before.interest_saved, before.formula, before.of_nothing) == (1, "payoff/1", False)
    assert before.allocation == found.allocation


def test_two_monthly_instalments_paid_ahead_but_for_a_cent() -> None:
    """100,000 at 24 %, on the first day: one cent is open, 1 + 0 - (2000 + 1010) = -3009."""
    terms = Terms(principal=100_000, annual_rate="0.24", day_count="30/360", start_date=START)
    one, two = instalments(paid=2, principal=100_000, annual_rate="0.24", term=2, fees=0)
    assert (one.owed.interest, two.owed.interest) == (2000, 1010)
    one = with_paid(one, one.owed - Allocation(principal=1))
    found = payoff(terms, [one, two], START)
    assert (found.amount, found.refund_due, found.interest_saved) == (0, 3009, 3010)
    assert found.breakdown == Breakdown(principal=1, accrued_interest=0, fees=0, late_fees=0, credits=3010)
    assert found.allocation == Allocation(interest=-1, principal=1)
    assert outcomes(found) == [(1, "cancelled", one.paid.total)]


def test_a_payoff_of_exactly_nothing() -> None:
    """The credits are what is owed: nothing to pay and nothing to give back; it stands on what was paid."""
    terms = Terms(principal=100_000, annual_rate="0.24", day_count="30/360", start_date=START)
    one, two = instalments(paid=2, principal=100_000, annual_rate="0.24", term=2, fees=0)
    one = with_paid(one, one.owed - Allocation(principal=3010))
    found = payoff(terms, [one, two], START)
    assert (found.amount, found.refund_due, found.interest_saved) == (0, 0, 3010)
    assert found.of_nothing


def test_the_rest_of_a_payoff_taken_back_in_part() -> None:
    """What is open is paid and no more: nothing accrues, is credited or saved, whatever day it is."""
    open_ones = instalments(paid=10)
    found = rest(open_ones, date(2026, 12, 11))
    left = open_ones[10].owed + open_ones[11].owed
    assert (found.amount, found.interest_saved, found.formula) == (left.total, 0, REST)
    assert (found.allocation, found.breakdown.credits) == (left, 0)
    assert outcomes(found) == [(each.number, "paid", each.owed.total) for each in open_ones[10:]]
    assert [each.saved for each in found.instalments] == [Allocation(), Allocation()]


def test_fees_and_late_fees_are_owed_in_full() -> None:
    """1500 of late fees on the overdue number 1, of which 500 was paid, and its 2500 of fees."""
    late = instalments()
    owed = late[0].owed + Allocation(late_fees=1500)
    late[0] = Instalment(
        number=1,
        due_date=late[0].due_date,
        owed=owed,
        paid=Allocation(late_fees=500),
        principal_balance=late[0].principal_balance,
        open=True,
    )
    found = payoff(TERMS, late, date(2027, 1, 1))
    assert found.breakdown == Breakdown(
        principal=120000, accrued_interest=1200, fees=2500, late_fees=1000, credits=0
    )
    assert found.amount == found.allocation.total == 124700
    assert outcomes(found)[0] == (1, "paid", owed.total)


def test_the_running_period_never_costs_more_than_its_scheduled_interest() -> None:
    """From 28 February to 30 March 30E/360 counts 32 days, yet the period is one month.

    Number 1 falls due on 28 February, number 2 on 31 March: 110538 * 0.12 * 32/360 = 1179.07, capped at 1105.
    """
    start = date(2027, 1, 31)
    terms = Terms(principal=120_000, annual_rate="0.12", day_count="30/360", start_date=start)
    found = payoff(terms, instalments(start_date=start), date(2027, 3, 30))
    assert found.breakdown.accrued_interest == 1200 + 1105


@pytest.mark.parametrize(
    ("day_count", "accrued"),
    [
        ("30/360", 600),  # 15/360 of a year: 120000 * 0.12 * 15/360
        ("actual/365", 592),  # 15/365: 591.78
        ("actual/360", 600),
        ("actual/actual", 592),
    ],
)
def test_each_day_count_measures_the_running_period(day_count: Any, accrued: int) -> None:
    """Fifteen days of December on 120000 at 12 %."""
    terms = Terms(principal=120_000, annual_rate="0.12", day_count=day_count, start_date=START)
    found = payoff(terms, instalments(day_count=day_count), date(2026, 12, 16))
    assert found.breakdown.accrued_interest == accrued
