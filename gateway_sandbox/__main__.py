"""`python -m gateway_sandbox`: runs the sandbox gateway until SIGTERM or SIGINT."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from common.runtime.process import main
from common.runtime.settings import Settings
from gateway_sandbox.app import serving
from gateway_sandbox.webhook_sender import Destination

PORT = 8003


@asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[None]:
    """The gateway with its own record, on the settings' host and port."""
    port = settings.port or PORT
    webhooks = Destination(url=settings.webhook_url, secret=settings.webhook_secret)
    latency_ms = settings.latency_range_ms()
    async with serving(settings.host, port, settings.gateway_db, latency_ms, webhooks=webhooks):
        yield


if __name__ == "__main__":
    main(
        "gateway_sandbox",
        "A sandbox that stands in for a card gateway: it takes charges and refunds, and sends webhooks.",
        roles={"gateway": gateway},
        tasks={},
    )
