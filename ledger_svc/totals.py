"""The ledger's totals, kept up event by event so that nobody ever has to count the whole log.

They are a projection: the writer stores them in the transaction that appends, and they can be made anew from
the entries at any time. No step depends on the order of events.
"""

from typing import assert_never

import msgspec
from msgspec.structs import replace

from ledger_svc import events, facts
from ledger_svc.events import Event


class PaymentTotals(msgspec.Struct, frozen=True):
    """Attempts by outcome, instalments and early payoffs together."""

    succeeded: int = 0
    declined: int = 0
    unknown: int = 0  # not resolved yet


class Amounts(msgspec.Struct, frozen=True):
    """Money of one currency, in its minor unit."""

    billed: int = 0  # all that was ever to be paid, by the leases' schedules and as late fees
    collected: int = 0  # all money taken
    refunded: int = 0  # all money given back
    outstanding: int = 0  # the sum of all balances


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in `/audit/metrics` that is derived from events; to and from JSON with msgspec."""

    events_total: int = 0
    leases_total: int = 0
    events_by_type: dict[str, int] = {}
    payments: PaymentTotals = PaymentTotals()
    amounts: dict[str, Amounts] = {}  # by ISO 4217 code


EMPTY = Totals()
_NOTHING = Amounts()


def success_rate(payments: PaymentTotals) -> float | None:
    """succeeded / (succeeded + declined), six decimals; None while there is neither."""
    answered = payments.succeeded + payments.declined
    return round(payments.succeeded / answered, 6) if answered else None


def add(totals: Totals, event: Event) -> Totals:
    """The totals with one more event; the work does not grow with the number of events or leases.

    An event of a type that this code does not know is counted but moves nothing, for the record must go on:
    it shows in `events_by_type`, and the totals have to be made anew with code that knows it.
    MalformedEvent where the data of a known type is wrong.
    """
    by_type = totals.events_by_type | {event.type: totals.events_by_type.get(event.type, 0) + 1}
    totals = replace(totals, events_total=totals.events_total + 1, events_by_type=by_type)
    if event.type not in events.TYPES:
        return totals
    data = events.data_of(event)
    match data:
        case facts.LeaseCreated():
            totals = replace(totals, leases_total=totals.leases_total + 1)
            return _moved(totals, data.currency, billed=data.total_payable)
        case facts.PaymentSucceeded():
            return _moved(_counted(totals, succeeded=1), data.currency, collected=data.amount)
        case facts.PayoffSucceeded():
            totals = _counted(totals, succeeded=1)
            return _moved(totals, data.currency, collected=data.amount, waived=data.interest_saved)
        case facts.PaymentDeclined() | facts.PayoffDeclined():
            return _counted(totals, declined=1)
        case facts.PaymentUnknown():
            return _counted(totals, unknown=1)
        case facts.PaymentResolved():  # follows exactly one payment.unknown of its attempt
            return _counted(totals, unknown=-1)
        case facts.LateFeeAssessed():
            return _moved(totals, data.currency, billed=data.amount)
        case facts.AttemptStarted() | facts.PaymentFailed() | facts.LeasePaidOff():
            return totals
        case facts.RetryScheduled() | facts.LeaseDelinquent() | facts.LeaseCured():
            return totals
        case _:
            assert_never(data)


def _counted(totals: Totals, *, succeeded: int = 0, declined: int = 0, unknown: int = 0) -> Totals:
    before = totals.payments
    after = PaymentTotals(before.succeeded + succeeded, before.declined + declined, before.unknown + unknown)
    return replace(totals, payments=after)


def _moved(totals: Totals, currency: str, *, billed: int = 0, collected: int = 0, waived: int = 0) -> Totals:
    before = totals.amounts.get(currency, _NOTHING)
    after = Amounts(
        billed=before.billed + billed,
        collected=before.collected + collected,
        refunded=before.refunded,
        outstanding=before.outstanding + billed - collected - waived,
    )
    return replace(totals, amounts=totals.amounts | {currency: after})
