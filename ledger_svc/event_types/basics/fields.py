"""What the data of several types has in common; money in minor units of `currency`.

A definition names the fields that the ledger depends on. Every other field is left to the raw bytes, which
the ledger keeps: a view can grow without touching an entry.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

MinorUnits = Annotated[int, Meta(description="minor units")]
Count = Annotated[int, Meta(ge=1)]
Position = Annotated[int, Meta(ge=0, le=2**31 - 1)]  # in a sequence; the log's column has 31 bits


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """The `data` of an event."""


class Waived(msgspec.Struct, frozen=True, kw_only=True):
    """What an early payoff has waived."""

    late_fees: MinorUnits = 0


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """Money by what it is for."""

    late_fees: int
    fees: int
    interest: int
    principal: int


class AutopayStop(msgspec.Struct, frozen=True, kw_only=True):
    """Why autopay collects nothing, of a lease or of an instalment."""

    reason: Annotated[
        str,
        Meta(
            description='"hard_decline", "last_decline", "cannot_be_made", "money_taken_back", '
            '"before_upgrade"'
        ),
    ]


class Attempt(Data, frozen=True, kw_only=True):
    """What every event of an attempt to move money says."""

    attempt_id: str
    kind: str  # "instalment", "payoff", "refund", "chargeback"
    number: int | None  # of the instalment; None for an early payoff, or the refund of one
    amount: int
    currency: str
    payment_method: str

    @property
    def gives_back(self) -> bool:
        """Whether it is a refund: the money goes to the customer."""
        return self.kind == "refund"


class Closing(Data, frozen=True, kw_only=True):
    """What closes a lease before it is paid."""

    currency: str
    reason: str
    left: Allocation | None = None  # what the balance was made of; older events do not say
    payment_sequence: Position  # of the payment service's events that this takes into account
