"""The sandbox gateway over real sockets: what each payment method does, and what bounds the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from gateway_sandbox.app import serving
from gateway_sandbox.latency import Limits
from tests.support.fakes.sandbox_client import Client, charge_body

LIMITS = Limits(slow_ms=400, hold_s=0.5, held=2, body_s=0.3)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Client]:
    async with (
        serving("127.0.0.1", 0, str(tmp_path / "gateway.db"), (0, 0), LIMITS) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Client(url, session)


async def test_charge_and_its_shape(gateway: Client) -> None:
    """A charge that succeeds is 201, has the contract's fields, and is found as it was answered."""
    status, charge, response = await gateway.post("key-1", charge_body())
    assert status == 201
    assert "Idempotent-Replayed" not in response.headers
    assert charge["charge_id"].startswith("ch_")
    assert charge["created_at"].endswith("Z")
    assert {**charge, "charge_id": "", "created_at": ""} == {
        "charge_id": "",
        "idempotency_key": "key-1",
        "amount": 13162,
        "currency": "USD",
        "amount_refunded": 0,
        "disputed": 0,
        "status": "succeeded",
        "decline_code": None,
        "metadata": {"lease_id": "lea-1", "payment_id": "pay-1", "attempt_id": "att-1"},
        "created_at": "",
    }
    assert await gateway.items("?idempotency_key=key-1") == [charge]


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("pm_card_insufficient_funds", "insufficient_funds"),
        ("pm_card_do_not_honor", "do_not_honor"),
        ("pm_card_lost", "lost_card"),
        ("pm_card_expired", "expired_card"),
        ("pm_card_suspected_fraud", "suspected_fraud"),
        ("pm_of_mars", "invalid_payment_method"),
    ],
)
async def test_declined(gateway: Client, method: str, code: str) -> None:
    """A method that is declined gives 402 with the charge and its code, and stays on the record."""
    status, charge, _ = await gateway.post("key-1", charge_body(method))
    assert (status, charge["status"], charge["decline_code"]) == (402, "declined", code)
    assert await gateway.items() == [charge]


@pytest.mark.parametrize(
    ("method", "code"), [("pm_timeout_then_ok", None), ("pm_timeout_then_declined", "insufficient_funds")]
)
async def test_timeout_tells_the_truth_to_a_look_up(gateway: Client, method: str, code: str | None) -> None:
    """The caller gets no answer, and the connection is cut in the end; the record has it all the while."""
    call = asyncio.create_task(gateway.post("key-1", charge_body(method)))
    charge = await gateway.recorded()
    assert (charge["idempotency_key"], charge["decline_code"]) == ("key-1", code)
    assert not call.done()
    with pytest.raises(aiohttp.ClientConnectionError):
        await call


async def test_held_connections_are_bounded(gateway: Client) -> None:
    """One more held connection than allowed is cut at once, its charge on the record like the others."""
    calls = [
        asyncio.create_task(gateway.post(f"key-{n}", charge_body("pm_timeout_then_ok"))) for n in range(3)
    ]
    done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1
    assert len(await gateway.items()) == 3
    assert all(
        isinstance(end, aiohttp.ClientError) for end in await asyncio.gather(*calls, return_exceptions=True)
    )


async def test_gateway_down_records_nothing(gateway: Client) -> None:
    """`pm_gateway_down` promises with a 503 that nothing was taken, and nothing was."""
    status, body, response = await gateway.post("key-1", charge_body("pm_gateway_down"))
    assert (status, body["error"]["code"]) == (503, "gateway_unavailable")
    assert response.headers["Retry-After"] == "1"
    assert await gateway.items() == []


async def test_slow_is_recorded_before_it_is_answered(gateway: Client) -> None:
    """`pm_slow` answers in the end; a look-up sees it before that."""
    call = asyncio.create_task(gateway.post("key-1", charge_body("pm_slow")))
    await gateway.recorded()
    assert not call.done()
    assert (await call)[0] == 201


@pytest.mark.parametrize("payment_id", ["pay-1", None])
async def test_ok_on_third(gateway: Client, payment_id: str | None) -> None:
    """Two declines, then fine: counted per payment, for a payoff per lease; other payments do not count."""
    body = charge_body("pm_card_ok_on_third", payment_id=payment_id)
    await gateway.post("other", charge_body("pm_card_ok_on_third", payment_id="pay-2", lease_id="lea-2"))
    await gateway.post("other card", charge_body("pm_card_do_not_honor", payment_id=payment_id))
    codes = [(await gateway.post(f"key-{n}", body))[1]["decline_code"] for n in (1, 1, 2, 3, 4)]
    assert codes == ["insufficient_funds", "insufficient_funds", "insufficient_funds", None, None]


async def test_stops_soon_with_a_call_held(tmp_path: Path) -> None:
    """A held connection does not keep the gateway from going down."""
    async with aiohttp.ClientSession() as session:
        async with serving("127.0.0.1", 0, str(tmp_path / "gateway.db"), (0, 0)) as url:
            gateway = Client(url, session)
            held = asyncio.create_task(gateway.post("key-1", charge_body("pm_timeout_then_ok")))
            await gateway.recorded()
            since = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - since < 2
        with pytest.raises(aiohttp.ClientConnectionError):
            await held


async def test_too_many_in_flight(tmp_path: Path) -> None:
    """Past its limit the gateway refuses with the promise that nothing was recorded, and keeps it."""
    limits = Limits(slow_ms=400, in_flight=1)
    async with (
        serving("127.0.0.1", 0, str(tmp_path / "gateway.db"), (0, 0), limits) as url,
        aiohttp.ClientSession() as session,
    ):
        gateway = Client(url, session)
        slow = asyncio.create_task(gateway.post("key-1", charge_body("pm_slow")))
        await gateway.recorded()
        assert (await gateway.post("key-2", charge_body()))[0] == 503
        assert (await slow)[0] == 201
        assert len(await gateway.items()) == 1


async def test_latency(tmp_path: Path) -> None:
    """Answers take as long as the range says."""
    async with (
        serving("127.0.0.1", 0, str(tmp_path / "gateway.db"), (60, 90)) as url,
        aiohttp.ClientSession() as session,
    ):
        since = asyncio.get_running_loop().time()
        await Client(url, session).post("key-1", charge_body())
        assert asyncio.get_running_loop().time() - since >= 0.06


async def test_page_after_page(gateway: Client) -> None:
    """Charges and refunds, one at a time from the newest on: each once, though more are made on the way."""
    charges = [(await gateway.post(f"key-{number}", charge_body()))[1] for number in range(4)]
    refunds = [(await gateway.refund(f"back-{number}", charges[0], 10))[1] for number in range(4)]
    for path, made in (("charges", [charge["charge_id"] for charge in charges]), ("refunds", refunds)):
        ids = made if path == "charges" else [refund["refund_id"] for refund in refunds]
        seen, query = [], "limit=1&lease_id=lea-1"
        while True:
            async with gateway.session.get(f"{gateway.url}/v1/{path}?{query}") as response:
                page = await response.json()
            seen += [item[f"{path[:-1]}_id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            query = f"limit=1&lease_id=lea-1&cursor={page['next_cursor']}"
            await gateway.post(f"key-{path}-{len(seen)}", charge_body())
            await gateway.refund(f"back-{path}-{len(seen)}", charges[0], 10)
        assert seen == ids[::-1][: len(seen)] if path == "charges" else set(seen) >= set(ids)
        assert len(set(seen)) == len(seen)
    async with gateway.session.get(f"{gateway.url}/v1/charges?limit=1") as response:
        given = (await response.json())["next_cursor"]
    for other in (f"refunds?cursor={given}", "charges?cursor=x", f"charges?cursor={given}A"):
        async with gateway.session.get(f"{gateway.url}/v1/{other}") as response:
            assert (response.status, (await response.json())["error"]["code"]) == (422, "cursor_invalid")


async def test_ids_in_any_case(gateway: Client) -> None:
    """Ids are looked for without regard to case, and shown as they were sent."""
    _, charge, _ = await gateway.post("key-1", charge_body(lease_id="Lea-1", payment_id="PAY-1"))
    for query in ("lease_id=lea-1", "lease_id=LEA-1", "payment_id=pay-1", "attempt_id=ATT-1"):
        assert await gateway.items(f"?{query}") == [charge]
    assert charge["metadata"]["lease_id"] == "Lea-1"
    assert await gateway.items("?idempotency_key=KEY-1") == []
