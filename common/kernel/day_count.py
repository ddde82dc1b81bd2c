"""Calendar arithmetic for whoever charges interest: year fractions and due dates, exact, without floats.

A day count is written here as a *position* on an integer scale and the number of its units in a year.
A year fraction is then a difference of two positions, so that fractions of adjoining periods add up exactly.
"""

from calendar import isleap
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Final, Literal

DayCount = Literal["30/360", "actual/365", "actual/360", "actual/actual"]

# Days outside of these are refused everywhere: far enough for the longest lease, far from the ends of `date`.
FIRST_DAY: Final = date(1900, 1, 1)
LAST_DAY: Final = date(2199, 12, 31)

_ACTUAL_YEAR: Final = 365 * 366  # units of a year that both 365 and 366 divide
_MONTH_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _position_30e(day: date) -> int:
    """30E/360 (ISDA 2006 Definitions, section 4.16(g)): a 31st counts as the 30th, every month as 30 days."""
    return day.year * 360 + day.month * 30 + min(day.day, 30)


def _position_actual_actual(day: date) -> int:
    """Actual/actual ISDA (section 4.16(b)): a day is 1/366 of a year in a leap year, 1/365 in any other."""
    year = day.year
    day_of_year = day.toordinal() - date(year, 1, 1).toordinal()
    return year * _ACTUAL_YEAR + day_of_year * (365 if isleap(year) else 366)


_MEASURES: Final[dict[DayCount, tuple[Callable[[date], int], int]]] = {
    "30/360": (_position_30e, 360),
    "actual/365": (date.toordinal, 365),
    "actual/360": (date.toordinal, 360),
    "actual/actual": (_position_actual_actual, _ACTUAL_YEAR),
}


def year_fraction(day_count: DayCount, start: date, end: date) -> tuple[int, int]:
    """The part of a year from `start` to `end` as (numerator, denominator), not reduced.

    `start` is counted and `end` is not. Under 30/360 this is the fraction of an *irregular* period:
    that of a regular one is a whole part of the year, which is the schedule's business.
    """
    position, year = _MEASURES[day_count]
    return position(end) - position(start), year


def year_fractions(day_count: DayCount, days: Sequence[date]) -> tuple[list[int], int]:
    """The fractions of the periods between neighbours in `days`: the numerators, and their denominator."""
    position, year = _MEASURES[day_count]
    return [end - start for start, end in pairwise(map(position, days))], year


def month_length(year: int, month: int) -> int:
    """Days in the month, 28 to 31."""
    return 29 if month == 2 and isleap(year) else _MONTH_LENGTHS[month - 1]


def every_days(anchor: date, days: int, first: int, count: int) -> list[date]:
    """`count` dates `days` days apart, from `first` steps after the anchor (0 is the anchor itself)."""
    start, step = anchor + timedelta(days=first * days), timedelta(days=days)
    return [start + step * index for index in range(count)]


def monthly(anchor: date, first: int, count: int) -> list[date]:
    """`count` dates a month apart, from `first` months after the anchor (0 is the anchor itself).

    They have the anchor's day, capped at the month's length. Each is reckoned from the anchor,
    so that 31 January is followed by 28 February and then by 31 March.
    """
    start = anchor.year * 12 + anchor.month - 1 + first
    day = anchor.day
    if day <= 28:
        return [date(month // 12, month % 12 + 1, day) for month in range(start, start + count)]
    return [_capped(month // 12, month % 12 + 1, day) for month in range(start, start + count)]


def semimonthly(anchor: date, first: int, count: int) -> list[date]:
    """`count` dates, two in each month, from `first` half-months after the anchor (0 is the anchor itself).

    The two days are the anchor's and its partner: 15 later for days 1 to 15, 15 earlier for the others.
    The earlier day is thus at most the 16th and never capped; the later one is 15 days after it, capped at 28
    or more. So the two never meet and the dates always increase, in February too.
    """
    second_half = anchor.day > 15
    low = anchor.day - 15 if second_half else anchor.day
    start = (anchor.year * 12 + anchor.month - 1) * 2 + second_half + first
    halves = range(start, start + count)
    return [_capped(half // 24, half // 2 % 12 + 1, low + half % 2 * 15) for half in halves]


def _capped(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, month_length(year, month)))
