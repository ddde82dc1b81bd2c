"""The schedule against examples worked by hand, and what is refused."""

from datetime import date
from typing import Any

import pytest

from lease_svc.domain.schedule import Schedule, ScheduleError, Terms, Violation, build, check_dates


def schedule(**changes: Any) -> Schedule:
    """The contract's lease, 1,200.00 at 12 % over 12 months from 1 December 2026, with changes."""
    plain: dict[str, Any] = {
        "currency": "USD",
        "principal": 120_000,
        "annual_rate": "0.1200",
        "term": 12,
        "frequency": "monthly",
        "day_count": "30/360",
        "start_date": date(2026, 12, 1),
    }
    return build(Terms(**{**plain, **changes}))


def lines(built: Schedule) -> list[tuple[int, int, int, int]]:
    """(amount, interest, principal, balance after) of each row."""
    return [(row.amount, row.interest, row.principal, row.principal_balance) for row in built.rows]


def due(built: Schedule) -> list[str]:
    return [f"{row.due_date:%m-%d}" for row in built.rows]


def violations(**changes: Any) -> list[str]:
    with pytest.raises(ScheduleError) as refused:
        schedule(**changes)
    return [each.field for each in refused.value.violations]


def test_the_contracts_own_lease() -> None:
    """120000 * 0.01 / (1 - 1.01^-12) = 10661.85…; the first interest is 1 % of 120000; fees fall on row 1."""
    built = schedule(fees=2500, first_due_date=date(2027, 1, 1))
    assert (built.instalment, built.total_interest, built.total_fees, built.total_payable) == (
        10662,
        7942,
        2500,
        130442,
    )
    first, last = built.rows[0], built.rows[-1]
    assert (first.number, first.amount, first.principal, first.interest, first.fees) == (
        1,
        13162,
        9462,
        1200,
        2500,
    )
    assert (first.due_date, first.principal_balance) == (date(2027, 1, 1), 110538)
    assert (built.first_due_date, built.maturity_date) == (date(2027, 1, 1), date(2027, 12, 1))
    # Eleven rows of 10662 leave 10554, whose month costs 105.54, so the last pays 10660 and not 10662.
    assert (last.number, last.amount, last.principal, last.interest, last.fees) == (12, 10660, 10554, 106, 0)
    assert {row.fees for row in built.rows[1:]} == {0}


def test_actual_360_by_hand() -> None:
    """31 and then 28 days at 36 % of 100000: 0.001 a day, so 1.031 * 1.028 / 2.028 * 100000 = 52261.73…"""
    built = schedule(
        principal=100_000, annual_rate="0.36", term=2, start_date=date(2027, 1, 1), day_count="actual/360"
    )
    assert built.instalment == 52262
    # 3100 of interest; then 50838 * 0.028 = 1423.464
    assert lines(built) == [(52262, 3100, 49162, 50838), (52261, 1423, 50838, 0)]


def test_a_long_first_period_under_30_360_by_hand() -> None:
    """45 days at 12 % are 1.5 %, the months after 1 %: 100000 * 1.015 * 1.01 / 2.01 = 51002.49"""
    built = schedule(
        principal=100_000, term=2, start_date=date(2026, 12, 1), first_due_date=date(2027, 1, 16)
    )
    assert lines(built) == [(51002, 1500, 49502, 50498), (51003, 505, 50498, 0)]


def test_a_first_due_date_equal_to_the_default_is_regular_but_is_the_anchor() -> None:
    """31 January to 28 February is a month either way, but when given it makes all due dates a 28th."""
    start = date(2027, 1, 31)
    default, given_ = schedule(start_date=start), schedule(start_date=start, first_due_date=date(2027, 2, 28))
    assert lines(default) == lines(given_)
    assert due(default)[:4] == ["02-28", "03-31", "04-30", "05-31"]
    assert due(given_)[:4] == ["02-28", "03-28", "04-28", "05-28"]


def test_semimonthly_without_a_first_due_date_starts_with_the_partner_day() -> None:
    """After the 15th comes the 30th or the month's last day; after the 31st the 16th of the next month."""
    assert due(schedule(frequency="semimonthly", start_date=date(2027, 1, 15)))[:4] == [
        "01-30",
        "02-15",
        "02-28",
        "03-15",
    ]
    assert due(schedule(frequency="semimonthly", start_date=date(2027, 1, 31)))[:4] == [
        "02-16",
        "02-28",
        "03-16",
        "03-31",
    ]
    given_ = schedule(frequency="semimonthly", first_due_date=date(2026, 12, 31))
    assert due(given_)[:3] == ["12-31", "01-16", "01-31"]


def test_weeks_and_fortnights() -> None:
    """Seven and fourteen days apart; a regular week is 1/52 of a year: 5200000 * 0.12 / 52 = 12000."""
    weekly = schedule(principal=5_200_000, frequency="weekly", term=3)
    assert (due(weekly), weekly.rows[0].interest) == (["12-08", "12-15", "12-22"], 12000)
    assert due(schedule(frequency="biweekly", term=3)) == ["12-15", "12-29", "01-12"]


def test_without_interest_the_principal_is_divided() -> None:
    """100 in three is 33, 33 and 34; the half of 25 / 2 goes to the even 12."""
    assert lines(schedule(principal=100, annual_rate="0", term=3)) == [
        (33, 0, 33, 67),
        (33, 0, 33, 34),
        (34, 0, 34, 0),
    ]
    assert lines(schedule(principal=25, annual_rate="0", term=2)) == [(12, 0, 12, 13), (13, 0, 13, 0)]


@pytest.mark.parametrize(("principal", "instalment", "interest"), [(51, 60, 42), (153, 182, 128)])
def test_exact_halves_go_to_the_even_neighbour(principal: int, instalment: int, interest: int) -> None:
    """r = 5/6: 51 * (11/6)^2 / (17/6) = 60.5 and 51 * 5/6 = 42.5; three times that is 181.5 and 127.5."""
    built = schedule(principal=principal, annual_rate="10", term=2)
    assert (built.instalment, built.rows[0].interest) == (instalment, interest)


@pytest.mark.parametrize(("principal", "term"), [(5, 10), (8, 5), (11, 12), (1, 2)])
def test_a_principal_too_small_for_its_term_is_refused(principal: int, term: int) -> None:
    """5 / 10 rounds to 0; 8 / 5 rounds to 2, so that four rows leave nothing for the fifth."""
    assert violations(principal=principal, annual_rate="0", term=term) == ["term"]
    assert lines(schedule(principal=7, annual_rate="0", term=5))[-1] == (3, 0, 3, 0)


def test_a_first_period_that_costs_more_than_an_instalment_is_refused() -> None:
    """100 days at 13 % are 3.6 % of the principal; one of 60 instalments is 2.3 % and more of it."""
    assert violations(annual_rate="0.13", term=60, first_due_date=date(2027, 3, 11)) == ["term"]


def test_interest_that_eats_up_the_instalment_is_refused() -> None:
    """At 1000 % over 60 months the first row would repay less than one cent."""
    assert violations(principal=100_000, annual_rate="10", term=60) == ["term"]


def test_everything_wrong_is_said_at_once() -> None:
    """One problem for each wrong field, not only the first."""
    wrong = {"currency": "XAU", "principal": 0, "annual_rate": "0.123456789", "term": 521, "fees": -1}
    assert sorted(violations(first_due_date=date(2026, 12, 1), **wrong)) == sorted(
        ["first_due_date", "currency", "principal", "term", "fees", "annual_rate"]
    )


@pytest.mark.parametrize(
    ("start", "first", "term", "fields"),
    [
        (date(2026, 12, 1), None, 12, []),
        (date(2026, 12, 1), date(2027, 3, 11), 12, []),  # 100 days
        (date(2026, 12, 1), date(2027, 3, 12), 12, ["first_due_date"]),
        (date(2026, 12, 1), date(2026, 12, 1), 12, ["first_due_date"]),
        (date(1899, 12, 31), date(1899, 12, 30), 12, ["start_date", "first_due_date", "first_due_date"]),
        (date(2198, 12, 31), None, 12, []),  # matures on the last day there is
        (date(2199, 1, 1), None, 12, ["start_date"]),
        (date(9999, 12, 31), None, 12, ["start_date"]),
        (date(2199, 12, 31), date(2200, 1, 1), 1, ["first_due_date"]),
        (date(2026, 12, 1), None, 10**9, []),  # the term is another check's business
    ],
)
def test_dates_are_checked_without_a_schedule(
    start: date, first: date | None, term: int, fields: list[str]
) -> None:
    """All dates lie within 1900 to 2199 and the first due date 1 to 100 days after the start."""
    found = check_dates("monthly", term, start, first)
    assert [each.field for each in found] == fields
    assert all(isinstance(each, Violation) and each.detail for each in found)
