"""Which part of an instalment a payment covers: late fees first, then fees, then interest, then principal."""

from typing import Self

from msgspec import Struct

from common.kernel.money import MinorUnits


class Allocation(Struct, frozen=True, kw_only=True, gc=False):
    """An amount of money by what it is for; minor units.

    Inside an instalment no part is negative. In an early payoff `interest` may be: interest that was paid
    ahead and is given back can exceed what has accrued.
    """

    late_fees: MinorUnits = 0
    fees: MinorUnits = 0
    interest: MinorUnits = 0
    principal: MinorUnits = 0

    @property
    def total(self) -> int:
        """The sum of the parts."""
        return self.late_fees + self.fees + self.interest + self.principal

    def __add__(self, other: Self) -> "Allocation":
        return Allocation(
            late_fees=self.late_fees + other.late_fees,
            fees=self.fees + other.fees,
            interest=self.interest + other.interest,
            principal=self.principal + other.principal,
        )

    def __sub__(self, other: Self) -> "Allocation":
        return Allocation(
            late_fees=self.late_fees - other.late_fees,
            fees=self.fees - other.fees,
            interest=self.interest - other.interest,
            principal=self.principal - other.principal,
        )


def allocate(owed: Allocation, paid: Allocation, amount: int) -> Allocation:
    """What a payment of `amount` minor units covers of an instalment that asks `owed` and was paid `paid`.

    Raises ValueError for an amount below 1 or above what is still due.
    """
    due = owed - paid
    if not 1 <= amount <= due.total:
        raise ValueError(f"amount must be 1 to {due.total}, what is still due")
    late_fees = min(amount, due.late_fees)
    amount -= late_fees
    fees = min(amount, due.fees)
    amount -= fees
    interest = min(amount, due.interest)
    return Allocation(late_fees=late_fees, fees=fees, interest=interest, principal=amount - interest)
