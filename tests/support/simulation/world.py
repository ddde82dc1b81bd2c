"""The three services without their broker: the test carries every message, as it likes.

Real are the database and all that decides about money; the workers are mortal, the gateway says what the
test wants. Messages are delivered in any order, to any worker, and again; the events of an outbox keep their
order.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import asyncpg
import msgspec

from common.errors import Retry, SequenceGap
from common.kernel.clock import utcnow
from common.kernel.ids import uuid7
from common.messaging import outbox
from common.messaging.envelope import Command, Outcome, encode
from common.postgres.pool import Pool
from ledger_svc.contracts import envelope as ledger_events
from ledger_svc.log.appender import Appender
from ledger_svc.log.message_decoder import Read
from ledger_svc.transparency import signed_note
from payment_svc.application.gateway import Declined
from payment_svc.contracts.commands import NoteSettlement, RecordChargeback
from tests.support.fakes.scripted_gateway import Gateway, Record
from tests.support.simulation.workers import Message, Worker, delivery

KEY = signed_note.generate("example.org/ledger-of-the-tests")
STEP_S = 20.0  # nothing takes longer, but for a worker that has hung


@dataclass
class Told:
    """What was published of one service's outbox, in order; the other service and the ledger read it."""

    bodies: list[bytes] = field(default_factory=list)
    acked: set[int] = field(default_factory=set)  # by the other service


class World:
    """Everything at once."""

    def __init__(self, owner: asyncpg.Connection, pools: dict[str, Pool]) -> None:
        self.owner = owner
        self.pools = pools
        self.gateway = Gateway()
        self.replies: dict[str, list[Outcome]] = {}
        self.messages: list[Message] = []
        self.told = {"lease": Told(), "payment": Told()}
        self.stream: list[bytes] = []  # both outboxes, as published
        self.in_ledger = 0  # so many of the stream are in the ledger
        self.leases: list[str] = []
        self.workers: list[Worker] = []

    async def start(self) -> None:
        """Two payment workers share the work, one lease worker has its own."""
        self.workers = [Worker(self, service) for service in ("payment", "payment", "lease")]
        await self.idle()

    async def stop(self) -> None:
        """End all workers."""
        for worker in self.workers:
            await worker.end()

    def worker(self, service: str, index: int = 0) -> Worker:
        """One of a service's workers."""
        theirs = [worker for worker in self.workers if worker.service == service]
        return theirs[index % len(theirs)]

    async def restart(self, worker: Worker) -> None:
        """Kill a worker and start another in its place."""
        await worker.end()
        self.workers[self.workers.index(worker)] = Worker(self, worker.service)

    async def idle(self) -> None:
        """Return when all workers wait for what only the test can bring; the dead are replaced."""
        quiet = 0
        async with asyncio.timeout(STEP_S):
            while quiet < 10:
                for worker in self.workers:
                    if worker.life.dead:
                        await self.restart(worker)
                        quiet = 0
                if any(worker.life.busy for worker in self.workers):
                    quiet = 0
                    await asyncio.sleep(0.0005)
                else:
                    quiet += 1
                    await asyncio.sleep(0)

    async def run(self, worker: Worker, work: Coroutine[Any, Any, Any]) -> bool:
        """Let a worker do this; False where it died of it. Raises what the work raises."""
        task = worker.life.spawn(work)
        async with asyncio.timeout(STEP_S):
            await asyncio.wait({task, worker.life.death}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done() or task.cancelled():
            return False
        task.result()
        return True

    async def at_once(self, *works: Coroutine[Any, Any, Any]) -> None:
        """Let these be done at the same time; who dies of it is replaced, and holds up nobody."""
        doing = asyncio.gather(*works)
        while not doing.done():
            await self.idle()
        await doing

    # commands

    def send(self, service: str, type_: str, data: object) -> Message:
        """A front publishes a command."""
        command = Command(
            command_id=uuid7(), type=type_, submitted_at=utcnow(), data=msgspec.Raw(encode(data))
        )
        message = Message(service, command)
        self.messages.append(message)
        return message

    async def deliver(self, worker: Worker, messages: Sequence[Message]) -> None:
        """Deliver a batch to a worker, whether or not another has it already, or has had it."""
        batch = worker.batch(messages)
        try:
            alive = await self.run(worker, worker.commands(batch))
        except Retry:
            return  # stays where it is
        if alive:
            for message, delivered in zip(messages, batch, strict=True):
                message.acked = message.acked or not delivered.later

    def waiting(self, service: str) -> list[Message]:
        """Messages of a service's queue that nobody has acked."""
        return [each for each in self.messages if each.service == service and not each.acked]

    def tell_of_chargebacks(self) -> None:
        """The gateway tells of what was not recorded yet."""
        for notice in self.gateway.notices:
            if not notice.heard:
                said = cast(Any, notice.charge.said)
                asked = RecordChargeback(
                    notice_id=notice.notice_id,
                    attempt_id=notice.charge.request.attempt_id if notice.by != 1 else None,
                    gateway_reference=said.reference if notice.by != 0 else None,
                    amount=notice.amount,
                    currency=notice.charge.request.currency if notice.by == 2 else None,
                    reason="fraudulent",
                )
                self.send("payment", "RecordChargeback", asked)

    def tell_of_end(self, charge: Record, *, wrong: bool) -> Message:
        """The gateway tells how a charge ended; `wrong`: and of another amount than it was asked for."""
        said = charge.said
        asked = NoteSettlement(
            attempt_id=charge.request.attempt_id,
            amount=charge.request.amount + wrong,
            currency=charge.request.currency,
            status="declined" if isinstance(said, Declined) else "succeeded",
            reference=said.reference,
            code=said.code if isinstance(said, Declined) else None,
        )
        return self.send("payment", "NoteSettlement", asked)

    # events

    async def publish(self, service: str, count: int, *, marked: bool = True) -> int:
        """A relay publishes the next events of an outbox; `marked=False`: and dies before it notes that."""
        pool = self.pools[service]
        rows = await pool.fetch(outbox.queries.pending_events, count)
        for row in rows:
            self.told[service].bodies.append(row["body"])
            self.stream.append(row["body"])
        if marked:
            await pool.execute(outbox.queries.published_events, [row["id"] for row in rows])
        return len(rows)

    async def project(self, worker: Worker, count: int, *, skip: int = 0, again: int = 0) -> None:
        """Deliver the next events to a worker: some of the last ones `again`, or ahead of those skipped."""
        told = self.told["lease" if worker.service == "payment" else "payment"]
        fresh = [index for index in range(len(told.bodies)) if index not in told.acked]
        old = sorted(told.acked)[-again:] if again else []
        indices = sorted({*old, *fresh[skip : skip + count]})
        for part in [indices, *([index] for index in indices)]:
            try:
                alive = await self.run(worker, worker.events([delivery(told.bodies[each]) for each in part]))
            except (SequenceGap, Retry):  # as the consumer: one by one, and what fails another time
                continue
            if not alive:
                return
            told.acked.update(part)
            if part is indices:
                return

    async def write_ledger(self, count: int, again: int = 0) -> None:
        """A writer of the ledger starts, reads on in the stream and ends; some events it has read before."""
        start = max(0, self.in_ledger - again)
        read = [
            Read(offset, ledger_events.decode(body), body)
            for offset, body in enumerate(self.stream[start : self.in_ledger + count], start)
        ]
        appender = Appender(KEY)
        async with self.pools["ledger"].acquire() as connection:
            await appender.open(connection)
            await appender.append(connection, read, [])
        self.in_ledger = max(self.in_ledger, start + len(read))

    async def flow(self) -> bool:
        """Let all events get everywhere; whether there were any."""
        moved = False
        while True:
            published = [await self.publish(service, 1000) for service in self.told]
            behind = [len(each.bodies) - len(each.acked) for each in self.told.values()]
            if not any(published) and not any(behind):
                break
            moved = True
            for service in self.told:
                await self.project(self.worker(service), 1000)
            await self.idle()
        if self.in_ledger < len(self.stream):
            await self.write_ledger(len(self.stream))
        return moved

    # time

    async def hours_pass(self, hours: int) -> None:
        """Time, for those who only see that what they have written has become old."""
        self.gateway.arrive()
        while self.gateway.parked:  # no call takes that long: they end without an answer, or have arrived
            self.gateway.answer(0, "nothing")
            await self.idle()
        self.gateway.clock += hours
        for table, columns in (
            ("attempts", ("created_at", "next_check_at", "taken_up_at")),
            ("quotes", ("expires_at",)),
            ("returns", ("next_try_at",)),
            ("gateway_health", ("away_since", "next_probe_at", "returned_at")),
        ):
            older = ", ".join(f"{each} = {each} - make_interval(hours => $1)" for each in columns)
            await self.owner.execute(f"UPDATE payment.{table} SET {older}", hours)
