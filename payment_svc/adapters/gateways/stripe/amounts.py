"""Amounts as Stripe counts them. Pure.

Stripe takes a currency's minor units, as this system does, but does not always mean ISO 4217's
(https://docs.stripe.com/currencies, "Zero-decimal currencies", "Three-decimal currencies", "Special cases"):

- MGA has two digits in ISO 4217 and none at Stripe;
- ISK and UGX have none in ISO 4217, and Stripe wants two, both zero;
- of three digits, Stripe wants the last one zero.
"""

from __future__ import annotations

from common.kernel.money import MINOR_UNIT_DIGITS

# Digits after the point where Stripe's differ from ISO 4217's.
_STRIPE_DIGITS = {"MGA": 0, "ISK": 2, "UGX": 2}


def to_stripe(amount: int, currency: str) -> int | None:
    """ISO 4217 minor units as Stripe's `amount`; None where Stripe cannot take exactly this amount.

    Raises KeyError for what is no currency.
    """
    ours = MINOR_UNIT_DIGITS[currency]
    if ours == 3 and amount % 10:
        return None
    return _rescaled(amount, ours, _STRIPE_DIGITS.get(currency, ours))


def from_stripe(amount: int, currency: str) -> int:
    """Stripe's `amount` of a currency in either case as ISO 4217 minor units.

    Raises ValueError for what is no currency, and for a fraction that the currency does not have.
    """
    code = currency.upper()
    if code not in MINOR_UNIT_DIGITS:
        raise ValueError(f"{currency!r} is no currency")
    ours = MINOR_UNIT_DIGITS[code]
    whole = _rescaled(amount, _STRIPE_DIGITS.get(code, ours), ours)
    if whole is None:
        raise ValueError(f"{amount} of {code} is no whole number of its minor units")
    return whole


def _rescaled(amount: int, digits: int, wanted: int) -> int | None:
    """The same money with another number of digits after the point; None where digits would be lost."""
    scale: int = 10 ** abs(wanted - digits)
    if wanted >= digits:
        return amount * scale
    whole, rest = divmod(amount, scale)
    return None if rest else whole
