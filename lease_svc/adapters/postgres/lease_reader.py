"""What the HTTP API reads: leases, pages of them and their history, as they were committed last."""

from collections.abc import Sequence

import msgspec

from common.kernel.clock import rfc3339
from common.postgres.pool import Pool
from lease_svc.adapters.postgres.lease_repository import from_row, queries
from lease_svc.application.representations import HistoryItem
from lease_svc.domain.lease import Lease


class LeaseReader:
    """Queries outside of any transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def leases(self, lease_ids: Sequence[str]) -> dict[str, Lease]:
        """The leases with these ids; unknown ones are missing."""
        rows = await self._pool.fetch(queries.get_leases, lease_ids)
        return {row["lease_id"]: from_row(row) for row in rows}

    async def newest(
        self, customer_id: str | None, status: str | None, before: str | None, limit: int
    ) -> list[Lease]:
        """At most `limit` leases without their schedules, newest first, from before that id on.

        Where `customer_id` or `status` is given, only those that have it.
        """
        rows = await self._pool.fetch(queries.list_leases, customer_id, status, before, limit)
        return [from_row(row) for row in rows]

    async def history(self, lease_id: str, after: int, limit: int) -> list[HistoryItem]:
        """At most `limit` changes of a lease after that version, oldest first; none of an unknown lease."""
        return [
            HistoryItem(
                version=row["version"],
                type=row["type"],
                occurred_at=rfc3339(row["occurred_at"]),
                status_before=row["status_before"],
                status_after=row["status_after"],
                balance=row["balance"],
                data=msgspec.Raw(row["data"]),
            )
            for row in await self._pool.fetch(queries.get_history, lease_id, after, limit)
        ]

    async def event_sequence(self, lease_id: str) -> int | None:
        """The number of the lease's last event of this service; None: there is no such lease."""
        found: int | None = await self._pool.fetchval(queries.get_event_sequence, lease_id)
        return found

    async def payment_sequence(self, lease_id: str) -> int | None:
        """The number of the last event of the payment service that was applied; None: no such lease."""
        found: int | None = await self._pool.fetchval(queries.get_payment_sequence, lease_id)
        return found
