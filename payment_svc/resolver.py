"""The resolver: asks the gateway what became of attempts that it left without an answer."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog
from prometheus_client import Gauge

from common.clock import utcnow
from common.db import Pool
from payment_svc import store
from payment_svc.gateways.port import Gateway
from payment_svc.recording import Answer

log = structlog.get_logger()

ASKING = timedelta(seconds=30)  # for so long nobody else asks; longer than most look-ups take
RESOLVE_AT_ONCE = 50  # look-ups of one worker at a time
LONG = timedelta(hours=1)
COUNT_EVERY_S = 60.0

LONG_UNKNOWN = Gauge("attempts_unknown_for_an_hour", "Attempts that are unknown and older than an hour")


class Resolver:
    """One worker's part in asking."""

    def __init__(
        self, pool: Pool, gateway: Gateway, answered: Callable[[Answer], None], every_s: float
    ) -> None:
        """`answered`: takes what the gateway says; `every_s`: seconds between two rounds."""
        self._pool = pool
        self._gateway = gateway
        self._answered = answered
        self._every_s = every_s

    async def run(self) -> None:
        """Ask about those whose time has come, until cancelled; at first about all."""
        loop = asyncio.get_running_loop()
        restarted = True
        count_at = loop.time()
        while True:
            try:
                if restarted:
                    await self._pool.execute(store.queries.recheck_unknown_now)
                    restarted = False
                now = utcnow()
                claimed = await self._pool.fetch(
                    store.queries.claim_unknown, now, now + ASKING, RESOLVE_AT_ONCE
                )
                await asyncio.gather(*(self._ask(row["attempt_id"], row["charge"]) for row in claimed))
                if loop.time() >= count_at:
                    LONG_UNKNOWN.set(await self._pool.fetchval(store.queries.count_unknown, now - LONG))
                    count_at = loop.time() + COUNT_EVERY_S
            except Exception as error:
                log.warning("resolver.waits", error=repr(error))
            await asyncio.sleep(self._every_s)

    async def _ask(self, attempt_id: str, charge: str | None) -> None:
        """`charge`: of a refund, the gateway's reference of what it gives back from."""
        asked_at = utcnow()
        if charge is None:
            found = await self._gateway.find(attempt_id)
        else:
            found = await self._gateway.find_refund(attempt_id, charge)
        self._answered(Answer(attempt_id=attempt_id, result=found, called_at=asked_at))
