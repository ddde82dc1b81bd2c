"""What the payment service's events bring to a lease, and what this service tells because of them. Pure."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from common.kernel.clock import rfc3339
from common.kernel.ids import uuid7
from common.messaging.envelope import Event
from lease_svc.application.unit_of_work import Batch
from lease_svc.contracts.consumed_events import (
    Autopay,
    LateFeeAssessed,
    MoneyTakenBack,
    PaymentSucceeded,
    PayoffSucceeded,
)
from lease_svc.contracts.events import SOURCE, LeasePaidOff, LeaseReopened
from lease_svc.domain import lease as domain
from lease_svc.domain.lease import Lease

decode_payment = msgspec.json.Decoder(PaymentSucceeded).decode
decode_taken_back = msgspec.json.Decoder(MoneyTakenBack).decode
decode_payoff = msgspec.json.Decoder(PayoffSucceeded).decode
decode_autopay = msgspec.json.Decoder(Autopay).decode
decode_late_fee = msgspec.json.Decoder(LateFeeAssessed).decode


def apply(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """One of EVENTS, the next in the payment service's sequence of the lease."""
    lease.payment_sequence = event.sequence
    EVENTS[event.type](batch, lease, event, now)


def payment_succeeded(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """Money for one instalment."""
    payment = decode_payment(event.data)
    batch.changes += lease.pay(payment, bytes(event.data), now)
    _tell_paid_off(batch, lease, event, payment.attempt_id, now)


def payoff_succeeded(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """Money for all that was left."""
    payoff = decode_payoff(event.data)
    batch.changes += lease.pay_off(payoff, bytes(event.data), now)
    _tell_paid_off(batch, lease, event, payoff.attempt_id, now)


def money_taken_back(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """A refund or a chargeback."""
    taken = decode_taken_back(event.data)
    changes, reopened = lease.take_back(event.type, taken, bytes(event.data), now)
    batch.changes += changes
    if reopened:
        told = lease.reopened(taken.attempt_id, event.type)
        _tell(batch, lease, event, "lease.reopened", told, now)


def late_fee_assessed(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """An instalment costs more, because it is late."""
    batch.changes += lease.assess_late_fee(decode_late_fee(event.data), bytes(event.data), now)


def autopay_changed(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """Somebody has changed autopay, or its payment method was declined for good."""
    batch.changes += lease.change_autopay(decode_autopay(event.data), bytes(event.data), now)


def delinquent(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """An instalment is late for longer than the grace."""
    batch.changes += lease.turn(event.type, "active", "delinquent", bytes(event.data), now)


def cured(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """No instalment is late for longer than the grace any more."""
    batch.changes += lease.turn(event.type, "delinquent", "active", bytes(event.data), now)


def no_change(_batch: Batch, _lease: Lease, _event: Event, _now: datetime) -> None:
    """What moved no money changes no lease."""


EVENTS: dict[str, Callable[[Batch, Lease, Event, datetime], None]] = {
    "payment.attempt_started": no_change,
    "payment.succeeded": payment_succeeded,
    "payment.declined": no_change,
    "payment.failed": no_change,
    "payment.unknown": no_change,
    "payment.resolved": no_change,
    "payment.refunded": money_taken_back,
    "payment.charged_back": money_taken_back,
    "payoff.succeeded": payoff_succeeded,
    "payoff.declined": no_change,
    "payoff.quoted": no_change,
    "payment.retry_scheduled": no_change,
    "lease.autopay_changed": autopay_changed,
    "lease.late_fee_assessed": late_fee_assessed,
    "lease.delinquent": delinquent,
    "lease.cured": cured,
}


def _tell_paid_off(batch: Batch, lease: Lease, event: Event, attempt_id: str, now: datetime) -> None:
    if lease.status == "paid_off":
        _tell(batch, lease, event, "lease.paid_off", lease.paid_off(attempt_id, event.type), now)


def _tell(
    batch: Batch, lease: Lease, event: Event, type_: str, data: LeasePaidOff | LeaseReopened, now: datetime
) -> None:
    """An event of this service that follows from one of the payment service's."""
    lease.event_sequence += 1
    batch.events.append(
        Event(
            id=uuid7(),
            source=SOURCE,
            type=type_,
            subject=lease.lease_id,
            time=rfc3339(now),
            sequence=lease.event_sequence,
            seensequence=lease.payment_sequence,
            correlationid=event.correlationid,
            causationid=event.id,
            traceparent=event.traceparent,
            data=msgspec.Raw(domain.encode(data)),
        )
    )
