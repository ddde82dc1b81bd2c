"""The second step of an attempt: call the gateway outside any transaction, then record its answer.

Answers are recorded in micro-batches: whatever has come in while the last one was being written.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from common import inbox, outbox
from common.bus.consumer import Delivery
from common.bus.replies import ReplySender
from common.clock import utcnow
from common.db import Pool, transaction
from common.envelope import Outcome
from common.errors import Retry
from common.pacing import Pacer
from common.tasks import together
from common.worker import Pending
from payment_svc import store
from payment_svc.attempt import ASK_AFTER, Attempt, may_repeat
from payment_svc.gateways.port import (
    Charged,
    ChargeRequest,
    ChargeResult,
    Gateway,
    NoAnswer,
    NotReached,
)
from payment_svc.handlers import load, save
from payment_svc.returns import refund_request
from payment_svc.settlement import keep_asking, settle

log = structlog.get_logger()

MAX_BATCH = 200
RUN_PACE_S = 0.04  # between transactions that record answers, while a collection run is at work
RUN_CHARGES = 200  # of collection runs, in flight at a time: beside those that commands ask for
RETRY_PAUSE_S = 0.5
RESOLVE_EVERY_S = 0.5
ASKING = timedelta(seconds=30)  # for so long nobody else asks; longer than most look-ups take
RESOLVE_AT_ONCE = 50  # look-ups of one worker at a time


@dataclass
class _Answer:
    attempt_id: str
    result: ChargeResult | None  # None: the gateway was asked about it and has no such charge or refund


class Settler:
    """Carries attempts from `started` or `unknown` to what they become."""

    def __init__(
        self,
        pool: Pool,
        gateway: Gateway,
        replies: ReplySender,
        committed: Callable[[], None],
        ask_after: Sequence[timedelta] = ASK_AFTER,
    ) -> None:
        self._ask_after = ask_after
        self._pool = pool
        self._gateway = gateway
        self._replies = replies
        self._committed = committed
        self._answers: asyncio.Queue[_Answer] = asyncio.Queue()
        self._charging: dict[str, list[Delivery]] = {}  # by attempt, until its answer is recorded
        self._of_runs: set[str] = set()  # those of them that have one of these places
        self._run_places = asyncio.Semaphore(RUN_CHARGES)
        self._pacer = Pacer(RUN_PACE_S)
        self._tasks: set[asyncio.Task[None]] = set()

    async def resume(self, pending: Sequence[Pending]) -> None:
        """Charge for commands that are pending; those delivered again may have been charged before."""
        async with transaction(self._pool) as connection:  # for its Retry: all that goes before is committed
            again = [each.command.command_id for each in pending if not each.fresh]
            if again:
                await store.take_up(connection, command_ids=again)
            attempts = await store.attempts(
                connection, command_ids=[each.command.command_id for each in pending]
            )
            charges = await store.charge_references(
                connection, [attempt.refunds for attempt in attempts if attempt.refunds]
            )
        by_command = {attempt.command_id: attempt for attempt in attempts}
        for each in pending:
            attempt = by_command[each.command.command_id]
            under_way = self._charging.get(attempt.attempt_id)
            if under_way is not None:  # the same message a second time
                under_way.append(each.delivery)
                continue
            if not attempt.in_flight:  # another worker has just recorded its end, and answered
                await each.delivery.ack()
                continue
            self._charging[attempt.attempt_id] = [each.delivery]
            self._begin(attempt, charges.get(attempt.refunds or ""), again=not each.fresh)

    async def charge(self, attempts: Sequence[Attempt], *, again: bool, stopping: Callable[[], bool]) -> None:
        """Carry out attempts that no message asks for; returns once all of them have found a place.

        `again`: they may have been charged before. Those that have no place when it is `stopping` are left
        as they are, for another worker.
        """
        charges = await store.charge_references(
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
                self._begin(attempt, charges.get(attempt.refunds or ""), again=again)
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
        await together(self._record(), self._resolve())

    def _begin(self, attempt: Attempt, charge: str | None, *, again: bool) -> None:
        task = asyncio.create_task(self._carry_out(attempt, charge, again=again))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _ended(self, attempt_id: str) -> list[Delivery]:
        """Nothing more is to be done about an attempt here: the messages that asked for it."""
        if attempt_id in self._of_runs:
            self._of_runs.discard(attempt_id)
            self._run_places.release()
        return self._charging.pop(attempt_id, [])

    def give_back(self, attempt: Attempt, charge: str) -> None:
        """Carry out a refund that no command has asked for; it is left `started` where nothing was reached.

        `charge`: the gateway's reference of what it gives back from.
        """
        if attempt.attempt_id not in self._charging:
            self._charging[attempt.attempt_id] = []
            task = asyncio.create_task(self._give_back(attempt, charge))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _give_back(self, attempt: Attempt, charge: str) -> None:
        result: ChargeResult
        if may_repeat(attempt, utcnow()):
            result = await self._gateway.refund(refund_request(attempt, charge))
        else:
            result = NoAnswer(reason="not carried out in time, and too long ago to be repeated")
        if isinstance(result, NotReached):
            log.warning("return.waits", attempt_id=attempt.attempt_id, reason=result.reason)
            self._ended(attempt.attempt_id)
            return
        self._answers.put_nowait(_Answer(attempt.attempt_id, result))

    async def _carry_out(self, attempt: Attempt, charge: str | None, *, again: bool) -> None:
        """Charge; or, for a refund, give back from the charge with that reference."""
        result: ChargeResult
        if attempt.amount == 0:  # a payoff that interest paid ahead has covered
            result = Charged(reference="")
        elif again and not may_repeat(attempt, utcnow()):
            result = NoAnswer(reason="interrupted, and too long ago to be repeated")
        elif attempt.refunds is not None:
            assert charge is not None  # what has collected money has the gateway's reference of it
            result = await self._gateway.refund(refund_request(attempt, charge))
        else:
            result = await self._gateway.charge(
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
        if again and isinstance(result, NotReached):
            # not reached this time; but the worker that was killed may have got through
            result = NoAnswer(reason=f"interrupted, then {result.reason}"[:200])
        self._answers.put_nowait(_Answer(attempt.attempt_id, result))

    async def _record(self) -> None:
        while True:
            answers = [await self._answers.get()]
            if self._of_runs:  # nobody waits for these with a request in hand: let them gather
                await self._pacer.wait()
            while len(answers) < MAX_BATCH and not self._answers.empty():
                answers.append(self._answers.get_nowait())
            await self._record_with_patience(answers)

    async def _record_with_patience(self, answers: list[_Answer]) -> None:
        while True:
            try:
                outcomes = await self._record_batch(answers)
                break
            except Retry as error:
                log.warning("settler.waits", size=len(answers), error=repr(error.__cause__))
                await asyncio.sleep(RETRY_PAUSE_S)
            except Exception:
                log.exception("settler.failed", size=len(answers))
                if len(answers) > 1:  # one by one, so that one hurts no other
                    for answer in answers:
                        await self._record_with_patience([answer])
                    return
                # left in flight: its message is delivered again, or it is taken up or asked about once more
                self._ended(answers[0].attempt_id)
                return
        self._committed()
        deliveries = [self._ended(answer.attempt_id) for answer in answers]
        await self._replies.send(
            (theirs[0].reply_to, outcome)
            for theirs, outcome in zip(deliveries, outcomes, strict=True)
            if theirs and outcome is not None
        )
        for theirs in deliveries:
            for delivery in theirs:
                await delivery.ack()

    async def _record_batch(self, answers: list[_Answer]) -> list[Outcome | None]:
        ids = [answer.attempt_id for answer in answers]
        async with transaction(self._pool) as connection:
            found = await store.attempts(connection, ids=ids)
            refunded = [each.refunds for each in found if each.refunds]
            batch = await load(
                connection,
                {each.lease_id for each in found},
                payment_ids=[each.payment_id for each in found if each.payment_id],
                payoff_leases=[each.lease_id for each in found if each.payment_id is None],
                originals=await store.attempts(connection, ids=refunded) if refunded else [],
            )
            # read again: another worker may have settled one before the account was locked
            attempts = {each.attempt_id: each for each in await store.attempts(connection, ids=ids)}
            batch.ask_after = self._ask_after
            outcomes: list[Outcome | None] = []
            for answer in answers:
                attempt = attempts[answer.attempt_id]
                if not attempt.in_flight:  # recorded before, by another worker
                    outcomes.append(None)
                elif attempt.status == "unknown" and (
                    answer.result is None or isinstance(answer.result, NoAnswer | NotReached)
                ):
                    keep_asking(batch, attempt)
                    outcomes.append(None)
                else:
                    assert answer.result is not None
                    result = answer.result
                    if isinstance(result, NotReached) and attempt.checks:
                        # certain of this call only: another worker has taken it up, and may get through
                        result = NoAnswer(reason=f"taken up twice, and then {result.reason}"[:200])
                    outcomes.append(settle(batch, attempt, result))
            await save(connection, batch)
            await outbox.append(connection, batch.events)
            await inbox.complete(connection, [outcome for outcome in outcomes if outcome is not None])
        return outcomes

    async def _resolve(self) -> None:
        first = True
        while True:
            try:
                if first:
                    await self._pool.execute(store.queries.recheck_unknown_now)
                    first = False
                now = utcnow()
                claimed = await self._pool.fetch(
                    store.queries.claim_unknown, now, now + ASKING, RESOLVE_AT_ONCE
                )
                await asyncio.gather(*(self._ask(row["attempt_id"], row["charge"]) for row in claimed))
            except Exception as error:
                log.warning("resolver.waits", error=repr(error))
            await asyncio.sleep(RESOLVE_EVERY_S)

    async def _ask(self, attempt_id: str, charge: str | None) -> None:
        """`charge`: of a refund, the gateway's reference of what it gives back from."""
        if charge is None:
            found = await self._gateway.find(attempt_id)
        else:
            found = await self._gateway.find_refund(attempt_id, charge)
        self._answers.put_nowait(_Answer(attempt_id, found))
