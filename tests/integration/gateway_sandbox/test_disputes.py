"""The sandbox gateway playing an issuer who takes money back: at most what there is, and told until heard."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway_sandbox import webhook_sender
from gateway_sandbox.app import serving
from gateway_sandbox.webhook_sender import Destination
from payment_svc.adapters.gateways.stripe import webhook_signature
from payment_svc.adapters.gateways.stripe.webhook_events import ChargedBack, read
from tests.support.fakes.sandbox_client import Client, charge_body

SECRET = "whsec_of_the_tests"


class Listener:
    """Takes webhooks, after refusing the first few."""

    def __init__(self, refusing: int = 0) -> None:
        self.refusing = refusing
        self.heard: list[bytes] = []

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        webhook_signature.verify(request.headers[webhook_signature.HEADER], body, SECRET, datetime.now(UTC))
        self.heard.append(body)
        return web.Response(status=503 if len(self.heard) <= self.refusing else 200)

    async def until(self, times: int) -> None:
        async with asyncio.timeout(10):
            while len(self.heard) < times:  # noqa: ASYNC110 over HTTP
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Destination]:
        app = web.Application()
        app.router.add_post("/hooks", self.receive)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Destination(url=f"http://127.0.0.1:{runner.addresses[0][1]}/hooks", secret=SECRET)
        await runner.cleanup()


@asynccontextmanager
async def gateway(path: Path, webhooks: Destination | None = None) -> AsyncIterator[Client]:
    async with (
        serving("127.0.0.1", 0, str(path / "gateway.db"), (0, 0), webhooks=webhooks) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Client(url, session)


async def charged(client: Client, method: str = "pm_card_ok", key: str = "key-1", **changes: Any) -> Any:
    return (await client.post(key, charge_body(method, **changes)))[1]


async def dispute(client: Client, charge_id: str, body: Any) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"{client.url}/v1/charges/{charge_id}/dispute"
    async with client.session.post(url, data=data) as response:
        return response.status, await response.json()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_sender, "FIRST_PAUSE_S", 0.02)


async def test_a_dispute_is_told_until_it_is_heard(tmp_path: Path) -> None:
    """The same signed bytes again and again until a 2xx, and then no more; in Stripe's shape."""
    listener = Listener(refusing=3)
    async with listener.listening() as destination, gateway(tmp_path, destination) as client:
        charge = await charged(client)
        status, made = await dispute(client, charge["charge_id"], {"amount": 5000})
        assert status == 201
        await listener.until(4)
        await asyncio.sleep(0.3)
        assert len(listener.heard) == 4
        assert len(set(listener.heard)) == 1
        notice = read(listener.heard[0])
        assert isinstance(notice, ChargedBack)
        assert (notice.gateway_reference, notice.dispute_id) == (charge["charge_id"], made["dispute_id"])
        assert (notice.amount, notice.currency, notice.reason) == (5000, "USD", "fraudulent")
        assert await client.items() == [charge | {"disputed": 5000}]


async def test_in_stripes_units(tmp_path: Path) -> None:
    """Króna have no fractions, and Stripe wants two digits: the webhook says so, the record does not."""
    listener = Listener()
    async with listener.listening() as destination, gateway(tmp_path, destination) as client:
        charge = await charged(client, currency="ISK")
        await dispute(client, charge["charge_id"], {"amount": 70})
        await listener.until(1)
        told = json.loads(listener.heard[0])["data"]["object"]
        assert (told["amount"], told["currency"]) == (7000, "isk")
        dinars = await charged(client, key="key-2", currency="KWD")
        assert (await dispute(client, dinars["charge_id"], {"amount": 71}))[0] == 422


async def test_restart(tmp_path: Path) -> None:
    """What nobody has heard is told after a restart; without a secret nothing is sent, and it waits."""
    async with gateway(tmp_path, Destination(url="http://127.0.0.1:1/hooks")) as client:
        charge = await charged(client)
        assert (await dispute(client, charge["charge_id"], {"amount": 1}))[0] == 201
    async with gateway(tmp_path, Destination(url="http://127.0.0.1:1/hooks", secret=SECRET)) as client:
        await asyncio.sleep(0.1)
    listener = Listener()
    async with listener.listening() as destination, gateway(tmp_path, destination) as client:
        await listener.until(1)
        assert [each["disputed"] for each in await client.items()] == [1]


async def test_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not told for ever."""
    monkeypatch.setattr(webhook_sender, "SENDS_MAX", 3)
    listener = Listener(refusing=99)
    async with listener.listening() as destination, gateway(tmp_path, destination) as client:
        charge = await charged(client)
        await dispute(client, charge["charge_id"], {"amount": 1})
        await listener.until(3)
        await asyncio.sleep(0.3)
        assert len(listener.heard) == 3


async def test_what_is_refused(tmp_path: Path) -> None:
    """No such charge, more than is left, input that cannot be meant; the same amount again is the first."""
    async with gateway(tmp_path) as client:
        charge, lost = await charged(client), await charged(client, "pm_card_lost", "key-2")
        its = charge["charge_id"]
        for charge_id in ("ch_none", lost["charge_id"], "%00"):
            assert (await dispute(client, charge_id, {"amount": 1}))[0] == 404
        for body in ({"amount": 0}, {"amount": 1.5}, {}, {"amount": 1, "reason": "A"}, {"amount": 1, "x": 1}):
            assert (await dispute(client, its, body))[0] == 422
        assert (await dispute(client, its, b"x"))[0] == 400
        assert (await dispute(client, its, {"amount": 13163}))[0] == 409
        first = await dispute(client, its, {"amount": 13000})
        again = await dispute(client, its, {"amount": 13000})
        assert (first[0], again[0], first[1]) == (201, 200, again[1])
        assert (await dispute(client, its, {"amount": 163}))[0] == 409
        status, refund, _ = await client.refund("r-1", charge, 163)
        assert (status, refund["decline_code"]) == (402, "refund_exceeds_charge")
        assert (await client.refund("r-2", charge, 162))[0] == 201
