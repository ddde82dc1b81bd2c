"""Publishing with confirms: a bounded window in flight, a deadline, and a clear «broker unavailable»."""

import asyncio
from collections.abc import Callable

import aiormq
import aiormq.exceptions
from aiormq.abc import ChannelFrame

from common.errors import BrokerFull, BrokerUnavailable, Unroutable
from common.messaging import publish_frames
from common.messaging.connection import maintain
from common.observability import metrics

PERSISTENT = 2
TRANSIENT = 1
RETRY_PAUSE_S = 0.05


class ConfirmingChannel:
    """A channel of aiormq that frames are written to as they are; no other code knows aiormq's records.

    It does what aiormq's own `basic_publish` does, without the objects. aiormq's reader goes on to resolve a
    confirmation by its delivery tag, and finds a returned message's by the message's id.
    """

    def __init__(self, channel: aiormq.Channel) -> None:
        self._channel = channel
        self._outgoing: list[bytes] = []
        self._something = asyncio.Event()  # to be handed over
        self._closed = False
        self.number = channel.number
        self.frame_max: int = channel.connection.connection_tune.frame_max

    async def ready(self) -> None:
        """Return when the broker takes messages: it does not during a resource alarm."""
        await self._channel.connection.ready()

    async def write(self) -> None:
        """Hand over to the connection what was sent meanwhile, in one piece, again and again."""
        while True:
            await self._something.wait()
            self._something.clear()
            payload = b"".join(self._outgoing)
            self._outgoing.clear()
            await self._channel.write_queue.put(
                ChannelFrame(payload=payload, should_close=False, drain_future=None)
            )

    def send(self, message_id: str, payload: bytes) -> asyncio.Future[object]:
        """Queue the frames of one publish; the future is done with the broker's confirm.

        Raises ConnectionError where the channel has closed: nothing was sent.
        """
        if self._closed:
            raise ConnectionError("the channel closed")
        channel = self._channel
        channel.delivery_tag += 1
        confirmation: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        channel.confirmations[channel.delivery_tag] = confirmation
        channel.message_id_delivery_tag[message_id] = channel.delivery_tag
        self._outgoing.append(payload)
        self._something.set()
        return confirmation

    def forget(self, message_id: str) -> None:
        """No longer look for what was sent with this id."""
        self._channel.message_id_delivery_tag.pop(message_id, None)

    def fail_all(self) -> None:
        """The channel closed: whoever waits for a confirm is told by a ConnectionError."""
        self._closed = True
        for confirmation in list(self._channel.confirmations.values()):
            if isinstance(confirmation, asyncio.Future) and not confirmation.done():
                confirmation.set_exception(ConnectionError("the channel closed"))
                confirmation.exception()  # seen, even where nobody waits any longer


class Publisher:
    """Confirmed publishing on one connection of its own.

    Publish and consume on separate connections: a resource alarm blocks publishing ones.
    """

    def __init__(self, url: str, name: str, *, window: int = 300, timeout_s: float = 5.0) -> None:
        self._url = url
        self._name = name
        self._timeout_s = timeout_s
        self._window = asyncio.Semaphore(window)
        self._channel: ConfirmingChannel | None = None
        self._connected = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether there is an open channel at this moment."""
        return self._connected.is_set()

    async def run(self) -> None:
        """Keep the connection; to be run as a task for as long as the publisher is used."""
        await maintain(self._url, self._name, self._serve, confirms=True)

    async def _serve(self, channel: aiormq.Channel) -> None:
        """Hand over to the connection what was published meanwhile, in one piece, again and again."""
        self._channel = confirming = ConfirmingChannel(channel)
        self._connected.set()
        try:
            await confirming.write()
        finally:
            self._connected.clear()
            self._channel = None
            confirming.fail_all()

    async def publish(
        self,
        body: bytes,
        *,
        exchange: str,
        routing_key: str,
        message_id: str,
        message_type: str,
        content_type: str,
        reply_to: str | None = None,
    ) -> None:
        """Return once the broker has the message safe: every queue it was routed to has confirmed it.

        A message lost with its connection is published again until the deadline: every consumer
        recognises a `message_id` that it has seen.

        Raises BrokerUnavailable (deadline passed: unknown), BrokerFull (refused), Unroutable (no queue).
        """

        def frames_of(channel: ConfirmingChannel) -> bytes:
            return publish_frames.publish(
                body,
                channel=channel.number,
                frame_max=channel.frame_max,
                exchange=exchange,
                routing_key=routing_key,
                content_type=content_type,
                delivery_mode=PERSISTENT,
                message_id=message_id,
                message_type=message_type,
                reply_to=reply_to,
            )

        try:
            async with asyncio.timeout(self._timeout_s), self._window:
                await self._until_confirmed(message_id, frames_of, f"{exchange}/{routing_key}")
        except TimeoutError:
            metrics.PUBLISH_FAILURES.labels(f"{exchange}/{routing_key}", "timeout").inc()
            raise BrokerUnavailable(f"no confirm within {self._timeout_s} s") from None

    async def _until_confirmed(
        self, message_id: str, frames_of: Callable[[ConfirmingChannel], bytes], where: str
    ) -> None:
        while True:
            await self._connected.wait()
            channel = self._channel
            if channel is None:
                continue
            try:
                # nothing is handed over during an alarm: what has timed out must not be delivered after it
                await channel.ready()
                await channel.send(message_id, frames_of(channel))
                return
            except aiormq.exceptions.PublishError as error:
                metrics.PUBLISH_FAILURES.labels(where, "unroutable").inc()
                raise Unroutable(where) from error
            except aiormq.exceptions.DeliveryError as error:
                metrics.PUBLISH_FAILURES.labels(where, "refused").inc()
                raise BrokerFull(f"{where} refused the message") from error
            except ConnectionError:
                await asyncio.sleep(RETRY_PAUSE_S)
            finally:
                channel.forget(message_id)
