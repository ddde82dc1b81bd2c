"""Money is an integer of the currency's minor unit; a part of one is an exact ratio until rounded, once."""

import re
from math import gcd
from types import MappingProxyType
from typing import Annotated, Final

from iso4217 import Currency
from msgspec import Meta

MinorUnits = Annotated[int, Meta(description="minor units")]

# ISO 4217, list one (current currencies and funds): code → digits after the point (JPY 0, USD 2, KWD 3).
# Codes without a minor unit (gold, drawing rights, "no currency", the test code) are not money to pay in.
MINOR_UNIT_DIGITS: Final = MappingProxyType(
    {currency.code: currency.exponent for currency in Currency if currency.exponent is not None}
)

RATE_MAX: Final = 10  # 1000 % a year
_RATE: Final = re.compile(r"([0-9]{1,2})(?:\.([0-9]{1,8}))?")


def is_currency(code: str) -> bool:
    """Whether `code` is a current ISO 4217 currency with a minor unit; upper case only."""
    return code in MINOR_UNIT_DIGITS


def half_even(numerator: int, denominator: int) -> int:
    """The integer nearest to numerator / denominator, the even one of two equally near; denominator > 0."""
    quotient, remainder = divmod(numerator, denominator)
    twice = remainder * 2
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


def rate_ratio(annual_rate: str) -> tuple[int, int]:
    """A yearly rate, "0" to "10" with at most 8 decimals, as (numerator, denominator) in lowest terms.

    Raises ValueError for anything else, a sign, an exponent and digits of other scripts included.
    """
    match = _RATE.fullmatch(annual_rate)
    if match is None:
        raise ValueError("must be a decimal with at most 8 digits after the point")
    whole, decimals = match[1], match[2] or ""
    numerator, denominator = int(whole + decimals), 10 ** len(decimals)
    if numerator > RATE_MAX * denominator:
        raise ValueError(f"must be at most {RATE_MAX}")
    divisor = gcd(numerator, denominator)
    return numerator // divisor, denominator // divisor
