"""What the payment service can be told to do, and the requests that become it."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from common.kernel.day_count import LAST_DAY
from common.web.field_types import Identifier, PaymentMethod, Reason
from common.web.problems.details import FieldError
from payment_svc.domain.payoff_quote import DAYS_AHEAD_MAX

FIRST_AS_OF = date(1970, 1, 1)  # a run's id is made of its day, and a UUIDv7 knows none before
AMOUNT_MAX = 10**15  # minor units; above any instalment of a lease

QuoteId = Annotated[Identifier, Meta(description="of a binding quote of this lease; 422 where it is none")]


class NewAttempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/payments/{payment_id}/attempt`."""

    payment_method: PaymentMethod
    amount: Annotated[
        Annotated[int, Meta(ge=1, le=AMOUNT_MAX)] | None,
        Meta(description="minor units; absent: all that is due"),
    ] = None


class NewRefund(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/attempts/{attempt_id}/refund`."""

    reason: Reason
    amount: Annotated[
        Annotated[int, Meta(ge=1, le=AMOUNT_MAX)] | None,
        Meta(description="minor units; absent: all that is left"),
    ] = None


class NewPayoff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/leases/{lease_id}/payoff`."""

    payment_method: PaymentMethod
    quote_id: Annotated[QuoteId | None, Meta(description="absent: what it costs today (UTC)")] = None


class NewQuote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/leases/{lease_id}/payoff-quotes`."""

    as_of: Annotated[
        date,
        Meta(description=f"today (UTC) or one of the next {DAYS_AHEAD_MAX} days; the quote ends with it"),
    ]


class NewAutopay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/leases/{lease_id}/autopay`."""

    autopay: Annotated[
        bool, Meta(description="whether instalments are to be collected without being asked for")
    ]
    payment_method: Annotated[
        PaymentMethod | None, Meta(description="absent: the one known, unless that is stopped")
    ] = None


class NewRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/collections/run`."""

    as_of: Annotated[
        date, Meta(description="the day that collections are run for; after today (UTC) see `allow_future`")
    ]
    allow_future: Annotated[
        bool,
        Meta(
            description="a day after today may be run for: only where the gateway is the sandbox, "
            "422 elsewhere"
        ),
    ] = False
    dry_run: Annotated[bool, Meta(description="work out what a run would do, and do nothing; of any day")] = (
        False
    )


def run_rules(right: Mapping[str, Any]) -> list[FieldError]:
    """What the types of NewRun cannot say."""
    if "as_of" in right and not FIRST_AS_OF <= right["as_of"] <= LAST_DAY:
        return [FieldError("/as_of", f"must lie between {FIRST_AS_OF} and {LAST_DAY}")]
    return []


class AttemptPayment(msgspec.Struct, frozen=True, kw_only=True):
    """Collect one instalment, or a part of it."""

    attempt_id: str  # UUIDv7, made by the front
    payment_id: str
    payment_method: str
    amount: int | None  # minor units; None: all that is due


class PayOffLease(msgspec.Struct, frozen=True, kw_only=True):
    """Collect all that is left of a lease, as of the day it is carried out, or as a quote has promised."""

    attempt_id: str  # UUIDv7, made by the front
    lease_id: str
    payment_method: str
    quote_id: str | None = None  # None: as of the day it is carried out


class QuotePayoff(msgspec.Struct, frozen=True, kw_only=True):
    """Promise what it costs to pay a lease off on a day."""

    quote_id: str  # UUIDv7, made by the front
    lease_id: str
    as_of: date


class RefundAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """Give back what an attempt has collected, or a part of it."""

    attempt_id: str  # of the refund: UUIDv7, made by the front
    refunds: str  # the attempt whose money is given back
    amount: int | None  # minor units; None: all that is left
    reason: str


class RecordChargeback(msgspec.Struct, frozen=True, kw_only=True):
    """The issuer has taken back what an attempt had collected: a notice of the gateway's.

    The attempt is named by its id, by the gateway's reference, or by both.
    """

    notice_id: str  # what tells a repeat: the same in everything that is told of this dispute
    attempt_id: str | None = None
    gateway_reference: str | None = None
    amount: int  # minor units
    currency: str | None = None  # ISO 4217; has to be the attempt's where it is given
    reason: str  # the gateway's word for it, such as "fraudulent"


class SetAutopay(msgspec.Struct, frozen=True, kw_only=True):
    """Collect a lease's instalments without being asked for, or no longer, and with which payment method."""

    lease_id: str
    autopay: bool
    payment_method: str | None = None  # None: the one known


class RunCollections(msgspec.Struct, frozen=True, kw_only=True):
    """Work through all that is due as of a day; once for each day, however often it is asked for."""

    as_of: date
    allow_future: bool = False  # it may lie after today, where the gateway is the sandbox
    dry_run: bool = False  # only say what a run would do


class NoteSettlement(msgspec.Struct, frozen=True, kw_only=True):
    """A charge has come to its end: a notice of the gateway's. It counts where nothing is known of it yet."""

    attempt_id: str  # whose charge it is
    amount: int  # minor units that were to be charged; have to be the attempt's
    currency: str  # ISO 4217
    status: Literal["succeeded", "declined"]
    reference: str  # the gateway's id of the charge
    code: str | None = None  # the gateway's decline code; null: succeeded
