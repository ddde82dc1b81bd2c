"""Message type → function, and the unit of work around them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import structlog

from common.errors import SequenceGap, UnprocessableMessage
from common.kernel.clock import utcnow
from common.messaging.envelope import Command, Event, Outcome
from common.messaging.tolerant_reader import UnknownEventType
from common.postgres.pool import Connection
from lease_svc.application import rejections, representations
from lease_svc.application.event_handlers import apply
from lease_svc.application.unit_of_work import Batch, LeaseRepository, token
from lease_svc.contracts.commands import CancelLease, ChargeOffLease, CreateLease
from lease_svc.contracts.events import LeaseCancelled, LeaseChargedOff
from lease_svc.domain import closing, lease_factory, schedule
from lease_svc.domain import lease as domain
from lease_svc.domain.lease import Change, Lease

log = structlog.get_logger()

decode_create = msgspec.json.Decoder(CreateLease).decode
decode_cancel = msgspec.json.Decoder(CancelLease).decode
decode_charge_off = msgspec.json.Decoder(ChargeOffLease).decode


def create_lease(batch: Batch, command: Command, asked: CreateLease, now: datetime) -> Outcome:
    """CreateLease: 201 with the lease, or 422 where no schedule can be made of it."""
    try:
        lease, change = lease_factory.create(asked, now)
    except schedule.ScheduleError as error:
        return rejections.no_schedule(command, error.violations)
    batch.add(lease)
    batch.changes.append(change)
    batch.record(lease, "lease.created", representations.created_data(lease), command, now)
    return _shown(lease, command, 201)


def cancel_lease(batch: Batch, command: Command, asked: CancelLease, now: datetime) -> Outcome:
    """CancelLease: 200 with the lease, or 409 as things stand."""
    collected = asked.lease_id in batch.collected

    def decide(lease: Lease) -> tuple[Change, LeaseCancelled]:
        return closing.cancel(lease, asked, now, collected=collected)

    return _close(batch, command, asked.lease_id, decide, now)


def charge_off_lease(batch: Batch, command: Command, asked: ChargeOffLease, now: datetime) -> Outcome:
    """ChargeOffLease: 200 with the lease, or 409 as things stand."""
    return _close(batch, command, asked.lease_id, lambda lease: closing.charge_off(lease, asked, now), now)


Asked = CreateLease | CancelLease | ChargeOffLease
COMMANDS: dict[
    str, tuple[Callable[[msgspec.Raw], Asked], Callable[[Batch, Command, Any, datetime], Outcome]]
] = {
    "CreateLease": (decode_create, create_lease),
    "CancelLease": (decode_cancel, cancel_lease),
    "ChargeOffLease": (decode_charge_off, charge_off_lease),
}


class LeaseUnit:
    """The lease service's unit of work."""

    def __init__(self, leases: LeaseRepository) -> None:
        self._leases = leases

    async def carry_out(
        self, connection: Connection, commands: Sequence[Command]
    ) -> tuple[list[Outcome], list[Event]]:
        """Decide on a batch of commands and write what they change."""
        asked = [_decode(command) for command in commands]
        changed = {each.lease_id for each in asked if not isinstance(each, CreateLease)}
        batch = Batch(await self._leases.lock(connection, sorted(changed)) if changed else {})
        cancelled = [each.lease_id for each in asked if isinstance(each, CancelLease)]
        if cancelled:
            batch.collected = await self._leases.collected(connection, cancelled)
        now = utcnow()  # once they are locked: a lease's changes follow each other in time as well
        outcomes = [
            COMMANDS[command.type][1](batch, command, each, now)
            for command, each in zip(commands, asked, strict=True)
        ]
        await batch.save(connection, self._leases)
        return outcomes, batch.events

    async def project(self, connection: Connection, events: Sequence[Event]) -> list[Event]:
        """Apply the payment service's events to the leases they are about."""
        now = utcnow()
        batch = Batch(await self._leases.lock(connection, sorted({event.subject for event in events})))
        for event in events:
            lease = batch.leases.get(event.subject)
            if lease is None:
                raise SequenceGap(f"{event.type} for a lease that is not here: {event.subject}")
            if event.sequence <= lease.payment_sequence:
                continue  # a repeat
            if event.sequence > lease.payment_sequence + 1:
                raise SequenceGap(f"{event.subject}: {event.sequence} after {lease.payment_sequence}")
            try:
                apply(batch, lease, event, now)
            except UnknownEventType as error:
                raise UnprocessableMessage(str(error)) from None
            batch.touch(lease)
        await batch.save(connection, self._leases)
        return batch.events


def _decode(command: Command) -> Asked:
    if command.type not in COMMANDS:
        raise UnprocessableMessage(f"unknown command {command.type}")
    return COMMANDS[command.type][0](command.data)


def _close(
    batch: Batch,
    command: Command,
    lease_id: str,
    decide: Callable[[Lease], tuple[Change, LeaseCancelled | LeaseChargedOff]],
    now: datetime,
) -> Outcome:
    lease = batch.leases.get(lease_id)
    if lease is None:
        return rejections.unknown_lease(command)
    try:
        change, event = decide(lease)
    except closing.Refused as refused:
        return rejections.refused(command, refused, lease)
    batch.touch(lease)
    batch.changes.append(change)
    batch.record(lease, change.type, domain.encode(event), command, now)
    return _shown(lease, command, 200)


def _shown(lease: Lease, command: Command, http_status: int) -> Outcome:
    return Outcome(
        command_id=command.command_id,
        status="succeeded",
        http_status=http_status,
        body=msgspec.Raw(representations.view(lease)),
        location=f"/api/v1/leases/{lease.lease_id}" if http_status == 201 else None,
        token=token(lease),
    )
