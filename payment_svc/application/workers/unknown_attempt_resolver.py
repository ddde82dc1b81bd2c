"""The resolver: asks the gateway what became of attempts that it left without an answer.

Each attempt at its times while the gateway answers look-ups; while it does not, about one at a time, to learn
when it is back (see `gateway_health`).
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog
from prometheus_client import Gauge

from common.kernel.clock import utcnow
from common.postgres.pool import Pool
from common.runtime.tasks import cancel_and_wait
from payment_svc.adapters.postgres import account_repository
from payment_svc.application.gateway import Found, Gateway
from payment_svc.application.workers.gateway_health import GatewayHealth, answered
from payment_svc.application.workers.settlement_recorder import Answer

log = structlog.get_logger()

ASKING = timedelta(seconds=30)  # for so long nobody else asks; longer than most look-ups take
RESOLVE_AT_ONCE = 50  # look-ups of one worker in flight
LONG = timedelta(hours=1)
COUNT_EVERY_S = 60.0

LONG_UNKNOWN = Gauge("attempts_unknown_for_an_hour", "Attempts that are unknown and older than an hour")


class Resolver:
    """One worker's part in asking."""

    def __init__(
        self,
        pool: Pool,
        gateway: Gateway,
        answered: Callable[[Answer], None],
        health: GatewayHealth,
        every_s: float,
    ) -> None:
        """`answered`: takes what the gateway says; `every_s`: seconds between two rounds."""
        self._pool = pool
        self._gateway = gateway
        self._answered = answered
        self._health = health
        self._every_s = every_s
        self._asking: set[asyncio.Task[None]] = set()
        self._probe: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Ask about those whose time has come, until cancelled; at first about all."""
        loop = asyncio.get_running_loop()
        restarted = True
        count_at = loop.time()
        try:
            while True:
                try:
                    if restarted:
                        await self._pool.execute(account_repository.queries.recheck_unknown_now)
                        await self._health.refresh()
                        if self._health.away:  # until a moment ago; whoever starts finds out for itself
                            await self._probing()
                        restarted = False
                    await self._health.refresh()
                    await self._find_out()
                    await self._ask_about_due()
                    if loop.time() >= count_at:
                        before = utcnow() - LONG
                        LONG_UNKNOWN.set(
                            await self._pool.fetchval(account_repository.queries.count_unknown, before)
                        )
                        count_at = loop.time() + COUNT_EVERY_S
                except Exception as error:
                    log.warning("resolver.waits", error=repr(error))
                await asyncio.sleep(self._every_s)
        finally:
            await cancel_and_wait([*self._asking, *([self._probe] if self._probe else [])])

    async def _find_out(self) -> None:
        """Probe the gateway where it is this worker's turn; it may be slow to fail, so beside all else."""
        if (self._probe is None or self._probe.done()) and await self._health.claim_probe():
            self._probe = asyncio.create_task(self._probing())

    async def _ask_about_due(self) -> None:
        """As many as there are places for, until none is due; those asked about make room for others."""
        while not self._health.away:
            places = RESOLVE_AT_ONCE - len(self._asking)
            now = utcnow()
            claimed = await self._pool.fetch(
                account_repository.queries.claim_unknown, now, now + ASKING, places
            )
            for row in claimed:
                task = asyncio.create_task(self._ask(row["attempt_id"], row["charge"]))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
            if len(claimed) < places:
                return
            _, asking = await asyncio.wait(
                self._asking, timeout=self._every_s, return_when=asyncio.FIRST_COMPLETED
            )
            if len(asking) == RESOLVE_AT_ONCE:  # all of them are slow: look around
                return

    async def _probing(self) -> None:
        try:
            candidate = await self._health.to_probe()
            if candidate is None:
                return
            attempt_id, unknown, charge = candidate
            asked_at = utcnow()
            found = await self._look_up(attempt_id, charge)
            if not answered(found):
                await self._health.not_answered(asked_at)
                return
            await self._health.answers()
            if unknown:  # afterwards, so that its next time is reckoned from the gateway's return
                self._answered(Answer(attempt_id=attempt_id, result=found, called_at=asked_at))
        except Exception as error:
            log.warning("resolver.waits", error=repr(error))

    async def _ask(self, attempt_id: str, charge: str | None) -> None:
        asked_at = utcnow()
        found = await self._look_up(attempt_id, charge)
        self._health.heard(found, asked_at)
        self._answered(Answer(attempt_id=attempt_id, result=found, called_at=asked_at))
        if not answered(found):
            try:
                await self._health.not_answered(asked_at)
            except Exception as error:
                log.warning("resolver.waits", error=repr(error))

    async def _look_up(self, attempt_id: str, charge: str | None) -> Found:
        """`charge`: of a refund, the gateway's reference of what it gives back from."""
        if charge is None:
            return await self._gateway.find(attempt_id)
        return await self._gateway.find_refund(attempt_id, charge)
