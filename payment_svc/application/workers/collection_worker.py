"""The collector: works through running collection runs, a bounded batch of leases at a time.

Each batch is decided and written in one transaction, its attempts as `started`; the gateway is called after
the commit, and the settler records its answers. Several workers share a run: rows that one has locked are
passed over by the others. What a worker leaves behind when it dies is in the tables, for any other.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec
import structlog

from common.errors import Retry
from common.kernel.clock import utcnow
from common.messaging import command_inbox, outbox
from common.messaging.command_processor import Pending, Resume
from common.messaging.reply_queue import ReplySender
from common.postgres.pool import Connection, Pool, is_transient, transaction
from common.runtime.tasks import cancel_and_wait
from payment_svc.adapters.postgres import account_repository, collection_run_repository
from payment_svc.application.collection_run import Counts, Run, outcome_of, work_through
from payment_svc.application.collection_run_commands import decode_run
from payment_svc.application.command_handlers import save
from payment_svc.application.unit_of_work import Batch
from payment_svc.application.workers.charge_executor import Settler
from payment_svc.application.workers.dry_run import DryRuns
from payment_svc.domain.attempt import CLAIM, Account, Attempt

log = structlog.get_logger()

LEASES_AT_ONCE = 200  # in one transaction …
INSTALMENTS_AT_ONCE = 5_000  # … and open instalments of theirs that have reached their due date
TAKE_UP_AT_ONCE = 200  # attempts that a dead worker has left behind
TAKE_UP_EVERY_S = 1.0
LOOK_EVERY_S = 1.0  # for runs begun by other workers
FINISH_EVERY_S = 0.05  # while the last attempts of a run are under way
RETRY_PAUSE_S = 0.5


class Collector:
    """One worker's part in all collection runs."""

    def __init__(
        self,
        pool: Pool,
        settler: Settler,
        replies: ReplySender,
        committed: Callable[[], None],
        claim: timedelta = CLAIM,
    ) -> None:
        self._claim = claim
        self._pool = pool
        self._settler = settler
        self._replies = replies
        self._committed = committed
        self._dry_runs = DryRuns(pool, replies)
        self._wake = asyncio.Event()
        self._stopping = False
        self._alone = 0  # so many leases are to be worked through one by one

    def resume(self, others: Resume) -> Resume:
        """The second step of commands: those that ask for a run are taken here, `others` takes the rest."""

        async def by_type(pending: Sequence[Pending]) -> None:
            runs, dry, rest = [], [], []
            for each in pending:
                if each.command.type != "RunCollections":
                    rest.append(each)
                elif decode_run(each.command.data).dry_run:
                    dry.append(each)
                else:
                    runs.append(each)
            if runs:
                await self._expect(runs)
            for each in dry:
                self._dry_runs.begin(each)
            if rest:
                await others(rest)
            # The run and who waits for it are on record, and any worker may answer: the message is done with.
            for each in runs:
                await each.delivery.ack()

        return by_type

    async def run(self) -> None:
        """Work until `stop`."""
        taking_up = asyncio.create_task(self._take_up_what_was_left())
        try:
            while not self._stopping:
                try:
                    await self._work()
                except Retry as error:
                    log.warning("collector.waits", error=repr(error.__cause__))
                    await asyncio.sleep(RETRY_PAUSE_S)
                except Exception:
                    log.exception("collector.failed")
                    await asyncio.sleep(RETRY_PAUSE_S)
        finally:
            await cancel_and_wait([taking_up])
            await self._dry_runs.end()

    def stop(self) -> None:
        """Take no new batch; `run` returns when the one in hand is written."""
        self._stopping = True
        self._wake.set()

    async def _expect(self, pending: Sequence[Pending]) -> None:
        """Note where the fronts of these commands wait, and begin."""
        fronts = [(each.command.command_id, each.delivery.reply_to) for each in pending]
        async with transaction(self._pool) as connection:
            await collection_run_repository.set_reply_to(
                connection, [(key, front) for key, front in fronts if front]
            )
        self._wake.set()

    async def _work(self) -> None:
        self._wake.clear()
        async with transaction(self._pool) as connection:
            run = await collection_run_repository.first_running(connection)
        if run is None:
            await self._pause(LOOK_EVERY_S)
            return
        try:
            leases, started = await self._batch(run, 1 if self._alone else LEASES_AT_ONCE)
        except Retry:
            raise
        except Exception:
            if self._alone:
                raise
            log.exception("collector.batch_failed", as_of=str(run.as_of))
            self._alone = LEASES_AT_ONCE  # so that one lease hurts no other
            return
        self._alone = max(0, self._alone - 1)
        if leases:
            self._committed()
            await self._settler.charge(started, stopping=lambda: self._stopping)
        elif not await self._complete(run):
            await self._pause(FINISH_EVERY_S)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _batch(self, run: Run, limit: int) -> tuple[int, list[Attempt]]:
        """Work through the next leases of a run: how many there were, and the attempts to be made.

        One that fails alone is logged and passed over: a defect that the next day's run meets again.
        """
        async with transaction(self._pool) as connection:
            accounts = await collection_run_repository.take(connection, run.as_of, limit)
            if not accounts:
                return 0, []
            try:
                async with connection.transaction():
                    return await self._decide(connection, run, accounts)
            except Exception as error:
                if limit > 1 or is_transient(error):
                    raise
                lease_id = accounts[0].lease_id
                log.exception("collector.lease_failed", lease_id=lease_id, as_of=str(run.as_of))
                await connection.execute(collection_run_repository.queries.pass_over, lease_id, run.as_of)
                return 1, []

    async def _decide(
        self, connection: Connection, run: Run, accounts: list[Account]
    ) -> tuple[int, list[Attempt]]:
        part = await collection_run_repository.part_of(connection, accounts, run.as_of, INSTALMENTS_AT_ONCE)
        batch = Batch({account.lease_id: account for account in part.accounts}, part.reached, utcnow())
        batch.claim = self._claim
        done = [work_through(batch, run, *lease) for lease in part.each()]
        await save(connection, batch)
        await outbox.append(connection, batch.events)
        await collection_run_repository.count(connection, run.run_id, _sum(done))
        return len(part.accounts), batch.started

    async def _complete(self, run: Run) -> bool:
        """Complete a run that has nothing left, and answer those who wait for it."""
        async with transaction(self._pool) as connection:
            completed = await collection_run_repository.complete(connection, run, utcnow())
            if completed is None:
                return False
            run, waiters = completed
            outcomes = [outcome_of(run, waiter["command_id"]) for waiter in waiters]
            await command_inbox.complete(connection, outcomes)
        log.info("collections.completed", as_of=str(run.as_of), **msgspec.structs.asdict(run.counts))
        await self._replies.send(
            (waiter["reply_to"], outcome) for waiter, outcome in zip(waiters, outcomes, strict=True)
        )
        return True

    async def _take_up_what_was_left(self) -> None:
        first = True
        while True:
            try:
                if first:
                    await self._pool.execute(collection_run_repository.queries.claim_started_now)
                    first = False
                now = utcnow()
                rows = await self._pool.fetch(
                    collection_run_repository.queries.claim_started, now, now + self._claim, TAKE_UP_AT_ONCE
                )
                ids = [row["attempt_id"] for row in rows if not self._settler.charging(row["attempt_id"])]
                if ids:
                    async with transaction(self._pool) as connection:
                        left = await account_repository.take_up(connection, ids=ids)
                    log.info("collector.takes_up", attempts=len(left))
                    await self._settler.charge(left, stopping=lambda: self._stopping)
            except Exception as error:
                log.warning("collector.waits", error=repr(error))
            await asyncio.sleep(TAKE_UP_EVERY_S)


def _sum(done: Sequence[Counts]) -> Counts:
    return Counts(**{name: sum(getattr(each, name) for each in done) for name in Counts.__struct_fields__})
