"""Amounts in webhooks, as Stripe counts them. Pure.

Written from Stripe's page (https://docs.stripe.com/currencies) and not shared with the payment service: a
mistake on one side must not hide the same mistake on the other.
"""

from common.kernel.money import MINOR_UNIT_DIGITS

# Digits after the point, where Stripe's differ from ISO 4217's.
_STRIPE_DIGITS = {"MGA": 0, "ISK": 2, "UGX": 2}


def in_stripe_units(amount: int, currency: str) -> int | None:
    """ISO 4217 minor units as the `amount` of a Stripe event; None where Stripe cannot express it.

    Raises KeyError for what is no currency.
    """
    digits = MINOR_UNIT_DIGITS[currency]
    if digits == 3 and amount % 10:  # Stripe wants the last of three digits to be zero
        return None
    whole, rest = divmod(amount * 10 ** _STRIPE_DIGITS.get(currency, digits), 10**digits)
    return None if rest else whole
