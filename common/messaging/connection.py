"""Keeping a connection: connect, serve, and when it breaks do both again.

aio-pika's own `connect_robust` re-consumes a stream from the offset first given and has lost consumers
after reconnects; a plain connection and one loop, which every publisher and consumer shares, is
easier to reason about: whatever stands on a connection is built anew with it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import aio_pika
import aiormq
import structlog
from aio_pika.abc import AbstractConnection

from common.messaging import topology
from common.runtime.backoff import Backoff
from common.runtime.tasks import cancel_and_wait

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

Serve = Callable[[aiormq.Channel], Awaitable[None]]


async def maintain(url: str, name: str, serve: Serve, *, confirms: bool = False) -> None:
    """Run `serve(channel)` on a connection of its own, again and again, until cancelled.

    `serve` is cancelled when the connection or the channel closes, or the broker cancels a consumer; when it
    returns, the loop ends.
    """
    backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, jitter=True)
    while True:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection = await aio_pika.connect(url, client_properties={"connection_name": name})
        except (OSError, TimeoutError, aio_pika.exceptions.AMQPError) as error:
            pause_s = backoff.next()
            log.warning(
                "broker.unreachable", connection=name, error=repr(error), retry_in_s=round(pause_s, 2)
            )
            await asyncio.sleep(pause_s)
            continue
        try:
            if await _serve_until_closed(connection, serve, confirms):
                return
            log.warning("broker.connection_lost", connection=name)
            backoff.reset()
        except Exception as error:
            log.exception("broker.session_failed", connection=name, error=repr(error))
        finally:
            await _close(connection)
        await asyncio.sleep(backoff.next())


class BrokerLink:
    """A connection kept only to know that the broker is there."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self.connected = False

    async def run(self) -> None:
        """Keep it, until cancelled."""
        await maintain(self._url, self._name, self._serve)

    async def _serve(self, _channel: aiormq.Channel) -> None:
        self.connected = True
        try:
            await asyncio.Event().wait()
        finally:
            self.connected = False


async def _serve_until_closed(connection: AbstractConnection, serve: Serve, confirms: bool) -> bool:
    """True when `serve` returned by itself, False when what it stands on went away under it."""
    channel = await connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
    # aio-pika's wrappers cost a third of each message's time; what is under them speaks the same protocol
    underlay = cast(aiormq.Channel, await channel.get_underlay_channel())
    await topology.declare(underlay)
    cancelled = _cancelled_by_broker(underlay)
    serving = asyncio.ensure_future(serve(underlay))
    closed: list[asyncio.Future[None]] = [
        asyncio.ensure_future(_wait(connection.closed())),
        asyncio.ensure_future(_wait(channel.closed())),
        cancelled,
    ]
    try:
        await asyncio.wait([serving, *closed], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
            return True
        return False
    finally:
        await cancel_and_wait([serving, *closed])


def _cancelled_by_broker(channel: aiormq.Channel) -> asyncio.Future[None]:
    """Done when the broker cancels a consumer of the channel, which stays open, and silent.

    It does so where the queue was deleted or its leader moved, and from 4.3 on where an ack took too long.
    """
    cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_cancel(_frame: object) -> None:
        if not cancelled.done():
            cancelled.set_result(None)

    channel.on_consumer_cancel_callbacks.add(on_cancel)
    return cancelled


async def _wait(closed: Awaitable[object]) -> None:
    await asyncio.shield(asyncio.ensure_future(closed))


async def _close(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await connection.close()
    except Exception as error:
        log.debug("broker.close_failed", error=repr(error))
