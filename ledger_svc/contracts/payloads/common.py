"""What events of several kinds have in common."""

from typing import Annotated

import msgspec
from msgspec import Meta

from common.kernel.money import MinorUnits

Count = Annotated[int, Meta(ge=1)]
Position = Annotated[int, Meta(ge=0, le=2**31 - 1)]  # in a sequence; the log's column has 31 bits


class Waived(msgspec.Struct, frozen=True, kw_only=True):
    """What an early payoff has waived."""

    late_fees: MinorUnits = 0


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """Money by what it is for."""

    late_fees: int
    fees: int
    interest: int
    principal: int
