"""Publishing with confirms: a bounded window in flight, a deadline, and a clear «broker unavailable»."""

import asyncio

import aiormq
import aiormq.exceptions
from pamqp.commands import Basic

from common import telemetry
from common.bus.connection import maintain
from common.errors import BrokerFull, BrokerUnavailable, Unroutable

PERSISTENT = 2
TRANSIENT = 1
RETRY_PAUSE_S = 0.05

# What a broken channel or connection makes of a publish. Whether the broker took it is then unknown.
_BROKEN = (
    aiormq.exceptions.AMQPError,
    aiormq.exceptions.ChannelInvalidStateError,
    ConnectionError,
    RuntimeError,
)


class Publisher:
    """Confirmed publishing on one connection of its own.

    Publish and consume on separate connections: a resource alarm blocks publishing ones.
    """

    def __init__(self, url: str, name: str, *, window: int = 300, timeout_s: float = 5.0) -> None:
        self._url = url
        self._name = name
        self._timeout_s = timeout_s
        self._window = asyncio.Semaphore(window)
        self._channel: aiormq.Channel | None = None
        self._connected = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether there is an open channel at this moment."""
        return self._connected.is_set()

    async def run(self) -> None:
        """Keep the connection; to be run as a task for as long as the publisher is used."""
        await maintain(self._url, self._name, self._serve, confirms=True)

    async def _serve(self, channel: aiormq.Channel) -> None:
        self._channel = channel
        self._connected.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._connected.clear()
            self._channel = None

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
        properties = Basic.Properties(
            content_type=content_type,
            delivery_mode=PERSISTENT,
            message_id=message_id,
            message_type=message_type,
            reply_to=reply_to,
        )
        try:
            async with asyncio.timeout(self._timeout_s), self._window:
                await self._until_confirmed(body, exchange, routing_key, properties)
        except TimeoutError:
            telemetry.PUBLISH_FAILURES.labels(exchange, "timeout").inc()
            raise BrokerUnavailable(f"no confirm within {self._timeout_s} s") from None

    async def _until_confirmed(
        self, body: bytes, exchange: str, routing_key: str, properties: Basic.Properties
    ) -> None:
        while True:
            await self._connected.wait()
            channel = self._channel
            if channel is None:
                continue
            try:
                await channel.basic_publish(
                    body,
                    exchange=exchange,
                    routing_key=routing_key,
                    properties=properties,
                    mandatory=True,
                    wait=False,  # waiting for the socket to drain would let one publish at a time through
                )
                return
            except aiormq.exceptions.PublishError as error:
                telemetry.PUBLISH_FAILURES.labels(exchange, "unroutable").inc()
                raise Unroutable(f"{exchange}/{routing_key}") from error
            except aiormq.exceptions.DeliveryError as error:
                telemetry.PUBLISH_FAILURES.labels(exchange, "refused").inc()
                raise BrokerFull(f"{exchange}/{routing_key} refused the message") from error
            except asyncio.CancelledError:
                # aiormq cancels what waits on a closing channel; our own cancellation must go through
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
            except _BROKEN:
                pass
            await asyncio.sleep(RETRY_PAUSE_S)
