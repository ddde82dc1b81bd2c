"""Whether the gateway answers, as all workers know it together: one row, which whoever notices changes.

The gateway is away from the first look-up on that it does not answer. Then nobody asks about single attempts
any more, and one look-up every two seconds, of whichever worker, finds out whether it is back: a probe. With
the first look-up or charge that gets through, all that waits for the gateway is due at once: attempts that
are unknown, and those that were put off.

A charge that is not answered says nothing: gateways time out on single cards.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from prometheus_client import Gauge

from common.kernel.clock import utcnow
from common.postgres.pool import Connection, Pool, Queries, transaction
from payment_svc.application.gateway import ChargeResult, NoAnswer, NotReached
from payment_svc.domain.attempt import ASK_AFTER

log = structlog.get_logger()

queries = Queries(Path(__file__).parents[2] / "adapters/postgres/gateway_health.sql")

PROBE_EVERY = timedelta(seconds=2)  # look-ups of all workers together, while the gateway is away

AWAY = Gauge("gateway_away", "1 while the gateway does not answer look-ups, as far as is known")


def answered(result: ChargeResult | None) -> bool:
    """Whether a call got through to the gateway; None: it has no record of what it was asked about."""
    if isinstance(result, NoAnswer):
        return not result.outage
    return not isinstance(result, NotReached)


class GatewayHealth:
    """One worker's view of it."""

    def __init__(self, pool: Pool, returned: Callable[[], None]) -> None:
        """`returned`: called in each worker when the gateway answers again after an outage."""
        self._pool = pool
        self._returned = returned
        self.away = False
        self._next_probe_at: datetime | None = None
        self._returned_at: datetime | None = None
        self._known = False  # whether the row has been read
        self._answered_at: datetime | None = None  # when the last call that was answered had begun
        self._heard = False  # something was answered while it was away

    def heard(self, result: ChargeResult | None, called_at: datetime) -> None:
        """How a call to the gateway ended, which began at `called_at`."""
        if answered(result):
            self._answered_at = max(called_at, self._answered_at or called_at)
            self._heard = self._heard or self.away

    async def refresh(self) -> None:
        """Learn what other workers have noticed, and tell them what this one has."""
        if self._heard:
            await self.answers()
        row = await self._pool.fetchrow(queries.gateway_health)
        self.away = row is not None and row["away_since"] is not None
        self._next_probe_at = row["next_probe_at"] if row is not None else None
        returned_at = row["returned_at"] if row is not None else None
        if self._known and returned_at != self._returned_at:
            self._returned()
        self._known, self._returned_at = True, returned_at
        AWAY.set(int(self.away))

    async def doubt(self, connection: Connection, now: datetime) -> datetime | None:
        """A charge was not sent, or did not arrive: have it found out whether the gateway is away.

        Gives when it last returned; that does not change until the transaction ends.
        """
        returned_at: datetime | None = await connection.fetchval(queries.doubt, now)
        return returned_at

    async def not_answered(self, called_at: datetime) -> None:
        """A look-up was not answered; it counts while none that began later was."""
        if self.away or (self._answered_at is not None and called_at < self._answered_at):
            return
        self.away = True
        log.warning("gateway.away")
        await self._pool.execute(queries.gateway_away, called_at, utcnow() + PROBE_EVERY)

    async def claim_probe(self) -> bool:
        """Whether this worker is to find out now."""
        now = utcnow()
        if self._next_probe_at is None or self._next_probe_at > now:
            return False
        return bool(await self._pool.fetchval(queries.claim_probe, now, now + PROBE_EVERY))

    async def to_probe(self) -> tuple[str, bool, str | None] | None:
        """An attempt to find it out by: its id, whether it is unknown, and of a refund the charge.

        None where nothing waits for the gateway; then there is no outage to know of.
        """
        row = await self._pool.fetchrow(queries.to_probe)
        if row is None:
            await self._pool.execute(queries.nothing_to_probe)
            return None
        return row["attempt_id"], row["status"] == "unknown", row["charge"]

    async def answers(self) -> None:
        """A look-up or charge got through. After an outage, what waits for the gateway is due from now on.

        Unknown attempts after one of seconds are due soon by themselves, and a gateway that answers every
        other time is not to be asked about all of them again and again.
        """
        async with transaction(self._pool) as connection:
            now = utcnow()
            since = await connection.fetchval(queries.gateway_answers, now)
            if since is not None:
                if now - since >= ASK_AFTER[0]:
                    await connection.execute(queries.ask_about_all, now)
                await connection.execute(queries.make_all_again, now)
                await connection.execute(queries.give_all_back_again, now)
        self._heard = False
        if since is not None:
            log.warning("gateway.returned", away_s=round((now - since).total_seconds(), 1))
