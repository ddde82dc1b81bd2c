"""Worker processes of the lease service and the payment service, put together as their `app.py` does.

Their broker is the test: it brings each message, and sees which of them are acked. Their relay is the test
too, so nobody waits for commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from common.messaging.command_processor import CommandProcessor
from common.messaging.consumer import Delivery
from common.messaging.envelope import Command, encode
from common.messaging.event_processor import EventProcessor
from common.messaging.outbox_reconciliation import Unit
from common.postgres.pool import Pool
from common.runtime.tasks import cancel_and_wait
from lease_svc.adapters.postgres.lease_repository import PostgresLeaseRepository
from lease_svc.application.command_handlers import LeaseUnit
from payment_svc.application.command_handlers import PaymentUnit
from payment_svc.application.workers.automatic_refund_worker import Returns
from payment_svc.application.workers.charge_executor import Settler
from payment_svc.application.workers.collection_worker import Collector
from tests.support.fakes.crash_points import Life, Line, MortalPool, Replies

if TYPE_CHECKING:
    from tests.support.simulation.world import World


@dataclass(eq=False)
class Message:
    """A command in a service's queue."""

    service: str
    command: Command
    acked: bool = False


class _Channel:
    def __init__(self, message: Message, life: Life) -> None:
        self._message = message
        self._life = life

    async def basic_ack(self, _tag: int, *, wait: bool) -> None:
        assert not wait
        await self._life.at("ack")
        self._message.acked = True


class Worker:
    """One process."""

    def __init__(self, world: World, service: str) -> None:
        self.service = service
        self.life = Life()
        self._pool = cast(Pool, MortalPool(world.pools[service], self.life))
        self._replies = cast(Any, Replies(world.replies, self.life))
        unit: Unit = LeaseUnit(PostgresLeaseRepository()) if service == "lease" else PaymentUnit(sandbox=True)
        resume = None
        if service == "payment":
            self.settler = Settler(self._pool, Line(world.gateway, self.life), self._replies, _noop)
            self.collector = Collector(self._pool, self.settler, self._replies, _noop)
            self.returns = Returns(self._pool, self.settler.give_back)
            resume = self.collector.resume(self.settler.resume)
            for part in (
                self.settler.run(),
                self.collector._take_up_what_was_left(),
                self.returns.run(),
            ):
                self.life.spawn(part)
        self.commands = CommandProcessor(self._pool, unit, self._replies, _noop, resume)
        self.events = EventProcessor(self._pool, unit, _noop)

    def batch(self, messages: Sequence[Message]) -> list[Delivery]:
        """Messages as this worker gets them."""
        return [delivery(encode(each.command), _Channel(each, self.life)) for each in messages]

    async def end(self) -> None:
        """The process is gone, whatever it was at."""
        if not self.life.dead:
            self.life.death.set_result("killed")
        await cancel_and_wait(self.life.tasks)
        if self.service == "payment":
            await cancel_and_wait(self.settler._tasks)
            await self.collector._dry_runs.end()


def delivery(body: bytes, channel: object = None) -> Delivery:
    """A message as it is delivered."""
    return Delivery(
        body=body,
        tag=1,
        redelivered=False,
        deliveries=0,
        content_type=None,
        message_type=None,
        message_id=None,
        reply_to="front",
        channel=cast(Any, channel),
    )


def _noop() -> None:
    pass
