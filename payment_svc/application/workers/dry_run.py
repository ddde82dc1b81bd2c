"""Carrying out dry runs: page by page, each in a short transaction that locks nothing and writes nothing.

The command is pending until the answer is recorded, and only then acked: whoever gets it after a worker that
died works it out anew.
"""

import asyncio
from datetime import date

import msgspec
import structlog

from common.messaging import command_inbox
from common.messaging.command_processor import Pending
from common.messaging.envelope import Outcome, encode
from common.messaging.reply_queue import ReplySender
from common.postgres.pool import Pool, transaction
from common.runtime.tasks import cancel_and_wait
from common.web.command_status import status_url
from payment_svc.adapters.postgres import collection_run_repository
from payment_svc.application.collection_run_commands import decode_run
from payment_svc.domain.attempt import Account
from payment_svc.domain.collection_forecast import DryRunResult, Forecast

log = structlog.get_logger()

LEASES_AT_ONCE = 200
INSTALMENTS_AT_ONCE = 5_000
RETRY_PAUSE_S = 1.0


class DryRuns:
    """One worker's dry runs, one after the other: they are to disturb nobody."""

    def __init__(self, pool: Pool, replies: ReplySender) -> None:
        self._pool = pool
        self._replies = replies
        self._one = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[str, asyncio.Task[None]] = {}  # by command, which may be delivered again

    def begin(self, pending: Pending) -> None:
        """Work it out, record and send the answer, and ack."""
        command_id = pending.command.command_id
        task = asyncio.create_task(self._carry_out(pending, self._last.get(command_id)))
        self._tasks.add(task)
        self._last[command_id] = task
        task.add_done_callback(lambda done: self._forget(command_id, done))

    async def end(self) -> None:
        """Leave what is not done to another worker."""
        await cancel_and_wait(self._tasks)

    def _forget(self, command_id: str, done: "asyncio.Task[None]") -> None:
        self._tasks.discard(done)
        if self._last.get(command_id) is done:
            del self._last[command_id]

    async def _carry_out(self, pending: Pending, before: "asyncio.Task[None] | None") -> None:
        """`before`: the same command, delivered a second time while the first is at work."""
        if before is not None:
            await asyncio.wait([before])
        command_id = pending.command.command_id
        while True:
            try:
                async with self._one:
                    outcome = await self._outcome(command_id, decode_run(pending.command.data).as_of)
                break
            except Exception as error:  # the database is away; a defect shows in the log
                log.warning("dry_run.waits", command_id=command_id, error=repr(error))
                await asyncio.sleep(RETRY_PAUSE_S)
        await self._replies.send([(pending.delivery.reply_to, outcome)])
        await pending.delivery.ack()

    async def _outcome(self, command_id: str, as_of: date) -> Outcome:
        found = await forecast(self._pool, as_of)
        outcome = Outcome(
            command_id=command_id,
            status="succeeded",
            http_status=200,
            body=msgspec.Raw(encode(found)),
            location=status_url(command_id),
            token=await collection_run_repository.newest(self._pool),
        )
        async with transaction(self._pool) as connection:
            await command_inbox.complete(connection, [outcome])
        recorded = await command_inbox.outcomes(self._pool, [command_id])  # perhaps another worker's
        return recorded[0][1] if recorded else outcome


async def forecast(pool: Pool, as_of: date) -> DryRunResult:
    """What a run as of a day would do now; memory for one page of leases."""
    adding = Forecast(as_of)
    last: Account | None = None
    while True:
        async with (
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            left = page = await collection_run_repository.look_ahead(connection, as_of, last, LEASES_AT_ONCE)
            while left:
                part = await collection_run_repository.part_of(connection, left, as_of, INSTALMENTS_AT_ONCE)
                for account, reached, next_due in part.each():
                    try:
                        adding.add(account, reached, next_due)
                    except Exception:  # a defect: the run passes over it too
                        log.exception("dry_run.lease_failed", lease_id=account.lease_id, as_of=str(as_of))
                done = {account.lease_id for account in part.accounts}
                left = [account for account in left if account.lease_id not in done]
        if len(page) < LEASES_AT_ONCE:
            return adding.result()
        last = page[-1]
