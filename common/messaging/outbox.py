"""The outbox: events are committed with the change they tell of; see outbox_relay for how they leave."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from common.kernel.clock import utcnow
from common.kernel.ids import earliest
from common.messaging.envelope import Event, encode
from common.postgres.pool import Connection, Queries

queries = Queries(Path(__file__).with_name("queries.sql"))

PRUNE_AT_ONCE = 5_000
HORIZON = timedelta(days=30)  # how long outcomes and published events are kept


async def append(connection: Connection, events: Sequence[Event]) -> None:
    """Write events in the transaction of the change they tell of, in order."""
    if events:
        await connection.execute(
            queries.append_outbox,
            [event.id for event in events],
            [event.subject for event in events],
            [event.type for event in events],
            [encode(event) for event in events],
        )


async def prune(connection: Connection) -> bool:
    """Forget outcomes and published events from before the horizon, one bounded bite of each.

    Returns whether there may be more of them.
    """
    before = utcnow() - HORIZON
    forgotten = [
        await connection.execute(queries.prune_outbox, before, PRUNE_AT_ONCE),
        await connection.execute(queries.prune_commands, earliest(before), PRUNE_AT_ONCE),
    ]
    return any(status == f"DELETE {PRUNE_AT_ONCE}" for status in forgotten)
