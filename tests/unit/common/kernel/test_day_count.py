"""Day counts against published figures and slow definitions; due dates at the ends of months."""

from calendar import monthrange
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kernel.day_count import (
    DayCount,
    every_days,
    month_length,
    monthly,
    semimonthly,
    year_fraction,
    year_fractions,
)

DAYS = st.dates(date(1999, 1, 1), date(2030, 12, 31))


def fraction(day_count: DayCount, start: date, end: date) -> Fraction:
    return Fraction(*year_fraction(day_count, start, end))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (date(2003, 11, 1), date(2004, 5, 1), "0.497724380567"),  # 61/365 + 121/366
        (date(1999, 2, 1), date(1999, 7, 1), "0.410958904110"),
        (date(1999, 7, 1), date(2000, 7, 1), "1.001377348600"),
        (date(2002, 8, 15), date(2003, 7, 15), "0.915068493151"),
        (date(2003, 7, 15), date(2004, 1, 15), "0.504004790778"),
        (date(1999, 7, 30), date(2000, 1, 30), "0.503892506924"),
        (date(2000, 1, 30), date(2000, 6, 30), "0.415300546448"),
    ],
)
def test_actual_actual_gives_the_published_figures(start: date, end: date, expected: str) -> None:
    """ISDA's memorandum on EMU market conventions (1998), as in QuantLib's test-suite/daycounters.cpp."""
    assert abs(fraction("actual/actual", start, end) - Fraction(expected)) < Fraction(1, 10**10)


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (date(2006, 8, 31), date(2007, 2, 28), 178),  # a 31st is a 30th: 360 - 180 + 28 - 30
        (date(2007, 2, 28), date(2007, 8, 31), 182),  # the last of February is not
        (date(2024, 1, 29), date(2024, 2, 29), 30),
        (date(2027, 1, 30), date(2027, 1, 31), 0),
        (date(2027, 2, 28), date(2027, 3, 30), 32),
        (date(2027, 1, 31), date(2027, 2, 1), 1),
    ],
)
def test_30e_360_counts_every_month_as_thirty_days(start: date, end: date, days: int) -> None:
    """360 * years + 30 * months + days, by hand (ISDA 2006 Definitions, section 4.16(g))."""
    assert year_fraction("30/360", start, end) == (days, 360)


@given(DAYS, st.integers(0, 900))
def test_actual_counts_are_sums_over_single_days(start: date, length: int) -> None:
    """Counting day by day, each 1/365, 1/360 or one part of its own calendar year, gives the same."""
    end = start + timedelta(days=length)
    years = [(start + timedelta(days=index)).year for index in range(length)]
    assert fraction("actual/365", start, end) == Fraction(length, 365)
    assert fraction("actual/360", start, end) == Fraction(length, 360)
    day_of = {
        year: Fraction(1, sum(monthrange(year, month)[1] for month in range(1, 13))) for year in set(years)
    }
    assert fraction("actual/actual", start, end) == sum((day_of[year] for year in years), Fraction())


@given(st.sampled_from(["30/360", "actual/365", "actual/360", "actual/actual"]), DAYS, DAYS, DAYS)
def test_fractions_of_adjoining_periods_add_up(
    day_count: DayCount, one: date, two: date, three: date
) -> None:
    """Cutting a period in two neither adds to it nor takes from it, and a later end is never nearer."""
    first, middle, last = sorted((one, two, three))
    numerators, year = year_fractions(day_count, [first, middle, last])
    assert min(numerators) >= 0
    assert Fraction(sum(numerators), year) == fraction(day_count, first, last)


def test_month_lengths_follow_the_gregorian_calendar() -> None:
    """All months of the years around the century exceptions."""
    for year in (1900, 1999, 2000, 2023, 2024, 2100):
        assert [month_length(year, month) for month in range(1, 13)] == [
            monthrange(year, month)[1] for month in range(1, 13)
        ]


def test_monthly_dates_come_from_the_anchor() -> None:
    """31 January is capped in February and April, and is itself again in March."""
    assert monthly(date(2027, 1, 31), 0, 5) == [
        date(2027, 1, 31),
        date(2027, 2, 28),
        date(2027, 3, 31),
        date(2027, 4, 30),
        date(2027, 5, 31),
    ]
    assert monthly(date(2027, 12, 30), 2, 2) == [date(2028, 2, 29), date(2028, 3, 30)]


@pytest.mark.parametrize(
    ("anchor", "expected"),
    [
        (date(2027, 2, 1), ["02-01", "02-16", "03-01", "03-16"]),
        (date(2027, 2, 16), ["02-16", "03-01", "03-16", "04-01"]),
        (date(2027, 2, 13), ["02-13", "02-28", "03-13", "03-28"]),
        (date(2027, 2, 14), ["02-14", "02-28", "03-14", "03-29"]),
        (date(2027, 2, 15), ["02-15", "02-28", "03-15", "03-30"]),
        (date(2027, 1, 30), ["01-30", "02-15", "02-28", "03-15", "03-30"]),
        (date(2027, 1, 31), ["01-31", "02-16", "02-28", "03-16", "03-31", "04-16", "04-30"]),
    ],
)
def test_semimonthly_dates_are_the_day_and_its_partner(anchor: date, expected: list[str]) -> None:
    """Partner 15 days later up to the 15th, else 15 earlier; capped only where the month is too short."""
    assert [f"{day:%m-%d}" for day in semimonthly(anchor, 0, len(expected))] == expected


def test_due_dates_strictly_increase_from_every_anchor() -> None:
    """Every day of years around leap Februaries and centuries, monthly and semimonthly, five years on."""
    for year in (1896, 1899, 2027, 2028, 2096, 2099):
        for ordinal in range(date(year, 1, 1).toordinal(), date(year + 1, 1, 1).toordinal()):
            anchor = date.fromordinal(ordinal)
            for dates in (monthly(anchor, 0, 60), semimonthly(anchor, 0, 120)):
                assert dates[0] == anchor
                assert all(before < after for before, after in pairwise(dates))


def test_a_run_of_dates_may_start_at_any_step() -> None:
    """Dates 10 to 14 are the same whether reckoned alone or as part of the whole run."""
    anchor = date(2027, 8, 31)
    assert monthly(anchor, 10, 5) == monthly(anchor, 0, 15)[10:]
    assert semimonthly(anchor, 10, 5) == semimonthly(anchor, 0, 15)[10:]
    assert every_days(anchor, 14, 10, 5) == every_days(anchor, 14, 0, 15)[10:]
    assert every_days(anchor, 14, 1, 1) == [date(2027, 9, 14)]
