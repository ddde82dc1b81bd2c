"""Replies: an exclusive queue for each front; outcomes find their waiting request by command id.

Replies are at most once. What counts is the stored outcome, so a front that has waited a while for a
reply looks there: one query for all that wait, twice a second.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import aiormq
import aiormq.abc
import structlog
from pamqp.commands import Basic

from common.kernel.ids import uuid7
from common.messaging.connection import maintain
from common.messaging.envelope import Outcome, decode_outcomes, encode
from common.messaging.publisher import TRANSIENT
from common.runtime.tasks import run_until_first_failure

log = structlog.get_logger()

LOOK_UP_EVERY_S = 0.5
LOOK_UP_AFTER_S = 1.0
MAX_OUTCOMES_PER_REPLY = 100

LookUp = Callable[[list[str]], Awaitable[Iterable[Outcome]]]


@dataclass(slots=True)
class _Waiting:
    since: float  # the event loop's time
    future: asyncio.Future[Outcome]
    expecting: int = 0  # how many requests share it


class ReplyInbox:
    """The receiving side, in a front."""

    def __init__(self, url: str, service: str, look_up: LookUp) -> None:
        self._url = url
        self._service = service
        self._look_up = look_up
        self._waiting: dict[str, _Waiting] = {}
        self.queue: str | None = None  # None while there is no connection

    @property
    def waiting(self) -> int:
        """How many commands are waited for."""
        return len(self._waiting)

    def expect(self, command_id: str) -> asyncio.Future[Outcome]:
        """The future of the command's outcome, shared by all who expect it; `forget` it in the end."""
        waiting = self._waiting.get(command_id)
        if waiting is None:
            loop = asyncio.get_running_loop()
            waiting = self._waiting[command_id] = _Waiting(since=loop.time(), future=loop.create_future())
        waiting.expecting += 1
        return waiting.future

    def forget(self, command_id: str) -> None:
        """No longer wait for this command."""
        waiting = self._waiting[command_id]
        waiting.expecting -= 1
        if not waiting.expecting:
            del self._waiting[command_id]

    async def run(self) -> None:
        """Receive replies and look up what was missed, until cancelled."""
        await run_until_first_failure(
            maintain(self._url, f"replies {self._service}", self._serve), self._look_up_what_was_missed()
        )

    async def _serve(self, channel: aiormq.Channel) -> None:
        # A new name for each connection: the old exclusive queue may outlive its connection for a moment.
        name = f"replies.{self._service}.{uuid7()}"
        await channel.queue_declare(name, exclusive=True, auto_delete=True)
        await channel.basic_consume(name, self._on_reply, no_ack=True)
        self.queue = name
        try:
            await asyncio.Event().wait()
        finally:
            self.queue = None

    async def _on_reply(self, message: aiormq.abc.DeliveredMessage) -> None:
        for outcome in decode_outcomes(message.body):
            self._resolve(outcome)

    def _resolve(self, outcome: Outcome) -> None:
        waiting = self._waiting.get(outcome.command_id)
        if waiting is not None and not waiting.future.done():
            waiting.future.set_result(outcome)

    async def _look_up_what_was_missed(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_UP_EVERY_S)
            before = loop.time() - LOOK_UP_AFTER_S
            late = [
                key for key, each in self._waiting.items() if each.since < before and not each.future.done()
            ]
            if not late:
                continue
            try:
                for outcome in await self._look_up(late):
                    if outcome.has_answer:
                        self._resolve(outcome)
            except Exception as error:  # the database is away: the next round asks again
                log.warning("replies.look_up_failed", error=repr(error))


class ReplySender:
    """The sending side, in a worker: unconfirmed, transient, many outcomes to one front in one message."""

    def __init__(self, url: str, service: str) -> None:
        self._url = url
        self._service = service
        self._channel: aiormq.Channel | None = None

    async def run(self) -> None:
        """Keep the connection, until cancelled."""
        await maintain(self._url, f"replying {self._service}", self._serve)

    async def _serve(self, channel: aiormq.Channel) -> None:
        self._channel = channel
        try:
            await asyncio.Event().wait()
        finally:
            self._channel = None

    async def send(self, outcomes: Iterable[tuple[str | None, Outcome]]) -> None:
        """Send each outcome to its front's queue; failures are only logged (see above)."""
        by_front: dict[str, list[Outcome]] = {}
        for reply_to, outcome in outcomes:
            if reply_to:
                by_front.setdefault(reply_to, []).append(outcome)
        for front, theirs in by_front.items():
            for start in range(0, len(theirs), MAX_OUTCOMES_PER_REPLY):
                await self._send(front, theirs[start : start + MAX_OUTCOMES_PER_REPLY])

    async def _send(self, front: str, outcomes: list[Outcome]) -> None:
        if self._channel is None:
            return
        try:
            await self._channel.basic_publish(
                encode(outcomes),
                routing_key=front,
                properties=Basic.Properties(delivery_mode=TRANSIENT, content_type="application/json"),
                wait=False,
            )
        except Exception as error:
            log.info("reply.lost", front=front, outcomes=len(outcomes), error=repr(error))
