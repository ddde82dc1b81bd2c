"""Forgetting what nobody needs any more; the leading relay calls it."""

from common.kernel.clock import utcnow
from common.messaging.outbox import HORIZON, PRUNE_AT_ONCE
from common.postgres.pool import Connection
from payment_svc.adapters.postgres.account_repository import queries


async def prune_quotes(connection: Connection) -> bool:
    """Forget quotes that expired before the horizon, unused: one bounded bite. Whether there may be more."""
    status = await connection.execute(queries.prune_quotes, utcnow() - HORIZON, PRUNE_AT_ONCE)
    return bool(status == f"DELETE {PRUNE_AT_ONCE}")
