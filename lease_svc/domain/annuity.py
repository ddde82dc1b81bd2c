"""The level instalment that repays a principal over periods of any length, from its exact value.

With r_i the interest rate of period i, it is P * prod(1 + r_i) / f_n, where f_1 = 1 and
f_i = 1 + f_(i-1) * (1 + r_i): the annuity formula for unequal periods, as in Apache Fineract's progressive
loan schedule. The ratio is kept as two integers, which is exact and, for the usual terms, several times
faster than decimals of sufficient length.
"""

from math import gcd
from typing import Final

from common.kernel.money import half_even

_LEAF: Final = 16  # periods; measured: up to here a plain loop beats halving, from 32 on it does not


def level_instalment(principal: int, rates: list[int], one: int) -> int:
    """The instalment in minor units, rounded half-even.

    `principal` in minor units; the rate of period i is rates[i] / one. Only the first may be 0, or all.
    """
    count, rate = len(rates), rates[-1]
    if rate == 0:
        return half_even(principal, count)
    if count > 1 and rates.count(rate) - (rates[0] == rate) == count - 1:
        # All equal, but perhaps the first: f_n is a geometric sum, ((1 + r)^n - 1) / r, with r = a / b.
        divisor = gcd(rate, one)
        a, b = rate // divisor, one // divisor
        power = (a + b) ** (count - 1)
        return half_even(principal * (one + rates[0]) * a * power, one * (power * (a + b) - b**count))
    growth, owed, _ = _span([one + rate for rate in rates], one)
    return half_even(principal * growth, one * owed)


def _span(factors: list[int], one: int) -> tuple[int, int, int]:
    """What n periods do to a balance, as (growth, owed, scale); `factors` are (1 + r_i) * one.

    The balance becomes (balance * growth - instalment * one * owed) / scale, where scale is one^n. Halves are
    joined rather than periods added one by one: the numbers grow by dozens of bits with each, and one product
    of two equally long numbers costs less than many of a long one by a short one.
    """
    if len(factors) <= _LEAF:
        growth, owed, scale = 1, 0, 1
        for factor in factors:
            owed = owed * factor + scale
            growth *= factor
            scale *= one
        return growth, owed, scale
    half = len(factors) // 2
    growth_1, owed_1, scale_1 = _span(factors[:half], one)
    growth_2, owed_2, scale_2 = _span(factors[half:], one)
    return growth_1 * growth_2, owed_1 * growth_2 + owed_2 * scale_1, scale_1 * scale_2
