"""The schedule against tables that others have published, to the cent."""

from datetime import date
from typing import Any

import pytest

from lease_svc.domain.schedule import Schedule, Terms, build


def schedule(**changes: Any) -> Schedule:
    """A monthly lease at 12 % under 30/360 from 1 December 2026, with changes."""
    plain: dict[str, Any] = {
        "currency": "USD",
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


def test_published_mortgage_of_a_hundred_thousand_at_eight_percent() -> None:
    """Wikimedia Commons, "Amortization table (example).gif", 2005: 360 months of 733.76; its first rows."""
    built = schedule(principal=10_000_000, annual_rate="0.08", term=360)
    assert lines(built)[:5] == [
        (73376, 66667, 6709, 9993291),
        (73376, 66622, 6754, 9986537),
        (73376, 66577, 6799, 9979738),
        (73376, 66532, 6844, 9972894),
        (73376, 66486, 6890, 9966004),
    ]


def test_published_payment_at_twelve_percent() -> None:
    """MathWorks, Financial Toolbox, "amortize": 100,000 at 12 % over 30 years costs 1028.61 a month."""
    assert schedule(principal=10_000_000, annual_rate="0.12", term=360).instalment == 102861


def test_published_schedule_of_fifteen_years() -> None:
    """Output of PyPI's "amortization" for 176,000 at 2.13 %, in gist.github.com/jhannah/7961433dcd9195f9…."""
    built = schedule(principal=17_600_000, annual_rate="0.0213", term=180, start_date=date(2021, 7, 1))
    assert lines(built)[:6] == [
        (114314, 31240, 83074, 17516926),
        (114314, 31093, 83221, 17433705),
        (114314, 30945, 83369, 17350336),
        (114314, 30797, 83517, 17266819),
        (114314, 30649, 83665, 17183154),
        (114314, 30500, 83814, 17099340),
    ]
    assert lines(built)[17] == (114314, 28697, 85617, 16081893)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"principal": 245_000, "annual_rate": "0.0999", "start_date": date(2023, 10, 31)},
            [
                (42031, 2040, 39991, 205009),
                (42031, 1707, 40324, 164685),
                (42031, 1371, 40660, 124025),
                (42031, 1033, 40998, 83027),
                (42031, 691, 41340, 41687),
                (42034, 347, 41687, 0),
            ],
        ),
        (
            {"principal": 10_000, "annual_rate": "0.094822", "start_date": date(2024, 1, 1)},
            [
                (1713, 79, 1634, 8366),
                (1713, 66, 1647, 6719),
                (1713, 53, 1660, 5059),
                (1713, 40, 1673, 3386),
                (1713, 27, 1686, 1700),
                (1713, 13, 1700, 0),
            ],
        ),
        (
            {
                "principal": 10_000,
                "annual_rate": "0.15678",
                "start_date": date(2024, 1, 1),
                "day_count": "actual/365",
            },
            [
                (1743, 133, 1610, 8390),
                (1743, 105, 1638, 6752),
                (1743, 90, 1653, 5099),
                (1743, 66, 1677, 3422),
                (1743, 46, 1697, 1725),
                (1747, 22, 1725, 0),
            ],
        ),
    ],
)
def test_published_schedules_of_apache_fineract(
    changes: dict[str, Any], expected: list[tuple[int, ...]]
) -> None:
    """Rows of Fineract's ProgressiveEMICalculatorTest: month ends, 30/360, and actual/365 in a leap year."""
    assert lines(schedule(term=6, **changes)) == expected


def test_published_sample_of_the_cfpb() -> None:
    """Closing Disclosure sample H-25(B), CFPB: 162,000 at 3.875 % over 30 years costs 761.78 a month."""
    assert schedule(principal=16_200_000, annual_rate="0.03875", term=360).instalment == 76178


def test_published_textbook_car() -> None:
    """OpenStax, Principles of Finance, section 8.3: 32,000 at 6 % over 3 years; its payment and first row."""
    built = schedule(principal=3_200_000, annual_rate="0.06", term=36)
    assert lines(built)[0] == (97350, 16000, 81350, 3118650)


def test_published_textbook_table() -> None:
    """Pima Open Press, Topics in Mathematics, section 6.4: 500 at 12 % over 6 months.

    The book's last payment leaves 3 cents over; here it takes them up: 85.45 and 0.85 of interest.
    """
    assert lines(schedule(principal=50_000, term=6)) == [
        (8627, 500, 8127, 41873),
        (8627, 419, 8208, 33665),
        (8627, 337, 8290, 25375),
        (8627, 254, 8373, 17002),
        (8627, 170, 8457, 8545),
        (8630, 85, 8545, 0),
    ]


def test_published_half_cent() -> None:
    """Fixture of PyPI's "mortgagemath": 100,001.25 at 4.8 % earns 400.005 in a month, half-even 400.00."""
    built = schedule(principal=10_000_125, annual_rate="0.048", term=360)
    assert lines(built)[0] == (52467, 40000, 12467, 9987658)
