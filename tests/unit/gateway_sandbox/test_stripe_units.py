"""The sandbox counts money in its webhooks as Stripe does, by a table of its own."""

import pytest

from common.kernel.money import MINOR_UNIT_DIGITS
from gateway_sandbox.stripe_units import in_stripe_units
from payment_svc.adapters.gateways.stripe.amounts import to_stripe


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (1_050, "USD", 1_050),
        (500, "JPY", 500),
        (300, "MGA", 3),
        (301, "MGA", None),
        (7, "ISK", 700),
        (7, "UGX", 700),
        (12_340, "KWD", 12_340),
        (12_345, "KWD", None),
    ],
)
def test_amounts(amount: int, currency: str, expected: int | None) -> None:
    """Stripe's page on currencies: the exceptions, a plain amount, and what Stripe cannot express."""
    assert in_stripe_units(amount, currency) == expected


def test_both_sides_of_a_webhook_agree() -> None:
    """Sandbox and payment service share no code, and count every currency in the same way."""
    for currency in MINOR_UNIT_DIGITS:
        for amount in (1, 10, 100, 12_345, 10**15):
            assert in_stripe_units(amount, currency) == to_stripe(amount, currency), (amount, currency)
