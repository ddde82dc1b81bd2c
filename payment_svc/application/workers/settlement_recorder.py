"""Recording what the gateway said: state, events and the command's outcome in one transaction.

Answers are recorded in micro-batches: whatever has come in while the last one was being written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from common.errors import Retry
from common.messaging import command_inbox, outbox
from common.messaging.consumer import Delivery
from common.messaging.envelope import Outcome
from common.messaging.reply_queue import ReplySender
from common.messaging.topology import GIVE_UP_AFTER
from common.observability import trace_stamps
from common.postgres.pool import Pool, transaction
from payment_svc.adapters.postgres import account_repository
from payment_svc.application.command_handlers import load, save
from payment_svc.application.gateway import ChargeResult, NoAnswer, NotReached
from payment_svc.application.gateway_notices import compare
from payment_svc.application.settlement import keep_asking, put_off, settle
from payment_svc.application.unit_of_work import Batch
from payment_svc.application.workers.gateway_health import GatewayHealth, answered
from payment_svc.domain.attempt import Attempt, may_repeat, never_made

log = structlog.get_logger()

MAX_BATCH = 200


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the gateway said of an attempt: when it was to carry it out, or when it was asked about it."""

    attempt_id: str
    result: ChargeResult | None  # None: it was asked, and has no such charge or refund
    called_at: datetime  # when the call began


class Recorder:
    """Takes answers one by one, and records them together."""

    def __init__(
        self,
        pool: Pool,
        replies: ReplySender,
        committed: Callable[[], None],
        *,
        gather: Callable[[], Awaitable[None]],
        ended: Callable[[str], list[Delivery]],
        ask_after: Sequence[timedelta],
        health: GatewayHealth,
        retry_pause_s: float,
    ) -> None:
        """`gather`: returns when a batch is to be recorded, of which the first answer has come.

        `ended`: called when nothing more is to be done about an attempt; gives the messages it came by.
        """
        self._pool = pool
        self._replies = replies
        self._committed = committed
        self._gather = gather
        self._ended = ended
        self._ask_after = ask_after
        self._health = health
        self._retry_pause_s = retry_pause_s
        self._answers: asyncio.Queue[Answer] = asyncio.Queue()

    def put(self, answer: Answer) -> None:
        """This is to be recorded."""
        self._answers.put_nowait(answer)

    async def run(self) -> None:
        """Record, until cancelled."""
        while True:
            answers = [await self._answers.get()]
            await self._gather()
            while len(answers) < MAX_BATCH and not self._answers.empty():
                answers.append(self._answers.get_nowait())
            await self._record_with_patience(answers)

    async def _record_with_patience(self, answers: list[Answer]) -> None:
        while True:
            try:
                outcomes = await self._record(answers)
                break
            except Retry as error:
                log.warning("settler.waits", size=len(answers), error=repr(error.__cause__))
                await asyncio.sleep(self._retry_pause_s)
            except Exception:
                log.exception("settler.failed", size=len(answers))
                if len(answers) > 1:  # one by one, so that one hurts no other
                    for answer in answers:
                        await self._record_with_patience([answer])
                else:
                    await self._not_recorded(answers[0].attempt_id)
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

    async def _not_recorded(self, attempt_id: str) -> None:
        """It stays in flight: its message comes again, or it is taken up or asked about once more."""
        try:
            await self._pool.execute(account_repository.queries.count_failure, attempt_id)
        except Exception as error:
            log.warning("settler.not_counted", attempt_id=attempt_id, error=repr(error))
        for delivery in self._ended(attempt_id):
            with suppress(Exception):  # its channel is gone: then it comes again by itself
                await delivery.reject(requeue=delivery.deliveries < GIVE_UP_AFTER)

    async def _record(self, answers: list[Answer]) -> list[Outcome | None]:
        ids = [answer.attempt_id for answer in answers]
        async with transaction(self._pool) as connection:
            found = await account_repository.attempts(connection, ids=ids)
            refunded = [each.refunds for each in found if each.refunds]
            batch = await load(
                connection,
                {each.lease_id for each in found},
                payment_ids=[each.payment_id for each in found if each.payment_id],
                payoff_leases=[each.lease_id for each in found if each.payment_id is None],
                ending=[each.lease_id for each in found],
                originals=await account_repository.attempts(connection, ids=refunded) if refunded else [],
            )
            # read again: another worker may have settled one before the account was locked
            attempts = {
                each.attempt_id: each for each in await account_repository.attempts(connection, ids=ids)
            }
            batch.ask_after = self._ask_after
            returned_at = None
            if any(_not_arrived(attempts[answer.attempt_id], answer) for answer in answers):
                returned_at = await self._health.doubt(connection, batch.now)
            outcomes = [
                _become(batch, attempts[answer.attempt_id], answer, returned_at) for answer in answers
            ]
            await save(connection, batch)
            await outbox.append(connection, batch.events)
            await command_inbox.complete(connection, [outcome for outcome in outcomes if outcome is not None])
        for attempt in attempts.values():
            trace_stamps.stamp(attempt.traceparent, "worker.settled")
        return outcomes


def _not_arrived(attempt: Attempt, answer: Answer) -> bool:
    """Whether it was made once more in vain, because the gateway may be away."""
    result = answer.result
    return bool(
        isinstance(result, NotReached) and result.outage and attempt.checks and attempt.status == "started"
    )


def _become(batch: Batch, attempt: Attempt, answer: Answer, returned_at: datetime | None) -> Outcome | None:
    """What an answer makes of an attempt as it is by now; the command's outcome, where it has one by this.

    `returned_at`: when the gateway last answered again after an outage; a call from before says nothing.
    """
    result = answer.result
    if not attempt.in_flight:  # recorded before, by another worker
        compare(attempt, result)
        return None
    if attempt.status == "unknown" and (result is None or isinstance(result, NoAnswer | NotReached)):
        if result is None and never_made(attempt, answer.called_at):
            return settle(batch, attempt, None)
        keep_asking(batch, attempt, answered=answered(result))
        return None
    assert result is not None
    if isinstance(result, NotReached) and attempt.checks:
        # certain of this call only: whoever made it before, or makes it now, may get through
        if may_repeat(attempt, batch.now):
            log.info("attempt.put_off", attempt_id=attempt.attempt_id, reason=result.reason)
            old_news = returned_at is not None and answer.called_at <= returned_at
            put_off(batch, attempt, called=result.called and not old_news)
            return None
        result = NoAnswer(reason=f"made again, and then {result.reason}"[:200])
    return settle(batch, attempt, result)
