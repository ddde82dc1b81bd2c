"""The values that messages are made of, and their limits."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from common.kernel.money import MinorUnits

Frequency = Literal["weekly", "biweekly", "semimonthly", "monthly"]
Status = Literal["active", "delinquent", "paid_off", "cancelled", "charged_off"]

PRINCIPAL_MAX: Final = 10**12  # minor units
TERM_MAX: Final = 520  # instalments: ten years of weeks

# `$` alone would let a final newline pass
CustomerId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$(?!\n)", description="1–64 of A-Za-z0-9_.:-")
]
Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,40}$(?!\n)", description="1–40 of A-Za-z0-9_.-")]
Amount = Annotated[int, Meta(ge=1, le=PRINCIPAL_MAX, description="minor units of the currency")]


class Fee(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fee that falls due with the first instalment."""

    code: Annotated[Code, Meta(description="what it is for")]
    amount: Amount


class LateFee(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an instalment costs that is paid late."""

    grace_days: Annotated[int, Meta(ge=0, le=90), Meta(description="days after the due date")]
    amount: Amount


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """Money by what it is for; minor units."""

    late_fees: MinorUnits
    fees: MinorUnits
    interest: MinorUnits
    principal: MinorUnits
