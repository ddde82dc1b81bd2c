"""What holds for every schedule, and that each equals what a slow reference written from the rules gives."""

from calendar import monthrange
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lease_svc.contracts.values import Frequency
from lease_svc.domain.schedule import Schedule, ScheduleError, Terms, build

STARTS = st.dates(date(2022, 12, 1), date(2029, 1, 31))
RATES = st.one_of(
    st.just("0"),
    st.decimals("0", "0.6", places=4).map(str),
    st.decimals("0", "10", places=8).map(lambda rate: f"{rate:.8f}"),
    st.integers(0, 10).map(str),
)
PER_YEAR: dict[Frequency, int] = {"weekly": 52, "biweekly": 26, "semimonthly": 24, "monthly": 12}


@st.composite
def terms(draw: st.DrawFn, longest: int = 40) -> Terms:
    """Terms of all kinds, with and without an irregular first period, some of them to be refused."""
    start = draw(STARTS)
    return Terms(
        currency="USD",
        principal=draw(st.one_of(st.integers(1, 500), st.integers(1, 10**7), st.integers(1, 10**12))),
        annual_rate=draw(RATES),
        term=draw(st.integers(1, longest)),
        frequency=draw(st.sampled_from(list(PER_YEAR))),
        day_count=draw(st.sampled_from(["30/360", "actual/365", "actual/360", "actual/actual"])),
        start_date=start,
        first_due_date=draw(st.none() | st.integers(1, 100).map(lambda days: start + timedelta(days=days))),
        fees=draw(st.sampled_from([0, 2500])),
    )


def built_or_refused(given_terms: Terms) -> Schedule | None:
    """The schedule, or None where a row would repay nothing: these terms have no other fault."""
    try:
        return build(given_terms)
    except ScheduleError as refused:
        if [each.field for each in refused.violations] != ["term"]:
            raise
        return None


def slow_due_dates(frequency: Frequency, anchor: date, count: int) -> list[date]:
    """The anchor and the due dates after it, found by looking at every day."""
    if frequency in ("weekly", "biweekly"):
        return [
            anchor + timedelta(days=index * (7 if frequency == "weekly" else 14)) for index in range(count)
        ]
    wanted = {anchor.day}
    if frequency == "semimonthly":
        wanted.add(anchor.day + 15 if anchor.day <= 15 else anchor.day - 15)
    found: list[date] = []
    day = anchor
    while len(found) < count:
        length = monthrange(day.year, day.month)[1]
        if day.day in {min(one, length) for one in wanted}:
            found.append(day)
        day += timedelta(days=1)
    return found


def slow_fraction(given_terms: Terms, start: date, end: date, regular: bool) -> Fraction:
    """The year fraction of a period, as the rules put it."""
    if given_terms.day_count == "30/360":
        if regular:
            return Fraction(1, PER_YEAR[given_terms.frequency])
        days = 30 if end.day == 31 else end.day
        days -= 30 if start.day == 31 else start.day
        return Fraction(360 * (end.year - start.year) + 30 * (end.month - start.month) + days, 360)
    if given_terms.day_count == "actual/actual":
        cuts = [start, *(date(year, 1, 1) for year in range(start.year + 1, end.year + 1)), end]
        lengths = {
            year: (date(year + 1, 1, 1) - date(year, 1, 1)).days for year in range(start.year, end.year + 1)
        }
        return sum((Fraction((b - a).days, lengths[a.year]) for a, b in pairwise(cuts)), Fraction())
    return Fraction((end - start).days, 365 if given_terms.day_count == "actual/365" else 360)


def reference(given_terms: Terms) -> tuple[int, list[tuple[date, int, int, int]]] | None:
    """(instalment, [(due date, principal, interest, balance)]), or None where a principal is below 1."""
    start, frequency, count = given_terms.start_date, given_terms.frequency, given_terms.term
    default = slow_due_dates(frequency, start, count + 1)[1:]
    first = given_terms.first_due_date
    dates = default if first is None else slow_due_dates(frequency, first, count)
    periods = list(pairwise([start, *dates]))
    rates = [
        Fraction(given_terms.annual_rate)
        * slow_fraction(given_terms, *period, regular=index > 0 or dates[0] == default[0])
        for index, period in enumerate(periods)
    ]
    growth, divisor = Fraction(1), Fraction(0)
    for index, rate in enumerate(rates):
        growth *= 1 + rate
        divisor = divisor * (1 + rate) + 1 if index else Fraction(1)
    instalment = round(given_terms.principal * growth / divisor)
    balance, rows = given_terms.principal, []
    for due_date, rate in zip(dates, rates, strict=True):
        interest = round(balance * rate)
        principal = balance if due_date == dates[-1] else instalment - interest
        balance -= principal
        rows.append((due_date, principal, interest, balance))
    return (instalment, rows) if min(principal for _, principal, _, _ in rows) >= 1 else None


@settings(max_examples=400, deadline=None)
@given(terms())
def test_every_schedule_equals_the_slow_reference(given_terms: Terms) -> None:
    """To the last minor unit and day, and what one refuses the other refuses."""
    built = built_or_refused(given_terms)
    rows = built and [
        (row.due_date, row.principal, row.interest, row.principal_balance) for row in built.rows
    ]
    assert (built and (built.instalment, rows)) == reference(given_terms)


@pytest.mark.parametrize("day_count", ["30/360", "actual/365", "actual/360", "actual/actual"])
@pytest.mark.parametrize("frequency", list(PER_YEAR))
def test_long_schedules_equal_the_slow_reference(frequency: Frequency, day_count: str) -> None:
    """Over 150 instalments, where sums over periods are built from halves, with an irregular first period."""
    long = Terms(
        currency="USD",
        principal=10**9 + 1,
        annual_rate="0.12990123",
        term=150,
        frequency=frequency,
        day_count=day_count,  # type: ignore[arg-type]
        start_date=date(2027, 1, 10),
        first_due_date=date(2027, 1, 31),
    )
    built, expected = build(long), reference(long)
    assert expected is not None
    assert built.instalment == expected[0]
    assert [
        (row.due_date, row.principal, row.interest, row.principal_balance) for row in built.rows
    ] == expected[1]


@pytest.mark.parametrize("start", [date(2026, month, 1) for month in range(1, 13)])
@pytest.mark.parametrize("term", [1, 2, 3, 4, 5, 6])
def test_one_odd_month_among_equal_ones_is_seen(start: date, term: int) -> None:
    """July, August and October have 31 days and September has not: more than the first period differs."""
    odd = Terms(
        currency="USD",
        principal=10**10,
        annual_rate="0.5",
        term=term,
        frequency="monthly",
        day_count="actual/365",
        start_date=start,
    )
    assert (built := built_or_refused(odd)) is not None
    assert (expected := reference(odd)) is not None
    assert built.instalment == expected[0]


@settings(max_examples=300, deadline=None)
@given(terms(longest=520))
def test_what_holds_for_every_schedule(given_terms: Terms) -> None:
    """Principals sum to P and are at least 1, due dates increase, the balance ends at 0, sums are sums."""
    built = built_or_refused(given_terms)
    if built is None:
        return
    rows = built.rows
    assert [row.number for row in rows] == list(range(1, given_terms.term + 1))
    assert sum(row.principal for row in rows) == given_terms.principal
    assert rows[-1].principal_balance == 0
    assert all(row.amount == row.principal + row.interest + row.fees for row in rows)
    assert all(row.principal >= 1 and row.interest >= 0 for row in rows)
    assert all(one.due_date < two.due_date for one, two in pairwise(rows))
    assert given_terms.start_date < rows[0].due_date == built.first_due_date
    assert built.maturity_date == rows[-1].due_date
    assert {row.principal + row.interest for row in rows[:-1]} <= {built.instalment}
    assert [row.fees for row in rows] == [given_terms.fees] + [0] * (given_terms.term - 1)
    assert built.total_interest == sum(row.interest for row in rows)
    assert built.total_payable == sum(row.amount for row in rows)
    assert built.total_fees == given_terms.fees
