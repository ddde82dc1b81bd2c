"""The ledger's totals, kept up event by event so that nobody ever has to count the whole log.

They are a projection: the writer stores them in the transaction that appends, and they can be made anew from
the entries at any time. They do not depend on the order in which the sources' events come; in the books, a
race adds to an account's debits and its credits what the other order does not, and leaves its balance.
"""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from ledger_svc.accounting.account_balances import Books, post
from ledger_svc.accounting.closing_races import closing_before, overtaken
from ledger_svc.accounting.journal import book, currency_of
from ledger_svc.contracts.envelope import Event
from ledger_svc.event_types import registry
from ledger_svc.event_types.basics.fields import Closing, Data
from ledger_svc.event_types.definition import AnyType, Counts


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
    books: Books | None = None  # None: stored when nobody kept them, see `opening_balances`


EMPTY = Totals(books={})
_NOTHING = Amounts()
_NO_COUNTS = Counts()


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
    definition = registry.TYPES.get(event.type)
    if definition is None:
        return totals
    data = registry.data_of(event)
    if totals.books is not None:
        totals = replace(totals, books=post(totals.books, book(event, data, recorded)))
    counts = definition.counts(data) if definition.counts else _NO_COUNTS
    if counts is not _NO_COUNTS:
        totals = _counted(totals, counts)
    if definition.lowers is None:
        return totals
    return _moved(totals, currency_of(data), counts, _lowered(definition, event, data, recorded))


def _lowered(definition: AnyType, event: Event, data: Data, recorded: Iterable[Event]) -> int:
    """What an event takes off its lease's balance: nothing where the lease was closed without it.

    Negative where the balance rises: by money that was given back and is owed again, and by a late fee. A
    closing takes no more away what events that it did not know of have taken off before it came.
    """
    if definition.lowers is None or (definition.races_closings and closing_before(event, recorded)):
        return 0
    lowered = definition.lowers(data)
    if isinstance(data, Closing):
        lowered -= sum(moved.lowers(move) for moved, move in overtaken(data, recorded) if moved.lowers)
    return lowered


def _counted(totals: Totals, counts: Counts) -> Totals:
    before = totals.payments
    return replace(
        totals,
        leases_total=totals.leases_total + counts.leases,
        payments=PaymentTotals(
            before.succeeded + counts.succeeded,
            before.declined + counts.declined,
            before.unknown + counts.unknown,
        ),
    )


def _moved(totals: Totals, currency: str, counts: Counts, lowered: int) -> Totals:
    before = totals.amounts.get(currency, _NOTHING)
    after = Amounts(
        billed=before.billed + counts.billed,
        collected=before.collected + counts.collected,
        refunded=before.refunded + counts.refunded,
        outstanding=before.outstanding - lowered,
    )
    return replace(totals, amounts=totals.amounts | {currency: after})
