"""What travels over the sandbox's HTTP interface, and the checks on what comes in."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

import msgspec

T = TypeVar("T")

# \Z and not $: a dollar would let a trailing newline through.
Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}\Z")]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]
MethodName = Annotated[str, msgspec.Meta(pattern=r"^[\x20-\x7e]{1,255}\Z")]
Amount = Annotated[int, msgspec.Meta(ge=1, le=10**15)]


class Metadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose charge it is, in the words of the caller."""

    lease_id: Id
    payment_id: Id | None = None  # null: an early payoff of the whole lease
    attempt_id: Id


class ChargeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/charges`."""

    amount: Amount  # minor units of `currency`
    currency: Currency  # ISO 4217
    payment_method: MethodName
    metadata: Metadata


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """A charge as it is answered and listed; the caller's own words come back in `metadata`."""

    charge_id: str
    idempotency_key: str
    amount: int  # minor units of `currency`
    currency: str
    amount_refunded: int  # minor units
    disputed: int  # minor units that the issuer has taken back
    status: Literal["succeeded", "declined"]
    decline_code: str | None  # null unless declined
    metadata: Metadata
    created_at: str  # RFC 3339, UTC, microseconds


class RefundRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/refunds`."""

    charge_id: Id
    amount: Amount  # minor units of `currency`
    currency: Currency  # ISO 4217, the charge's
    metadata: Metadata


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as it is answered and listed."""

    refund_id: str
    charge_id: str
    idempotency_key: str
    amount: int  # minor units of `currency`
    currency: str
    status: Literal["succeeded", "declined"]
    decline_code: str | None  # null unless declined
    metadata: Metadata
    created_at: str  # RFC 3339, UTC, microseconds


class Refunds(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `GET /v1/refunds`, oldest first."""

    items: list[Refund]
    next_cursor: str | None  # to be given as `cursor`: the page of those before; null: there are none


class DisputeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/charges/{charge_id}/dispute`."""

    amount: Amount  # minor units of the charge's currency
    reason: Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,64}\Z")] = "fraudulent"  # in Stripe's words


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    """Money of a charge that the issuer has taken back."""

    dispute_id: str
    charge_id: str
    amount: int  # minor units of `currency`
    currency: str
    reason: str
    created_at: str  # RFC 3339, UTC, microseconds


class Charges(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `GET /v1/charges`, oldest first."""

    items: list[Charge]
    next_cursor: str | None  # to be given as `cursor`: the page of those before; null: there are none


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, for a program (`code`) and for a person (`message`)."""

    code: str
    message: str


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer from 400 up, except a 402, which holds the declined charge."""

    error: Problem


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which charges or refunds a look-up wants: those that match everything that is given."""

    payment_id: str | None = None
    lease_id: str | None = None
    attempt_id: str | None = None
    idempotency_key: str | None = None
    charge_id: str | None = None
    limit: int = 100  # the newest so many, 1 to 1,000
    before: int | None = None  # of those that were recorded before this one, by number


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What a look-up has found."""

    items: list[T]  # oldest first
    earliest: int | None  # the number of the first of them, if there are more before; else null
