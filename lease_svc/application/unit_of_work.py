"""What a batch of messages has loaded and changed, and the events it publishes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from common.messaging.envelope import Command, Event
from common.postgres.pool import Connection
from common.web import read_your_writes
from lease_svc.application.event_factory import MessageContext, next_event
from lease_svc.contracts.events import SOURCE
from lease_svc.domain.lease import Change, Lease


class LeaseRepository(Protocol):
    """Where leases and their history are kept; everything happens in the caller's transaction."""

    async def lock(self, connection: Connection, lease_ids: Sequence[str]) -> dict[str, Lease]:
        """The leases with these ids, locked until the transaction ends; unknown ones are missing."""

    async def collected(self, connection: Connection, lease_ids: Sequence[str]) -> set[str]:
        """Those among these leases on which money was ever collected, also if it was given back since."""

    async def insert(self, connection: Connection, leases: Sequence[Lease]) -> None:
        """Write new leases."""

    async def update(self, connection: Connection, leases: Sequence[Lease]) -> None:
        """Write what has moved in leases that were locked."""

    async def insert_history(self, connection: Connection, changes: Sequence[Change]) -> None:
        """Write lines of history."""


class Batch:
    """Leases that are locked or new, and what has been changed of them so far."""

    def __init__(self, leases: dict[str, Lease]) -> None:
        self.leases = leases
        self.collected: set[str] = set()  # of those to be cancelled: on which money was ever collected
        self.new: dict[str, Lease] = {}
        self.touched: dict[str, Lease] = {}
        self.changes: list[Change] = []
        self.events: list[Event] = []

    def add(self, lease: Lease) -> None:
        """A new lease, which what follows in the batch can change already."""
        self.leases[lease.lease_id] = self.new[lease.lease_id] = lease

    def touch(self, lease: Lease) -> None:
        """It has changed and is to be written."""
        if lease.lease_id not in self.new:  # those are written whole
            self.touched[lease.lease_id] = lease

    def record(
        self, lease: Lease, type_: str, data: bytes, because_of: Command | Event, now: datetime
    ) -> None:
        """Add the lease's next event, which follows from that message."""
        self.events.append(next_event(lease, type_, data, MessageContext.of(because_of), now))

    async def save(self, connection: Connection, repository: LeaseRepository) -> None:
        """Write it all; the events are the caller's to append."""
        await repository.insert(connection, list(self.new.values()))
        await repository.update(connection, list(self.touched.values()))
        await repository.insert_history(connection, self.changes)


def token(lease: Lease) -> str:
    """The Consistency-Token for what has been published of the lease so far."""
    return read_your_writes.token(read_your_writes.Position(SOURCE, lease.event_sequence, lease.lease_id))
