"""Message type → function, and the unit of work around them."""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
import structlog

from common.clock import rfc3339, utcnow
from common.db import Connection
from common.envelope import Command, Event, Outcome
from common.http import consistency
from common.http.command_status import status_url
from common.http.problems import TITLES, FieldError, problem
from common.ids import uuid7
from common.worker import Poison, SequenceGap
from lease_svc import lease as domain
from lease_svc import render, schedule, store
from lease_svc.commands import CreateLease
from lease_svc.events import SOURCE, LateFeeAssessed, PaymentSucceeded, PayoffSucceeded
from lease_svc.lease import Change, Lease

log = structlog.get_logger()

decode_create = msgspec.json.Decoder(CreateLease).decode
decode_payment = msgspec.json.Decoder(PaymentSucceeded).decode
decode_payoff = msgspec.json.Decoder(PayoffSucceeded).decode
decode_late_fee = msgspec.json.Decoder(LateFeeAssessed).decode


class Batch:
    """What a batch has changed so far."""

    def __init__(self, leases: dict[str, Lease]) -> None:
        self.leases = leases
        self.new: list[Lease] = []
        self.changes: list[Change] = []
        self.events: list[Event] = []


def create_lease(batch: Batch, command: Command, now: datetime) -> Outcome:
    """CreateLease: 201 with the lease, or 422 where no schedule can be made of it."""
    asked = decode_create(command.data)
    try:
        lease, change = domain.create(asked, now)
    except schedule.ScheduleError as error:
        return Outcome(
            command_id=command.command_id,
            status="rejected",
            http_status=422,
            body=problem(
                422,
                TITLES[422],
                "No schedule can be made of these terms.",
                instance=status_url(command.command_id),
                errors=[FieldError(each.pointer, each.detail) for each in error.problems],
            ),
        )
    batch.new.append(lease)
    batch.changes.append(change)
    batch.events.append(
        Event(
            id=uuid7(),
            source=SOURCE,
            type="lease.created",
            subject=lease.lease_id,
            time=rfc3339(now),
            sequence=lease.event_sequence,
            correlationid=command.command_id,
            causationid=command.command_id,
            traceparent=command.traceparent,
            data=msgspec.Raw(render.created_data(lease)),
        )
    )
    return Outcome(
        command_id=command.command_id,
        status="succeeded",
        http_status=201,
        body=msgspec.Raw(render.view(lease)),
        location=f"/api/v1/leases/{lease.lease_id}",
        token=consistency.token(consistency.Position(SOURCE, lease.event_sequence, lease.lease_id)),
    )


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


def late_fee_assessed(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """An instalment costs more, because it is late."""
    batch.changes += lease.assess_late_fee(decode_late_fee(event.data), bytes(event.data), now)


def delinquent(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """An instalment is late for longer than the grace."""
    batch.changes += lease.turn(event.type, "active", "delinquent", bytes(event.data), now)


def cured(batch: Batch, lease: Lease, event: Event, now: datetime) -> None:
    """No instalment is late for longer than the grace any more."""
    batch.changes += lease.turn(event.type, "delinquent", "active", bytes(event.data), now)


def no_change(_batch: Batch, _lease: Lease, _event: Event, _now: datetime) -> None:
    """Attempts that moved no money change no lease."""


COMMANDS: dict[str, Callable[[Batch, Command, datetime], Outcome]] = {
    "CreateLease": create_lease,
}
EVENTS: dict[str, Callable[[Batch, Lease, Event, datetime], None]] = {
    "payment.attempt_started": no_change,
    "payment.succeeded": payment_succeeded,
    "payment.declined": no_change,
    "payment.failed": no_change,
    "payment.unknown": no_change,
    "payment.resolved": no_change,
    "payoff.succeeded": payoff_succeeded,
    "payoff.declined": no_change,
    "payment.retry_scheduled": no_change,
    "lease.late_fee_assessed": late_fee_assessed,
    "lease.delinquent": delinquent,
    "lease.cured": cured,
}


class LeaseUnit:
    """The lease service's unit of work."""

    async def carry_out(
        self, connection: Connection, commands: Sequence[Command]
    ) -> tuple[list[Outcome], list[Event]]:
        """Decide on a batch of commands and write what they change."""
        batch, now = Batch({}), utcnow()
        outcomes = []
        for command in commands:
            if command.type not in COMMANDS:
                raise Poison(f"unknown command {command.type}")
            outcomes.append(COMMANDS[command.type](batch, command, now))
        await store.insert(connection, batch.new)
        await store.insert_history(connection, batch.changes)
        return outcomes, batch.events

    async def project(self, connection: Connection, events: Sequence[Event]) -> list[Event]:
        """Apply the payment service's events to the leases they are about."""
        now = utcnow()
        batch = Batch(await store.lock(connection, sorted({event.subject for event in events})))
        touched: dict[str, Lease] = {}
        for event in events:
            if event.type not in EVENTS:
                raise Poison(f"unknown event {event.type}")
            lease = batch.leases.get(event.subject)
            if lease is None:
                raise SequenceGap(f"{event.type} for a lease that is not here: {event.subject}")
            if event.sequence <= lease.payment_sequence:
                continue  # a repeat
            if event.sequence > lease.payment_sequence + 1:
                raise SequenceGap(f"{event.subject}: {event.sequence} after {lease.payment_sequence}")
            EVENTS[event.type](batch, lease, event, now)
            lease.payment_sequence = event.sequence
            touched[lease.lease_id] = lease
        await store.update(connection, list(touched.values()))
        await store.insert_history(connection, batch.changes)
        return batch.events


def _tell_paid_off(batch: Batch, lease: Lease, event: Event, attempt_id: str, now: datetime) -> None:
    if lease.balance:
        return
    lease.event_sequence += 1
    batch.events.append(
        Event(
            id=uuid7(),
            source=SOURCE,
            type="lease.paid_off",
            subject=lease.lease_id,
            time=rfc3339(now),
            sequence=lease.event_sequence,
            correlationid=event.correlationid,
            causationid=event.id,
            traceparent=event.traceparent,
            data=msgspec.Raw(domain.encode(lease.paid_off(attempt_id, event.type))),
        )
    )
