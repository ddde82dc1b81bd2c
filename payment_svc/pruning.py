"""Forgetting what nobody needs any more; the leading relay calls it."""

from common.clock import utcnow
from common.db import Connection
from common.outbox import HORIZON, PRUNE_AT_ONCE
from payment_svc.store import queries


async def prune_quotes(connection: Connection) -> bool:
    """Forget quotes that expired before the horizon, unused: one bounded bite. Whether there may be more."""
    status = await connection.execute(queries.prune_quotes, utcnow() - HORIZON, PRUNE_AT_ONCE)
    return bool(status == f"DELETE {PRUNE_AT_ONCE}")
