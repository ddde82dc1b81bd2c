"""What of an instalment a payment covers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_svc.domain.allocation import Allocation, allocate

OWED = Allocation(late_fees=1500, fees=2500, interest=1200, principal=9462)
PARTS = st.integers(0, 2000)
ALLOCATIONS = st.builds(
    Allocation, late_fees=PARTS, fees=PARTS, interest=PARTS, principal=st.integers(2, 2000)
)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (1, Allocation(late_fees=1)),
        (1501, Allocation(late_fees=1500, fees=1)),
        (4000, Allocation(late_fees=1500, fees=2500)),
        (5000, Allocation(late_fees=1500, fees=2500, interest=1000)),
        (5201, Allocation(late_fees=1500, fees=2500, interest=1200, principal=1)),
        (14662, OWED),
    ],
)
def test_money_goes_to_late_fees_then_fees_then_interest_then_principal(
    amount: int, expected: Allocation
) -> None:
    """An untouched instalment fills up in that order, to the last cent of 1500 + 2500 + 1200 + 9462."""
    assert allocate(OWED, Allocation(), amount) == expected


def test_what_is_paid_is_not_paid_again() -> None:
    """After 4500 there are 700 of interest left to pay before the principal."""
    assert allocate(OWED, Allocation(late_fees=1500, fees=2500, interest=500), 701) == Allocation(
        interest=700, principal=1
    )


def test_a_late_fee_charged_after_a_part_was_paid_comes_first() -> None:
    """The order is that of what is due now, not of when it was charged."""
    assert allocate(OWED, Allocation(fees=2500, interest=1200), 1600) == Allocation(
        late_fees=1500, principal=100
    )


@pytest.mark.parametrize("amount", [0, -1, 14663])
def test_no_less_than_one_and_no_more_than_is_due(amount: int) -> None:
    """The smallest amount is one minor unit, the largest all that is due."""
    with pytest.raises(ValueError, match="must be 1 to 14662"):
        allocate(OWED, Allocation(), amount)


def test_nothing_can_be_paid_on_a_paid_instalment() -> None:
    """Where nothing is due, every amount is too much."""
    with pytest.raises(ValueError, match="must be 1 to 0"):
        allocate(OWED, OWED, 1)


@given(ALLOCATIONS, st.data())
def test_the_parts_sum_to_the_amount_and_fill_in_order(owed: Allocation, data: st.DataObject) -> None:
    """No part exceeds what is owed of it, and a part gets money only once those before it are full."""
    covered = allocate(owed, Allocation(), amount := data.draw(st.integers(1, owed.total)))
    assert covered.total == amount
    got = (covered.late_fees, covered.fees, covered.interest, covered.principal)
    full = (owed.late_fees, owed.fees, owed.interest, owed.principal)
    assert all(0 <= part <= whole for part, whole in zip(got, full, strict=True))
    for index in range(1, 4):
        assert got[index] == 0 or got[:index] == full[:index]


@given(ALLOCATIONS, st.data())
def test_two_payments_cover_what_one_of_their_sum_would(owed: Allocation, data: st.DataObject) -> None:
    """Splitting a payment changes nothing."""
    amount = data.draw(st.integers(2, owed.total))
    cut = data.draw(st.integers(1, amount - 1))
    first = allocate(owed, Allocation(), cut)
    second = allocate(owed, first, amount - cut)
    assert first + second == allocate(owed, Allocation(), amount)
