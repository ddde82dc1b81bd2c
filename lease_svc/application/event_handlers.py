"""What the payment service's events change of a lease, and what this service publishes then. Pure."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from common.messaging.envelope import Event
from common.messaging.tolerant_reader import handler_of
from lease_svc.application.unit_of_work import Batch
from lease_svc.contracts.consumed_events import (
    SKIPPED_UNMARKED,
    Autopay,
    LateFeeAssessed,
    MoneyTakenBack,
    PaymentSucceeded,
    PayoffSucceeded,
)
from lease_svc.domain.lease import Lease, encode

decode_payment = msgspec.json.Decoder(PaymentSucceeded).decode
decode_taken_back = msgspec.json.Decoder(MoneyTakenBack).decode
decode_payoff = msgspec.json.Decoder(PayoffSucceeded).decode
decode_autopay = msgspec.json.Decoder(Autopay).decode
decode_late_fee = msgspec.json.Decoder(LateFeeAssessed).decode


def apply(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """Take note of the payment service's next event of the lease.

    One without a handler changes nothing but the position, if it may be skipped. Raises UnknownEventType.
    """
    handler = handler_of(EVENTS, event, unmarked=SKIPPED_UNMARKED)
    lease.payment_sequence = event.sequence
    if handler is not None:
        handler(batch, lease, event, now)


def payment_succeeded(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """Money for one instalment."""
    payment = decode_payment(event.data)
    batch.changes += lease.pay(payment, bytes(event.data), now)
    _record_paid_off(batch, lease, event, payment.attempt_id, now)


def payoff_succeeded(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """Money for all that was left."""
    payoff = decode_payoff(event.data)
    batch.changes += lease.pay_off(payoff, bytes(event.data), now)
    _record_paid_off(batch, lease, event, payoff.attempt_id, now)


def money_taken_back(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """A refund or a chargeback."""
    taken = decode_taken_back(event.data)
    changes, reopened = lease.take_back(event.type, taken, bytes(event.data), now)
    batch.changes += changes
    if reopened:
        owed_again = lease.reopened(taken.attempt_id, event.type)
        batch.record(lease, "lease.reopened", encode(owed_again), event, now)


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


EVENTS: dict[str, Callable[[Batch, Lease, Event, datetime], None]] = {
    "payment.succeeded": payment_succeeded,
    "payment.refunded": money_taken_back,
    "payment.charged_back": money_taken_back,
    "payoff.succeeded": payoff_succeeded,
    "lease.autopay_changed": autopay_changed,
    "lease.late_fee_assessed": late_fee_assessed,
    "lease.delinquent": delinquent,
    "lease.cured": cured,
}


def _record_paid_off(batch: Batch, lease: Lease, event: Event, attempt_id: str, now: datetime) -> None:
    if lease.status == "paid_off":
        paid_off = lease.paid_off(attempt_id, event.type)
        batch.record(lease, "lease.paid_off", encode(paid_off), event, now)
