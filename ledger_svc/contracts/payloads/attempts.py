"""What the events of attempts to move money say; money in minor units of `currency`."""

from datetime import date, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from ledger_svc.contracts.payloads.collections import AutopayStop
from ledger_svc.contracts.payloads.common import Allocation, Waived


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What every event of an attempt to move money says."""

    attempt_id: str
    kind: str  # "instalment", "payoff", "refund", "chargeback"
    number: int | None  # of the instalment; None for an early payoff, or the refund of one
    amount: int
    currency: str
    payment_method: str


class AttemptStarted(Attempt, frozen=True, kw_only=True):
    """`payment.attempt_started`"""

    as_of: date | None = None  # of the collection run that began it; None: by hand, a payoff, a refund


class PaymentSucceeded(Attempt, frozen=True, kw_only=True):
    """`payment.succeeded`"""

    number: int
    allocation: Allocation  # what the money was for
    amount_paid: int  # of the instalment, after this payment
    amount_due: int  # of the instalment, after this payment
    payment_status: str  # "paid", "cancelled", or what an open instalment is: "scheduled", "due", "late"


class Decline(msgspec.Struct, frozen=True, kw_only=True):
    """Why the issuer said no."""

    code: str
    advice: Annotated[str, Meta(description='"do_not_retry", "retry_later", "update_instrument"')]
    retry_at: Annotated[str | None, Meta(description="RFC 3339 instant or day")] = None


class PaymentDeclined(Attempt, frozen=True, kw_only=True):
    """`payment.declined`"""

    decline: Decline


class PaymentFailed(Attempt, frozen=True, kw_only=True):
    """`payment.failed`: certainly never reached the gateway."""

    reason: str


class PaymentUnknown(Attempt, frozen=True, kw_only=True):
    """`payment.unknown`: the gateway may or may not have taken it."""

    reason: str


class PaymentResolved(Attempt, frozen=True, kw_only=True):
    """`payment.resolved`: what the gateway said about an unknown attempt; another event moves the money."""

    outcome: str  # "succeeded", "declined", "not_found"


class ClosedInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """What an early payoff made of an instalment that was open."""

    number: int
    status: str  # "paid" or "cancelled"
    amount_paid: int
    late_fees_waived: int = 0  # what it asks for no longer


class PayoffSucceeded(Attempt, frozen=True, kw_only=True):
    """`payoff.succeeded`"""

    as_of: date
    allocation: Allocation  # what the money was for; interest, net of credits, may be negative
    interest_saved: int  # balance before - amount + refund_due - what is waived
    refund_due: int = 0  # interest paid ahead and not earned, which goes back to the customer
    waived: Waived = Waived()
    instalments: tuple[ClosedInstalment, ...]  # only those that were open

    @property
    def settled(self) -> int:
        """What the balance falls by."""
        return self.amount + self.interest_saved - self.refund_due + self.waived.late_fees


class ChangedInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """An instalment after money was taken back from it."""

    number: int
    status: str
    amount: int  # what it asks for: after an early payoff that may be less than the schedule says
    amount_paid: int
    autopay_stopped: AutopayStop | None = None  # why no run collects it; older events do not say


class MoneyTakenBack(Attempt, frozen=True, kw_only=True):
    """`payment.refunded`, `payment.charged_back`"""

    reason: str
    allocation: Allocation  # what is undone; interest is negative where a payoff's credits are undone
    instalments: tuple[ChangedInstalment, ...]  # only those it changed
    interest_owed_again: int  # what an early payoff had saved, once all of it is taken back or undone
    late_fees_owed_again: int = 0  # what it had waived, likewise
    refund_due_of: str | None = None  # the payoff whose `refund_due` this gives back; None: other money
    refund_lapsed: int = 0  # of a payoff's `refund_due`: what it had not given back when it was undone

    @property
    def owed_again(self) -> int:
        """What the balance grows by; nothing on a closed lease, where no instalment is open again."""
        if all(each.status in ("paid", "cancelled") for each in self.instalments):
            return 0
        return self.amount + self.interest_owed_again + self.late_fees_owed_again

    @property
    def earlier_due(self) -> int:
        """The amount, where it gives back what a payoff owed to the customer; else 0."""
        return self.amount if self.refund_due_of else 0


class PayoffDeclined(Attempt, frozen=True, kw_only=True):
    """`payoff.declined`"""

    decline: Decline


class PayoffQuoted(msgspec.Struct, frozen=True, kw_only=True):
    """`payoff.quoted`: a promise; it moves nothing."""

    currency: str
    as_of: date
    amount: int
    interest_saved: int  # where it is paid: balance before - amount + refund_due
    refund_due: int = 0  # what would go back to the customer
    expires_at: Annotated[datetime, Meta(tz=True)]  # exclusive
