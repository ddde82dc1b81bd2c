"""Rounding, rates and currencies."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kernel.money import MINOR_UNIT_DIGITS, half_even, is_currency, rate_ratio


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [
        (1, 2, 0),
        (3, 2, 2),
        (5, 2, 2),
        (7, 2, 4),
        (-1, 2, 0),
        (-3, 2, -2),
        (10**30 + 1, 2 * 10**30, 1),
        (0, 7, 0),
    ],
)
def test_ties_go_to_the_even_neighbour(numerator: int, denominator: int, expected: int) -> None:
    """A half goes to the even side, the least bit more than a half up."""
    assert half_even(numerator, denominator) == expected


@given(st.integers(-(10**20), 10**20), st.integers(1, 10**12))
def test_rounding_is_that_of_exact_fractions(numerator: int, denominator: int) -> None:
    """Python rounds a Fraction half-even too, and slowly."""
    assert half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", (0, 1)),
        ("0.00000000", (0, 1)),
        ("0.1200", (3, 25)),
        ("0.00000001", (1, 10**8)),
        ("10", (10, 1)),
        ("10.0", (10, 1)),
    ],
)
def test_rates_are_exact_ratios(text: str, expected: tuple[int, int]) -> None:
    """Trailing zeros change nothing; the ratio is in lowest terms."""
    assert rate_ratio(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-0.1",
        "+1",
        ".5",
        "1.",
        "0,1",
        "1e-2",
        "NaN",
        "0.123456789",
        "10.00000001",
        "11",
        "100",
        " 1",
        "1\n",
        "\u0661",
    ],
)
def test_other_rates_are_refused(text: str) -> None:
    """Signs, exponents, ninth decimals, more than 10 and digits of other scripts."""
    with pytest.raises(ValueError, match="must be"):
        rate_ratio(text)


def test_currencies_are_those_of_iso_4217_with_a_minor_unit() -> None:
    """The yen has no decimals, the dinar three; gold, the test code and withdrawn codes are refused."""
    assert (MINOR_UNIT_DIGITS["JPY"], MINOR_UNIT_DIGITS["USD"], MINOR_UNIT_DIGITS["KWD"]) == (0, 2, 3)
    assert all(is_currency(code) for code in ("USD", "EUR", "JPY", "KWD", "CHF"))
    assert not any(
        is_currency(code) for code in ("XAU", "XXX", "XTS", "XDR", "DEM", "usd", "US", "USDT", "", "840")
    )
