"""Which gateway it is: a matter of configuration."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from common.runtime.settings import Settings
from payment_svc.adapters.gateways.circuit_breaker import Breaker
from payment_svc.adapters.gateways.sandbox import SandboxGateway
from payment_svc.adapters.gateways.stripe.gateway import StripeGateway


@asynccontextmanager
async def gateway_of(settings: Settings, max_in_flight: int) -> AsyncIterator[Breaker]:
    """The gateway that `GATEWAY` names, behind its circuit breaker, while the block runs."""
    timeout_s = settings.gateway_timeout_s
    client: SandboxGateway | StripeGateway
    match settings.gateway:
        case "sandbox":
            client = SandboxGateway(settings.gateway_url, timeout_s, max_in_flight)
        case "stripe":
            client = StripeGateway(settings.stripe_url, settings.stripe_api_key, timeout_s, max_in_flight)
    try:
        yield Breaker(client, settings.gateway)
    finally:
        await client.close()
