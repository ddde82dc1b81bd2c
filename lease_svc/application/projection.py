"""A lease from nothing but its events, by the same functions as in the live service. Pure.

The service's own events record what was decided on commands; `payment_sequence` says which of the payment
service's events a cancellation or charge-off knew of. What this service publishes because of those is derived
from them, and compared with what it has published.

What does not follow is when the payment service's events were applied: `updated_at`, and `occurred_at` of
those lines of the history. The events' own times stand in for it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from common.messaging.envelope import Event
from common.messaging.tolerant_reader import UnknownEventType
from common.replay.fold import DoNotAddUp, UnknownType, by_source, check_told
from lease_svc.application import event_handlers
from lease_svc.application.unit_of_work import Batch
from lease_svc.contracts.commands import CancelLease, ChargeOffLease
from lease_svc.contracts.consumed_events import SOURCE as PAYMENTS
from lease_svc.contracts.events import SOURCE, Contract, LeaseCancelled, LeaseChargedOff, LeaseCreated
from lease_svc.domain import closing, lease_factory
from lease_svc.domain.lease import Change, Lease

# Own events that follow from one of the payment service's.
FOLLOWING = frozenset({"lease.paid_off", "lease.reopened"})

decode_created = msgspec.json.Decoder(LeaseCreated).decode
COLLECTING = ("payment.succeeded", "payoff.succeeded")


def _cancel(lease: Lease, asked: CancelLease, at: datetime, collected: bool) -> tuple[Change, LeaseCancelled]:
    return closing.cancel(lease, asked, at, collected=collected)


def _charge_off(
    lease: Lease, asked: ChargeOffLease, at: datetime, _collected: bool
) -> tuple[Change, LeaseChargedOff]:
    return closing.charge_off(lease, asked, at)


# Own events that follow from a command: their data, the command, and the rule that decides on it.
DECIDED: dict[str, tuple[Callable[[msgspec.Raw], Any], Callable[..., Any], Callable[..., Any]]] = {
    "lease.cancelled": (msgspec.json.Decoder(LeaseCancelled).decode, CancelLease, _cancel),
    "lease.charged_off": (msgspec.json.Decoder(LeaseChargedOff).decode, ChargeOffLease, _charge_off),
}


class Folded(NamedTuple):
    """What a lease's events add up to."""

    lease: Lease
    history: list[Change]


def fold(events: Sequence[Event]) -> Folded:
    """The lease and its history, from all its events in any order. Raises DoNotAddUp, UnknownType."""
    own, payments = by_source(events, (SOURCE, PAYMENTS))
    for event in events:
        if event.source == SOURCE and event.type not in ("lease.created", *FOLLOWING, *DECIDED):
            raise UnknownType(f"{event.type} (event {event.id})")
    if not own or own[0].type != "lease.created":
        raise DoNotAddUp("lease.created is missing")
    lease, created = _created(own[0])
    batch = Batch({lease.lease_id: lease})
    batch.changes.append(created)
    for event in own[1:]:
        if event.type in DECIDED:
            _close(batch, lease, event, payments)
    _apply(batch, lease, payments)
    derived = {event.sequence: event for event in batch.events}
    for event in own:
        if event.type in FOLLOWING:
            if event.sequence not in derived:
                raise DoNotAddUp(f"{event.type} ({SOURCE} {event.sequence}) follows from nothing")
            check_told(event, derived[event.sequence])
    return Folded(lease, batch.changes)


def _created(event: Event) -> tuple[Lease, Change]:
    published = decode_created(event.data)
    contract = Contract(**{name: getattr(published, name) for name in Contract.__struct_fields__})
    lease, change = lease_factory.begin(published.lease_id, contract, published.schedule, _time(event))
    lease.event_sequence = event.sequence
    return lease, change


def _apply(batch: Batch, lease: Lease, payments: Sequence[Event], upto: int | None = None) -> None:
    """Apply those that are not yet, up to that number."""
    for event in payments[lease.payment_sequence : upto]:
        try:
            event_handlers.apply(batch, lease, event, _time(event))
        except UnknownEventType as error:
            raise UnknownType(str(error)) from None


def _close(batch: Batch, lease: Lease, event: Event, payments: Sequence[Event]) -> None:
    decode, command, decide = DECIDED[event.type]
    published = decode(event.data)
    _apply(batch, lease, payments, published.payment_sequence)
    before = payments[: lease.payment_sequence]
    try:
        change, decided = decide(
            lease,
            command(lease_id=lease.lease_id, reason=published.reason),
            _time(event),
            any(payment.type in COLLECTING for payment in before),
        )
    except closing.Refused as refused:
        raise DoNotAddUp(f"{event.type} ({SOURCE} {event.sequence}): {refused}") from None
    lease.event_sequence += 1
    if (decided, lease.event_sequence) != (published, event.sequence):
        raise DoNotAddUp(
            f"{event.type} ({SOURCE} {event.sequence}): {decided} follows, {published} was published"
        )
    batch.changes.append(change)


def _time(event: Event) -> datetime:
    return datetime.fromisoformat(event.time)
