"""Amounts between ISO 4217's minor units and Stripe's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kernel.money import MINOR_UNIT_DIGITS
from payment_svc.adapters.gateways.stripe.amounts import from_stripe, to_stripe

# Stripe's own examples are 10 USD = 1000, ¥500 = 500, 5 ISK = 500, 5 UGX = 500.
PAIRS = [
    ("USD", 1000, 1000),
    ("JPY", 500, 500),
    ("ISK", 5, 500),
    ("UGX", 5, 500),
    ("HUF", 1045, 1045),
    ("TWD", 80045, 80045),
    ("MGA", 500, 5),
    ("KWD", 5120, 5120),
]


@pytest.mark.parametrize(("currency", "ours", "theirs"), PAIRS)
def test_both_ways(currency: str, ours: int, theirs: int) -> None:
    """The same money in either system, also where Stripe writes the currency in lower case."""
    assert to_stripe(ours, currency) == theirs
    assert from_stripe(theirs, currency.lower()) == ours


@pytest.mark.parametrize(("currency", "amount"), [("KWD", 5124), ("BHD", 1), ("MGA", 550)])
def test_not_to_be_sent(currency: str, amount: int) -> None:
    """What Stripe has no number for is never rounded."""
    assert to_stripe(amount, currency) is None


@pytest.mark.parametrize(("currency", "amount"), [("isk", 550), ("ugx", 1), ("xyz", 100), ("", 100)])
def test_not_to_be_read(currency: str, amount: int) -> None:
    """A fraction of what has none, or no currency at all."""
    with pytest.raises(ValueError, match=r"minor units|is no currency"):
        from_stripe(amount, currency)


@given(st.sampled_from(sorted(MINOR_UNIT_DIGITS)), st.integers(min_value=1, max_value=10**12))
def test_there_and_back(currency: str, amount: int) -> None:
    """Whatever can be sent comes back as it was."""
    sent = to_stripe(amount, currency)
    assert sent is None or from_stripe(sent, currency) == amount
