"""The second step of an attempt: call the gateway outside any transaction; `settlement_recorder` writes its
answer.

Of several workers that make the same attempt, under one key, the first to record its answer counts.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from common.kernel.clock import utcnow
from common.messaging.command_processor import Pending
from common.messaging.consumer import Delivery
from common.messaging.reply_queue import ReplySender
from common.observability import trace_stamps
from common.postgres.pool import Pool, transaction
from common.runtime.pacing import Pacer
from common.runtime.tasks import run_until_first_failure
from payment_svc.adapters.postgres import account_repository
from payment_svc.application.gateway import Charged, ChargeRequest, ChargeResult, Gateway, NoAnswer
from payment_svc.application.workers.automatic_refund_worker import refund_request
from payment_svc.application.workers.gateway_health import GatewayHealth
from payment_svc.application.workers.settlement_recorder import Answer, Recorder
from payment_svc.application.workers.unknown_attempt_resolver import Resolver
from payment_svc.domain.attempt import ASK_AFTER, Attempt, may_repeat

RUN_PACE_S = 0.04  # between transactions that record answers, while a collection run is at work
RUN_CHARGES = 200  # of collection runs, in flight at a time: beside those that commands ask for
RETRY_PAUSE_S = 0.5
RESOLVE_EVERY_S = 0.5


class Settler:
    """Carries attempts from `started` or `unknown` to what they become."""

    def __init__(
        self,
        pool: Pool,
        gateway: Gateway,
        replies: ReplySender,
        committed: Callable[[], None],
        ask_after: Sequence[timedelta] = ASK_AFTER,
        returned: Callable[[], None] = lambda: None,
    ) -> None:
        """`returned`: called when the gateway answers again after an outage, whoever has noticed it."""
        self._pool = pool
        self._gateway = gateway
        self._charging: dict[str, list[Delivery]] = {}  # by attempt, until its answer is recorded
        self._of_runs: set[str] = set()  # those of them that have one of these places
        self._run_places = asyncio.Semaphore(RUN_CHARGES)
        self._pacer = Pacer(RUN_PACE_S)
        self._tasks: set[asyncio.Task[None]] = set()
        self._health = GatewayHealth(pool, returned)
        self._recorder = Recorder(
            pool,
            replies,
            committed,
            gather=self._gather,
            ended=self._ended,
            ask_after=ask_after,
            health=self._health,
            retry_pause_s=RETRY_PAUSE_S,
        )
        self._resolver = Resolver(pool, gateway, self._recorder.put, self._health, RESOLVE_EVERY_S)

    async def resume(self, pending: Sequence[Pending]) -> None:
        """Charge for commands that are pending; those delivered again may have been charged before."""
        async with transaction(self._pool) as connection:  # for its Retry: all that goes before is committed
            again = [each.command.command_id for each in pending if not each.fresh]
            if again:
                await account_repository.take_up(connection, command_ids=again)
            attempts = await account_repository.attempts(
                connection, command_ids=[each.command.command_id for each in pending]
            )
            charges = await account_repository.charge_references(
                connection, [attempt.refunds for attempt in attempts if attempt.refunds]
            )
        by_command = {attempt.command_id: attempt for attempt in attempts}
        for each in pending:
            attempt = by_command[each.command.command_id]
            under_way = self._charging.get(attempt.attempt_id)
            if under_way is not None:  # the same message a second time
                under_way.append(each.delivery)
                continue
            if attempt.status != "started":  # another worker has just recorded what it heard, and answered
                await each.delivery.ack()
                continue
            self._charging[attempt.attempt_id] = [each.delivery]
            self._begin(attempt, charges.get(attempt.refunds or ""))

    async def charge(self, attempts: Sequence[Attempt], *, stopping: Callable[[], bool]) -> None:
        """Carry out attempts that no message asks for; returns once all of them have found a place.

        Those that have no place when it is `stopping` are left as they are, for another worker.
        """
        charges = await account_repository.charge_references(
            self._pool, [attempt.refunds for attempt in attempts if attempt.refunds]
        )
        fresh = [attempt for attempt in attempts if not self.charging(attempt.attempt_id)]
        without_place = {attempt.attempt_id for attempt in fresh}
        self._charging.update((attempt_id, []) for attempt_id in without_place)
        try:
            for attempt in fresh:
                await self._run_places.acquire()
                if stopping():
                    self._run_places.release()
                    return
                without_place.remove(attempt.attempt_id)
                self._of_runs.add(attempt.attempt_id)
                self._begin(attempt, charges.get(attempt.refunds or ""))
        finally:
            for attempt_id in without_place:
                del self._charging[attempt_id]

    def charging(self, attempt_id: str) -> bool:
        """Whether this worker is about to charge for an attempt, or to record the answer."""
        return attempt_id in self._charging

    async def drained(self) -> None:
        """Return when nothing is being charged or recorded."""
        while self._charging:  # noqa: ASYNC110 asked once, when the process ends
            await asyncio.sleep(0.05)

    async def run(self) -> None:
        """Record answers and resolve unknown attempts, until cancelled."""
        await run_until_first_failure(self._recorder.run(), self._resolver.run())

    def give_back(self, attempt: Attempt, charge: str) -> None:
        """Carry out a refund that no message asks for.

        `charge`: the gateway's reference of what it gives back from.
        """
        if not self.charging(attempt.attempt_id):
            self._charging[attempt.attempt_id] = []
            self._begin(attempt, charge)

    def _begin(self, attempt: Attempt, charge: str | None) -> None:
        task = asyncio.create_task(self._carry_out(attempt, charge))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _ended(self, attempt_id: str) -> list[Delivery]:
        """Nothing more is to be done about an attempt here: the messages that asked for it."""
        if attempt_id in self._of_runs:
            self._of_runs.discard(attempt_id)
            self._run_places.release()
        return self._charging.pop(attempt_id, [])

    async def _gather(self) -> None:
        if self._of_runs:  # nobody waits for these with a request in hand
            await self._pacer.wait()

    async def _carry_out(self, attempt: Attempt, charge: str | None) -> None:
        """Charge; or, for a refund, give back from the charge with that reference."""
        result: ChargeResult
        called_at = utcnow()
        trace_stamps.stamp(attempt.traceparent, "gateway.asked")
        if attempt.amount == 0:  # a payoff that interest paid ahead has covered
            result = Charged(reference="")
        elif not may_repeat(attempt, called_at):
            result = NoAnswer(reason="interrupted, and too long ago to be repeated")
        else:
            result = await self._call(attempt, charge)
            self._health.heard(result, called_at)
        trace_stamps.stamp(attempt.traceparent, "gateway.answered")
        self._recorder.put(Answer(attempt_id=attempt.attempt_id, result=result, called_at=called_at))

    async def _call(self, attempt: Attempt, charge: str | None) -> ChargeResult:
        if attempt.refunds is not None:
            assert charge is not None  # what has collected money has the gateway's reference of it
            return await self._gateway.refund(refund_request(attempt, charge))
        return await self._gateway.charge(
            ChargeRequest(
                idempotency_key=attempt.attempt_id,
                amount=attempt.amount,
                currency=attempt.currency,
                payment_method=attempt.payment_method,
                lease_id=attempt.lease_id,
                payment_id=attempt.payment_id,
                attempt_id=attempt.attempt_id,
            )
        )
