"""The ledger's totals, kept up event by event so that nobody ever has to count the whole log.

They are a projection: the writer stores them in the transaction that appends, and they can be made anew from
the entries at any time. They do not depend on the order in which the sources' events come; in the books, a
crossing adds to an account's debits and its credits what the other order does not, and leaves its balance.
"""

from collections.abc import Iterable
from typing import assert_never

import msgspec
from msgspec.structs import replace

from ledger_svc.accounting.account_balances import Books, post
from ledger_svc.accounting.closing_races import Closing, Move, closing_before, overtaken
from ledger_svc.accounting.journal import book
from ledger_svc.contracts import envelope, payloads
from ledger_svc.contracts.envelope import Event


class PaymentTotals(msgspec.Struct, frozen=True):
    """Attempts to collect by outcome, instalments and early payoffs together; refunds are none."""

    succeeded: int = 0
    declined: int = 0
    unknown: int = 0  # not resolved yet


class Amounts(msgspec.Struct, frozen=True):
    """Money of one currency, in its minor unit."""

    billed: int = 0  # all that was ever to be paid, by the leases' schedules and as late fees
    collected: int = 0  # all money taken
    refunded: int = 0  # all money given back
    outstanding: int = 0  # the sum of all balances

    @property
    def no_longer_owed(self) -> int:
        """Billed, and neither collected nor outstanding: what payoffs save and waive, and closed leases."""
        return self.billed - (self.collected - self.refunded) - self.outstanding


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What is derived from all events: `/audit/metrics`, and the books; to and from JSON with msgspec."""

    events_total: int = 0
    leases_total: int = 0
    events_by_type: dict[str, int] = {}
    payments: PaymentTotals = PaymentTotals()
    amounts: dict[str, Amounts] = {}  # by ISO 4217 code
    books: Books | None = None  # None: stored when nobody kept them, see `opening`


EMPTY = Totals(books={})
_NOTHING = Amounts()


def success_rate(payments: PaymentTotals) -> float | None:
    """succeeded / (succeeded + declined), six decimals; None while there is neither."""
    answered = payments.succeeded + payments.declined
    return round(payments.succeeded / answered, 6) if answered else None


def differences(stored: Totals, made: Totals) -> list[str]:
    """The fields in which stored totals are not those made anew; books only where they were kept."""
    names = [name for name in Totals.__struct_fields__ if getattr(stored, name) != getattr(made, name)]
    return [name for name in names if name != "books" or stored.books is not None]


def add(totals: Totals, event: Event, recorded: Iterable[Event] = ()) -> Totals:
    """The totals with one more event; the work does not grow with the number of events or leases.

    `recorded`: what the log has already of the same lease and this event's effect depends on. For money that
    was taken or given back and for a late fee, the lease's closing: what it did not know of moves no balance.
    For a closing, those that it did not know of: they have moved a balance that it now takes away as a whole.
    Others do no harm.

    An event of a type that this code does not know is counted but moves nothing, for the record must go on:
    it shows in `events_by_type`, and the totals have to be made anew with code that knows it.
    MalformedEvent where the data of a known type is wrong.
    """
    by_type = totals.events_by_type | {event.type: totals.events_by_type.get(event.type, 0) + 1}
    totals = replace(totals, events_total=totals.events_total + 1, events_by_type=by_type)
    if event.type not in envelope.TYPES:
        return totals
    data = envelope.data_of(event)
    if totals.books is not None:
        totals = replace(totals, books=post(totals.books, book(event, data, recorded)))
    match data:
        case payloads.LeaseCreated():
            totals = replace(totals, leases_total=totals.leases_total + 1)
            return _moved(totals, data.currency, billed=data.total_payable, lowered=-data.total_payable)
        case payloads.PaymentSucceeded():
            totals, lowered = _counted(totals, succeeded=1), _lowered(event, data, recorded)
            return _moved(totals, data.currency, collected=data.amount, lowered=lowered)
        case payloads.PayoffSucceeded():
            totals, lowered = _counted(totals, succeeded=1), _lowered(event, data, recorded)
            return _moved(totals, data.currency, collected=data.amount, lowered=lowered)
        case payloads.MoneyTakenBack():
            lowered = _lowered(event, data, recorded)
            return _moved(totals, data.currency, refunded=data.amount, lowered=lowered)
        case payloads.LeaseCancelled():
            return _moved(totals, data.currency, lowered=data.balance - _overtaken(data, recorded))
        case payloads.LeaseChargedOff():
            return _moved(totals, data.currency, lowered=data.amount - _overtaken(data, recorded))
        case payloads.Attempt(kind="refund"):  # of which nothing was taken back, or not yet
            return totals
        case payloads.PaymentDeclined() | payloads.PayoffDeclined():
            return _counted(totals, declined=1)
        case payloads.PaymentUnknown():
            return _counted(totals, unknown=1)
        case payloads.PaymentResolved():  # follows exactly one payment.unknown of its attempt
            return _counted(totals, unknown=-1)
        case payloads.LateFeeAssessed():
            lowered = _lowered(event, data, recorded)
            return _moved(totals, data.currency, billed=data.amount, lowered=lowered)
        case payloads.AttemptStarted() | payloads.PaymentFailed() | payloads.PayoffQuoted():
            return totals
        case payloads.LeasePaidOff() | payloads.LeaseReopened():
            return totals
        case payloads.RetryScheduled() | payloads.AutopayChanged():
            return totals
        case payloads.LeaseDelinquent() | payloads.LeaseCured():
            return totals
        case _:
            assert_never(data)


def _lowered(event: Event, data: Move, recorded: Iterable[Event]) -> int:
    """What an event takes off its lease's balance: nothing where the lease was closed without it.

    Negative where the balance rises: by money that was given back and is owed again, and by a late fee.
    """
    return 0 if closing_before(event, recorded) else _settled(data)


def _overtaken(closing: Closing, recorded: Iterable[Event]) -> int:
    """What events that the closing did not know of have taken off the balance before it came."""
    return sum(_settled(data) for data in overtaken(closing, recorded))


def _settled(data: Move) -> int:
    if isinstance(data, payloads.MoneyTakenBack):
        return -data.owed_again
    if isinstance(data, payloads.LateFeeAssessed):
        return -data.amount
    return data.settled if isinstance(data, payloads.PayoffSucceeded) else data.amount


def _counted(totals: Totals, *, succeeded: int = 0, declined: int = 0, unknown: int = 0) -> Totals:
    before = totals.payments
    after = PaymentTotals(before.succeeded + succeeded, before.declined + declined, before.unknown + unknown)
    return replace(totals, payments=after)


def _moved(
    totals: Totals,
    currency: str,
    *,
    billed: int = 0,
    collected: int = 0,
    refunded: int = 0,
    lowered: int = 0,
) -> Totals:
    before = totals.amounts.get(currency, _NOTHING)
    after = Amounts(
        billed=before.billed + billed,
        collected=before.collected + collected,
        refunded=before.refunded + refunded,
        outstanding=before.outstanding - lowered,
    )
    return replace(totals, amounts=totals.amounts | {currency: after})
