"""What the events of collections say; money in minor units of `currency`."""

from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from ledger_svc.contracts.payloads.common import Count


class RetryScheduled(msgspec.Struct, frozen=True, kw_only=True):
    """`payment.retry_scheduled`"""

    number: Count
    retry_at: date
    attempts: int  # declined so far


class AutopayStop(msgspec.Struct, frozen=True, kw_only=True):
    """Why autopay collects nothing, of a lease or of an instalment."""

    reason: Annotated[
        str,
        Meta(
            description='"hard_decline", "last_decline", "cannot_be_made", "money_taken_back", '
            '"before_upgrade"'
        ),
    ]


class AutopayInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """An instalment whose series of attempts begins anew."""

    number: Count


class AutopayChanged(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.autopay_changed`: told by the payment service."""

    autopay: bool
    payment_method: str | None
    autopay_stopped: AutopayStop | None  # why nothing of the lease is charged
    instalments: tuple[AutopayInstalment, ...]


class LateFeeAssessed(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.late_fee_assessed`: told by the payment service."""

    number: Count
    amount: int  # the fee
    currency: str
    due_date: date
    as_of: date  # of the collection run
    payment_status: str  # what the instalment is, an attempt in flight aside


class LeaseDelinquent(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.delinquent`: told by the payment service."""

    as_of: date  # of the collection run
    numbers: tuple[Count, ...]  # instalments late beyond the grace
    days_late: int  # of the oldest
    amount_late: int
    currency: str


class LeaseCured(msgspec.Struct, frozen=True, kw_only=True):
    """`lease.cured`: told by the payment service."""

    as_of: date
    reason: str
