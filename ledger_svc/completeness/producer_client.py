"""Asking producers what they have published: by a command, through the broker."""

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from common.kernel.clock import utcnow
from common.kernel.ids import uuid7
from common.messaging import topology
from common.messaging.envelope import COMMAND_CONTENT_TYPE, Command, Outcome, encode
from common.messaging.outbox_reconciliation import (
    SETS_PER_COMMAND,
    TYPE,
    Answer,
    ReconcileEvents,
    Reconciliation,
    Set,
)
from common.messaging.publisher import Publisher
from common.messaging.reply_queue import ReplyInbox
from common.runtime.tasks import run_until_first_failure
from ledger_svc.log.event_checks import SOURCES

ANSWER_WITHIN_S = 10.0
CONNECT_POLL_S = 0.05

_decode = msgspec.json.Decoder(Reconciliation).decode


class NoAnswer(Exception):
    """The service has not answered in time: it does not run, is busy, or the broker is away."""


class Producers:
    """The services that publish events."""

    def __init__(self, amqp_url: str, name: str) -> None:
        self._publisher = Publisher(amqp_url, name)
        self._replies = ReplyInbox(amqp_url, name, _nowhere)

    async def run(self) -> None:
        """Keep the connections, until cancelled."""
        await run_until_first_failure(self._publisher.run(), self._replies.run())

    async def compare(self, source: str, sets: Sequence[Set]) -> list[Answer]:
        """What the source's outbox has of these sets; those that differ it publishes again.

        Raises NoAnswer, BrokerUnavailable.
        """
        answers: list[Answer] = []
        for start in range(0, len(sets), SETS_PER_COMMAND):
            answers += await self._ask(SOURCES[source], list(sets[start : start + SETS_PER_COMMAND]))
        return answers

    async def _ask(self, queue: str, sets: list[Set]) -> list[Answer]:
        command = Command(
            command_id=uuid7(),
            type=TYPE,
            submitted_at=utcnow(),
            data=msgspec.Raw(encode(ReconcileEvents(sets=sets))),
        )
        outcome = self._replies.expect(command.command_id)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                while (reply_to := self._replies.queue) is None:  # noqa: ASYNC110 a connection to be made
                    await asyncio.sleep(CONNECT_POLL_S)
                await self._publisher.publish(
                    encode(command),
                    exchange=topology.COMMANDS,
                    routing_key=queue,
                    message_id=command.command_id,
                    message_type=command.type,
                    content_type=COMMAND_CONTENT_TYPE,
                    reply_to=reply_to,
                )
                found = await asyncio.shield(outcome)
        except TimeoutError:
            raise NoAnswer(f"no answer on {queue} within {ANSWER_WITHIN_S:.0f} s") from None
        finally:
            self._replies.forget(command.command_id)
        if found.status != "succeeded":
            raise NoAnswer(f"{queue} refused: {bytes(found.body).decode()}")
        return _decode(found.body).answers


async def _nowhere(_ids: list[str]) -> Iterable[Outcome]:
    """Outcomes are stored with the other services, whose tables are not the ledger's: it asks again."""
    return ()
