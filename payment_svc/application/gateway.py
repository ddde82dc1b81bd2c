"""What the payment worker needs of a card gateway, whichever it is.

The difference between two of the four ways in which a call ends is money: `NotReached` says that certainly
nothing happened, so paying again is safe; `NoAnswer` says that nobody knows, so only a look-up may settle it.
Whatever is not certain is `NoAnswer`. Trouble with the gateway is a value, never an exception.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class ChargeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One charge, to be made at most once under its key."""

    idempotency_key: str  # 1 to 255 printable ASCII characters
    amount: int  # minor units of `currency`, at least 1
    currency: str  # ISO 4217
    payment_method: str
    lease_id: str
    payment_id: str | None  # null: a payoff of the whole lease
    attempt_id: str


class RefundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A charge's money, or a part of it, to be given back at most once under this key."""

    idempotency_key: str  # 1 to 255 printable ASCII characters
    reference: str  # the gateway's id of the charge
    amount: int  # minor units of `currency`, at least 1
    currency: str  # ISO 4217, the charge's
    lease_id: str
    payment_id: str | None  # null: the charge was a payoff of the whole lease
    attempt_id: str  # of the refund


class Charged(msgspec.Struct, frozen=True, kw_only=True):
    """The money moved."""

    reference: str  # the gateway's id of the charge or refund, never empty


class Declined(msgspec.Struct, frozen=True, kw_only=True):
    """The issuer said no; to a refund, the gateway."""

    code: str  # the gateway's decline code
    reference: str  # the gateway's id of the charge or refund


class NotReached(msgspec.Struct, frozen=True, kw_only=True):
    """Certainly nothing happened: it may be tried again."""

    reason: str
    outage: bool = True  # whether it speaks against the gateway's health; false: against this request only
    called: bool = True  # false: it was held back here, and may be sent in a moment


class NoAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The money may or may not have moved: ask, never pay again."""

    reason: str
    outage: bool = True  # whether it speaks against the gateway's health; false: it answers, but not on this


ChargeResult = Charged | Declined | NotReached | NoAnswer
Found = Charged | Declined | NoAnswer | None


class Gateway(Protocol):
    """What the payment worker needs of a gateway."""

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        """Charge a payment method, once per idempotency key. A call that is cancelled may have charged.

        Gateways forget keys (Stripe not before 24 hours): see `payment_svc.domain.attempt.REPEAT_WITHIN`.
        """

    async def find(self, idempotency_key: str) -> Found:
        """What became of a charge. Never charges, whatever happens.

        None: there is no such charge; NoAnswer: the gateway could not be asked, or cannot say so for certain.
        None is true of the moment it was said; so ask only once a charge can no longer be on its way.
        """

    async def refund(self, request: RefundRequest) -> ChargeResult:
        """Give a charge's money back, once per idempotency key. A call that is cancelled may have done so."""

    async def find_refund(self, idempotency_key: str, reference: str) -> Found:
        """What became of a refund of the charge with that reference; as `find` for a charge."""
