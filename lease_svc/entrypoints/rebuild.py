"""`python -m lease_svc rebuild`: leases and their history built from events, in a schema of their own."""

from collections.abc import Sequence
from pathlib import Path

from common.postgres.migrations import MESSAGING
from common.postgres.pool import Connection
from common.replay.cli import rebuild_projection
from common.replay.projection_rebuild import Projection
from common.replay.shadow_schema import Table
from lease_svc.adapters.postgres.lease_repository import PostgresLeaseRepository
from lease_svc.application.projection import Folded, fold

LEASES = Table(
    name="leases",
    key=("lease_id",),
    compared=(
        *("customer_id", "status", "version", "amount_paid", "balance", "next_due_date", "payments_made"),
        *("principal_left", "fees_left", "late_fees_left", "autopay_now"),
        *("paid", "contract", "schedule", "amended", "event_sequence", "payment_sequence", "created_at"),
    ),
    left_out={"updated_at": "when a payment was applied here is in no event"},
)
HISTORY = Table(
    name="history",
    key=("lease_id", "version"),
    compared=("type", "status_before", "status_after", "balance", "data"),
    left_out={"occurred_at": "the same"},
)
LEFT_OUT = {
    "commands": "what was asked, and the answers",
    "outbox": "what was published",
    "outbox_pending": "what is still to be published",
}


async def save(connection: Connection, folded: Sequence[Folded]) -> None:
    """Write leases with their history."""
    repository = PostgresLeaseRepository()
    leases = [each.lease for each in folded]
    await repository.insert(connection, leases)
    await repository.update(connection, leases)
    await repository.insert_history(connection, [change for each in folded for change in each.history])


PROJECTION = Projection(
    schema="lease",
    migrations=(MESSAGING, Path(__file__).parents[1] / "adapters/postgres/migrations"),
    leases="leases",
    positions="event_sequence, payment_sequence",
    tables=(LEASES, HISTORY),
    left_out=LEFT_OUT,
    fold=fold,
    save=save,
)


def main(arguments: Sequence[str]) -> int:
    """Build, compare and report. Returns the exit status."""
    return rebuild_projection("lease_svc", PROJECTION, arguments)
