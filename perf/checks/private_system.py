"""Whether what was asked of a private system is there, in every service, once.

A request that was answered with 201 has to be. One that was answered otherwise (202, 503), or not at all, may
have been carried out, once, or not.
"""

import asyncio
import time
from dataclasses import dataclass

import aiormq
import asyncpg

from deployment.local.stack import Stack
from perf.checks.conservation import Comparison
from perf.checks.ledger_totals import LedgerTotals
from perf.probes.sampling import depths

REST_WITHIN_S = 60.0
QUIET_LOOKS = 3
_LOOK_EVERY_S = 0.05
_HELD = """
SELECT (SELECT count(*) FROM lease.leases) AS committed,
       (SELECT count(*) FROM payment.accounts) AS collected,
       (SELECT count(*) FROM lease.outbox) + (SELECT count(*) FROM payment.outbox) AS told
"""
_UNPUBLISHED = """
SELECT (SELECT count(*) FROM lease.outbox_pending) + (SELECT count(*) FROM payment.outbox_pending)
"""


@dataclass(frozen=True)
class Held:
    """What a system holds once it has come to rest."""

    committed: int  # leases of the lease service
    collected: int  # leases that the payment service knows
    in_ledger: int  # leases of the ledger
    told: int  # events of both outboxes
    entries: int  # of the ledger

    def differences(self) -> list[str]:
        """Where the services disagree, in words; the ledger's entries have to be the events, each once."""
        found = []
        if not self.committed == self.collected == self.in_ledger:
            found.append(
                f"{self.committed:,} leases are committed, payments know {self.collected:,},"
                f" the ledger has {self.in_ledger:,}."
            )
        if self.told != self.entries:
            found.append(f"{self.told:,} events were told, the ledger has {self.entries:,} entries.")
        return found


def unaccounted(before: Held, now: Held, answered: int, uncertain: int) -> list[str]:
    """Why leases are not conserved, in words; empty where they are.

    `answered` with 201 since `before`; of as many as `uncertain` nobody knows.
    """
    committed = now.committed - before.committed
    found = now.differences()
    if not Comparison(what="leases", done=answered, uncertain=uncertain, recorded=committed).holds:
        found.append(
            f"{answered:,} creations were answered with 201, of {uncertain:,} the end is unknown,"
            f" and {committed:,} were committed."
        )
    return found


class SystemTotals:
    """Use as a context; looks with connections of its own."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.ledger = LedgerTotals(stack.addresses.http("ledger"))

    async def __aenter__(self) -> "SystemTotals":
        self._database = await asyncpg.connect(self._stack.addresses.database)
        self._broker = await aiormq.connect(self._stack.addresses.amqp)
        self._channel = await self._broker.channel()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._broker.close()
        await self._database.close()

    async def held(self) -> Held:
        """What is there now; counted, so it takes its time in a large system."""
        totals, row = await asyncio.to_thread(self.ledger.read), await self._database.fetchrow(_HELD)
        return Held(**row, in_ledger=totals.leases_total, entries=totals.events_total)

    async def at_rest(self, within_s: float = REST_WITHIN_S) -> Held:
        """What is there once nothing waits in any queue or outbox and all services agree.

        After `within_s` what is there then, whether they agree or not.
        """
        deadline = time.monotonic() + within_s
        quiet = 0  # looks in a row: what a worker has in hand is in no queue
        while time.monotonic() < deadline:
            unpublished: int = await self._database.fetchval(_UNPUBLISHED)
            waiting = unpublished + sum((await depths(self._channel)).values())
            quiet = 0 if waiting else quiet + 1
            if quiet >= QUIET_LOOKS and not (held := await self.held()).differences():
                return held
            await asyncio.sleep(_LOOK_EVERY_S)
        return await self.held()
