"""The one writer of the log: reads the stream, appends entries and cursor in one transaction.

Redelivery appends nothing twice, and a crash loses nothing: the cursor moves with what was made of a batch.
"""

import asyncio

import aiormq
import structlog

from common.kernel.clock import utcnow
from common.messaging.connection import maintain
from common.postgres import leader_election
from common.postgres.pool import TRANSIENT, Connection, Pool, session
from common.runtime.pacing import Pacer
from common.runtime.tasks import cancel_and_wait
from ledger_svc.log import message_decoder, stream_position
from ledger_svc.log.appender import Appender, Healer
from ledger_svc.log.repository import Damaged
from ledger_svc.log.stream_position import Cursor
from ledger_svc.log.stream_subscription import Stream
from ledger_svc.transparency.signed_note import SigningKey

log = structlog.get_logger()

PACE_S = 0.1
LEADS = "ledger-writer"  # the duty that one writer has
PAUSE_S = 0.5


class LedgerWriter:
    """Appends what the stream brings, for as long as it leads."""

    def __init__(self, amqp_url: str, pool: Pool, key: SigningKey, healer: Healer | None = None) -> None:
        self._amqp_url = amqp_url
        self._pool = pool
        self._healer = healer
        self._appender = Appender(key, healer)
        self._pacer = Pacer(PACE_S)

    async def run(self) -> None:
        """Lead and append, or stand by, until cancelled."""
        while True:
            try:
                async with session(self._pool) as connection:
                    await self._lead(connection)
            except Damaged as error:
                log.critical("ledger.damaged", error=str(error))
            except (*TRANSIENT, ValueError) as error:
                log.warning("ledger.writer_interrupted", error=repr(error))
            await asyncio.sleep(PAUSE_S)

    async def _lead(self, connection: Connection) -> None:
        await leader_election.stand_by(connection, LEADS)
        failure: list[Exception] = []
        interrupted = False

        async def read(channel: aiormq.Channel) -> None:
            nonlocal interrupted
            if interrupted:
                # The broker was away, and what was under way on `connection` was cancelled. Amid a BEGIN that
                # leaves asyncpg nesting all that follows in a transaction that nobody commits: so a new one.
                return
            interrupted = True
            try:
                await self._follow(Stream(channel), connection)
            except (*TRANSIENT, ValueError) as error:
                failure.append(error)  # returning ends `maintain`: a new connection to Postgres is needed

        log.info("ledger.leads")
        healing = [asyncio.ensure_future(self._healer.run())] if self._healer else []
        try:
            await maintain(self._amqp_url, "ledger-writer", read)
        finally:
            await cancel_and_wait(healing)
        if failure:
            raise failure[0]

    async def _follow(self, stream: Stream, connection: Connection) -> None:
        """Append from the stream; the cursor is read anew on each connection to the broker."""
        await self._appender.open(connection)
        cursor = self._appender.cursor
        if reason := await stream.resume(cursor):
            # Not the stream that was read: from its beginning, repeats are recognised. From now on it is this
            # one that is read, also where nothing comes before the next connection: the alarm is raised once.
            anew = Cursor(generation=cursor.generation + 1, read_at=utcnow())
            await self._appender.go_on(connection, anew, [stream_position.mismatch(cursor, reason)])
            await stream.begin()
        while True:
            messages = await stream.batch(self._pacer)
            await self._appender.append(connection, *message_decoder.read(messages))
            await stream.ack(messages[-1])
