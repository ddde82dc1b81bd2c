"""Leases in Postgres: one statement for a whole batch, never one for each row."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.postgres.pool import Connection, Queries
from lease_svc.domain.lease import Change, Lease

queries = Queries(Path(__file__).with_name("queries.sql"))


def from_row(row: Any) -> Lease:
    """A lease from the columns that the queries of leases give."""
    return Lease(**dict(row.items()))


class PostgresLeaseRepository:
    """The unit of work's LeaseRepository; each method is one statement in the caller's transaction."""

    async def lock(self, connection: Connection, lease_ids: Sequence[str]) -> dict[str, Lease]:
        """The leases with these ids, locked until the transaction ends; unknown ones are missing."""
        rows = await connection.fetch(queries.lock_leases, lease_ids)
        return {row["lease_id"]: from_row(row) for row in rows}

    async def collected(self, connection: Connection, lease_ids: Sequence[str]) -> set[str]:
        """Those among these leases on which money was ever collected, also if it was given back since."""
        return {row["lease_id"] for row in await connection.fetch(queries.ever_collected, lease_ids)}

    async def insert(self, connection: Connection, leases: Sequence[Lease]) -> None:
        """Write new leases. Raises UniqueViolationError where one exists."""
        if leases:
            await connection.execute(
                queries.insert_leases,
                [lease.lease_id for lease in leases],
                [lease.customer_id for lease in leases],
                [lease.status for lease in leases],
                [lease.version for lease in leases],
                [lease.amount_paid for lease in leases],
                [lease.balance for lease in leases],
                [lease.next_due_date for lease in leases],
                [lease.payments_made for lease in leases],
                [_array(lease.paid) for lease in leases],
                [lease.contract for lease in leases],
                [lease.schedule for lease in leases],
                [lease.event_sequence for lease in leases],
                [lease.payment_sequence for lease in leases],
                [lease.created_at for lease in leases],
                [lease.updated_at for lease in leases],
                [lease.principal_left for lease in leases],
                [lease.fees_left for lease in leases],
                [lease.late_fees_left for lease in leases],
            )

    async def update(self, connection: Connection, leases: Sequence[Lease]) -> None:
        """Write what has moved in leases that were locked."""
        if leases:
            await connection.execute(
                queries.update_leases,
                [lease.lease_id for lease in leases],
                [lease.status for lease in leases],
                [lease.version for lease in leases],
                [lease.amount_paid for lease in leases],
                [lease.balance for lease in leases],
                [lease.next_due_date for lease in leases],
                [lease.payments_made for lease in leases],
                [_array(lease.paid) for lease in leases],
                [lease.event_sequence for lease in leases],
                [lease.payment_sequence for lease in leases],
                [lease.updated_at for lease in leases],
                [lease.amended for lease in leases],
                [lease.principal_left for lease in leases],
                [lease.fees_left for lease in leases],
                [lease.late_fees_left for lease in leases],
                [lease.autopay_now for lease in leases],
            )

    async def insert_history(self, connection: Connection, changes: Sequence[Change]) -> None:
        """Write lines of history."""
        if changes:
            await connection.execute(
                queries.insert_history,
                [change.lease_id for change in changes],
                [change.version for change in changes],
                [change.type for change in changes],
                [change.occurred_at for change in changes],
                [change.status_before for change in changes],
                [change.status_after for change in changes],
                [change.balance for change in changes],
                [change.data for change in changes],
            )


def _array(numbers: Sequence[int]) -> str:
    """An array as text: unnest would flatten an array of arrays."""
    return "{" + ",".join(map(str, numbers)) + "}"
