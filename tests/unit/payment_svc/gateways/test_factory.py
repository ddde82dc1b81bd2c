"""The gateway is chosen by configuration."""

import pytest

from common.runtime.settings import Settings
from payment_svc.adapters.gateways import factory
from payment_svc.adapters.gateways.circuit_breaker import Breaker
from payment_svc.application.gateway import Charged, ChargeRequest, ChargeResult, Found


class FakeClient:
    """Stands for either client; knows what it was made with and whether it was closed."""

    made: list["FakeClient"]

    def __init__(self, *given: object) -> None:
        self.given = given
        self.closed = False
        self.made.append(self)

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        return Charged(reference="ch_1")

    async def find(self, idempotency_key: str) -> Found:
        return Charged(reference=idempotency_key)

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("settings", "client", "given"),
    [
        (Settings(), "SandboxGateway", ("http://127.0.0.1:8003", 10.0, 7)),
        (
            Settings(gateway="stripe", stripe_api_key="sk_1", gateway_timeout_s=2),
            "StripeGateway",
            ("https://api.stripe.com", "sk_1", 2, 7),
        ),
    ],
)
async def test_choice(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, client: str, given: tuple[object, ...]
) -> None:
    """`GATEWAY` names it; it stands behind its breaker, and is closed in the end."""
    FakeClient.made = []
    monkeypatch.setattr(factory, client, FakeClient)
    async with factory.gateway_of(settings, 7) as gateway:
        assert isinstance(gateway, Breaker)
        assert await gateway.find("k") == Charged(reference="k")
        (made,) = FakeClient.made
        assert made.given == given
        assert not made.closed
    assert made.closed
