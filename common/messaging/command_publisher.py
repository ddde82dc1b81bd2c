"""Commands of one front share messages under load.

The broker's and its clients' work is by the message, not by the byte. A command after a pause goes at once
and alone; those that come in a stream wait some milliseconds for each other.
"""

import asyncio
from dataclasses import dataclass, field

from common.messaging import topology
from common.messaging.envelope import COMMAND_BATCH_CONTENT_TYPE, COMMAND_CONTENT_TYPE, Command, encode
from common.messaging.publisher import Publisher
from common.runtime.pacing import Pacer

PACE_S = 0.004
MESSAGE_BYTES_MAX = 256 * 1024


@dataclass(eq=False)
class _Message:
    """A message that is being filled, or is on its way."""

    first: Command
    reply_to: str | None
    confirmed: asyncio.Future[None]
    bodies: list[bytes] = field(default_factory=list)
    size: int = 0


class CommandPublisher:
    """Publishes commands to the queue of one service, with confirms."""

    def __init__(self, queue: str, publisher: Publisher, *, per_message: int) -> None:
        """At most `per_message` commands share one."""
        self._queue = queue
        self._publisher = publisher
        self._per_message = per_message
        self._pacer = Pacer(PACE_S)
        self._filling: _Message | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def send(self, command: Command, reply_to: str | None) -> None:
        """Return once the broker has the command safe; raises what `Publisher.publish` raises."""
        body = encode(command)
        message = self._filling
        if (
            message is None
            or message.reply_to != reply_to
            or len(message.bodies) == self._per_message
            or message.size + len(body) > MESSAGE_BYTES_MAX
        ):
            message = self._begin(command, reply_to)
        message.bodies.append(body)
        message.size += len(body)
        await asyncio.shield(message.confirmed)

    def _begin(self, command: Command, reply_to: str | None) -> _Message:
        message = _Message(command, reply_to, asyncio.get_running_loop().create_future())
        self._filling = message
        task = asyncio.create_task(self._publish(message))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return message

    async def _publish(self, message: _Message) -> None:
        try:
            await self._pacer.wait()
            if self._filling is message:
                self._filling = None
            alone = len(message.bodies) == 1
            await self._publisher.publish(
                message.bodies[0] if alone else b"[%s]" % b",".join(message.bodies),
                exchange=topology.COMMANDS,
                routing_key=self._queue,
                message_id=message.first.command_id,
                message_type=message.first.type,
                content_type=COMMAND_CONTENT_TYPE if alone else COMMAND_BATCH_CONTENT_TYPE,
                reply_to=message.reply_to,
            )
        except asyncio.CancelledError:
            message.confirmed.cancel()
            raise
        except Exception as error:  # for those who wait, each of whom answers for its own command
            message.confirmed.set_exception(error)
            message.confirmed.exception()  # seen, even where all of them have gone
        else:
            message.confirmed.set_result(None)
