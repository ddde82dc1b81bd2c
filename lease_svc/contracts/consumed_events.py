"""The payment service's events: what the lease service reads of each."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from common.kernel.money import MinorUnits
from lease_svc.contracts.values import Allocation

SOURCE = "/payment-svc"

# These change no lease. Their producer did not always mark them as such (`mayskip`).
SKIPPED_UNMARKED = frozenset(
    {
        "payment.attempt_started",
        "payment.declined",
        "payment.failed",
        "payment.resolved",
        "payment.retry_scheduled",
        "payment.unknown",
        "payoff.declined",
        "payoff.quoted",
    }
)


class AutopayStop(msgspec.Struct, frozen=True, kw_only=True):
    """Why autopay charges nothing of a lease, until it is taken up again with a payment method."""

    reason: Annotated[str, Meta(description='"hard_decline": the issuer has declined the method for good')]
    since: Annotated[str, Meta(description="RFC 3339")]
    attempt_id: Annotated[str | None, Meta(description="the attempt that was declined; null: not known")]


class Autopay(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed here of `lease.autopay_changed`: autopay as it is from then on."""

    autopay: bool
    payment_method: str | None
    autopay_stopped: AutopayStop | None


class PaymentSucceeded(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed here of `payment.succeeded`."""

    attempt_id: str
    number: int  # of the instalment
    amount: int  # minor units collected
    allocation: Allocation  # what the money was for


class Waived(msgspec.Struct, frozen=True, kw_only=True):
    """What a payoff has waived."""

    late_fees: MinorUnits = 0


class SettledInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """What a payoff made of an instalment."""

    number: int
    status: Literal["paid", "cancelled"]
    amount_paid: int  # minor units
    late_fees_waived: int = 0  # minor units that it asks for no longer


class PayoffSucceeded(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed here of `payoff.succeeded`."""

    attempt_id: str
    amount: int  # minor units collected
    allocation: Allocation  # what the money was for; interest, net of credits, may be negative
    interest_saved: int  # minor units no longer owed, or paid ahead and not earned
    refund_due: int = 0  # minor units of these that were paid ahead and go back to the customer
    waived: Waived = Waived()  # what was owed on top and is no longer
    instalments: list[SettledInstalment]  # those that were open


class ChangedInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """An instalment after money was taken back from it."""

    number: int
    status: str
    amount: int  # minor units it asks for
    amount_paid: int  # minor units
    amount_due: int  # minor units left on it


class MoneyTakenBack(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed here of `payment.refunded` and `payment.charged_back`."""

    attempt_id: str  # of the refund or chargeback
    amount: int  # minor units
    allocation: Allocation  # what was undone
    instalments: list[ChangedInstalment]  # those it changed
    late_fees_owed_again: int = 0  # minor units that a payoff had waived


class LateFeeAssessed(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed here of `lease.late_fee_assessed`."""

    number: int  # of the instalment
    amount: int  # minor units; what the instalment costs more
