"""A light and steady load of leases and payments that goes on while something is broken."""

import asyncio
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager

from tests.support.builders.lease_terms import terms
from tests.support.oracles.invariants import check_attempts, check_creations
from tests.support.system.client import Client, Fate, fresh_key
from tests.support.system.system import System
from tests.support.waiting import eventually

LANES = 8
PACE_S = 0.1  # between two leases of a lane: about a hundred leases and payments a second


class Load:
    """Makes leases and pays their first instalment, each once, with an Idempotency-Key."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stopping = asyncio.Event()

    async def flows(self, within_s: float = 60.0) -> None:
        """Return when ten more payments have been answered in the ordinary way, and so ten leases before."""
        mark = self._paid + 10

        async def more() -> bool:
            return self._paid >= mark

        await eventually(more, "commands are carried out", within_s)

    @property
    def _paid(self) -> int:
        return sum(command.statuses == [201] for command in self._client.payments.sent)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """The load runs beside the block, at ease when it begins."""
        async with asyncio.TaskGroup() as group:
            for number in range(LANES):
                group.create_task(self._lane(asynchronous=number % 3 == 0))
            try:
                await self.flows()
                yield self
            finally:
                self._stopping.set()

    async def _lane(self, *, asynchronous: bool) -> None:
        prefer = {"Prefer": "respond-async"} if asynchronous else {}
        while not self._stopping.is_set():
            made = await self._client.leases.send("/api/v1/leases", terms(), fresh_key(), **prefer)
            if made.answer is not None and made.answer.status == 201:
                url = f"/api/v1/payments/{made.answer.json['schedule'][0]['payment_id']}/attempt"
                await self._client.payments.send(url, {"payment_method": "pm_card_ok"}, fresh_key())
            await asyncio.sleep(PACE_S)

    async def settle(self, system: System, also: Set[int] = frozenset()) -> None:
        """Check each command's effect as it stands; then send unknown ones again until all are known.

        Answers may be 201, 202, 503 and those in `also`; or none, where the connection broke.
        """
        fronts = (self._client.leases, self._client.payments)
        await self._check(system)
        for front in fronts:
            for command in front.sent:
                await front.until_known(command)
                assert set(command.statuses) <= {201, 202, 503, 0} | also, command
                assert command.fate is Fate.OK or command.statuses[-1] in also, command
        await self._check(system)

    async def _check(self, system: System) -> None:
        await check_creations(system, self._client.leases.sent)
        await check_attempts(system, self._client.payments.sent)
