"""The sandbox gateway giving money back: once per key, never more than was charged, and not forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway_sandbox.app import serving
from gateway_sandbox.latency import Limits
from tests.support.fakes.sandbox_client import Client, charge_body

LIMITS = Limits(slow_ms=400, hold_s=0.5)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Client]:
    async with (
        serving("127.0.0.1", 0, str(tmp_path / "gateway.db"), (0, 0), LIMITS) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Client(url, session)


async def charged(gateway: Client, method: str = "pm_card_ok", key: str = "key-1") -> dict[str, Any]:
    charge: dict[str, Any] = (await gateway.post(key, charge_body(method)))[1]
    return charge


async def test_refund_and_its_shape(gateway: Client) -> None:
    """A refund is 201 with its fields, is found as it was answered, and shows on its charge."""
    charge = await charged(gateway)
    status, refund, _ = await gateway.refund("r-1", charge, 162)
    assert status == 201
    assert refund["refund_id"].startswith("re_")
    assert {**refund, "refund_id": "", "created_at": ""} == {
        "refund_id": "",
        "charge_id": charge["charge_id"],
        "idempotency_key": "r-1",
        "amount": 162,
        "currency": "USD",
        "status": "succeeded",
        "decline_code": None,
        "metadata": {"lease_id": "lea-1", "payment_id": "pay-1", "attempt_id": "att-r-1"},
        "created_at": "",
    }
    assert await gateway.refunds("?idempotency_key=r-1") == [refund]
    assert await gateway.refunds(f"?charge_id={charge['charge_id']}") == [refund]
    assert await gateway.refunds("?idempotency_key=r-2") == []
    assert await gateway.items() == [charge | {"amount_refunded": 162}]


async def test_never_more_than_was_charged(gateway: Client) -> None:
    """Of many refunds at once as many go through as the charge has money for; the others are declined."""
    charge = await charged(gateway)
    answers = await asyncio.gather(*(gateway.refund(f"r-{n}", charge, 4000) for n in range(10)))
    assert sorted(status for status, _, _ in answers) == [201] * 3 + [402] * 7
    assert {body["decline_code"] for status, body, _ in answers if status == 402} == {"refund_exceeds_charge"}
    assert (await gateway.refund("r-last", charge, 1162))[0] == 201
    [charge] = await gateway.items()
    assert charge["amount_refunded"] == charge["amount"]


async def test_same_key(gateway: Client) -> None:
    """The same key gives back once, however often; with another body it is refused."""
    charge = await charged(gateway)
    answers = await asyncio.gather(*(gateway.refund("r-1", charge, 100) for _ in range(20)))
    assert {status for status, _, _ in answers} == {201}
    assert len({body["refund_id"] for _, body, _ in answers}) == 1
    for changes in ({"amount": 101}, {"currency": "EUR"}, {"charge_id": "ch_2"}):
        status, body, _ = await gateway.refund("r-1", charge, 100, **changes)
        assert (status, body["error"]["code"]) == (422, "idempotency_key_reused")
    [charge] = await gateway.items()
    assert charge["amount_refunded"] == 100


async def test_what_is_declined(gateway: Client) -> None:
    """No such charge, one that was declined itself, another currency: on the record, and nothing moves."""
    charge = await charged(gateway)
    declined = await charged(gateway, "pm_card_lost", "key-2")
    answers = [
        await gateway.refund("r-1", charge | {"charge_id": "ch_none"}, 1),
        await gateway.refund("r-2", declined, 1),
        await gateway.refund("r-3", charge, 1, currency="EUR"),
    ]
    assert [(status, body["decline_code"]) for status, body, _ in answers] == [
        (402, "charge_not_found"),
        (402, "charge_not_found"),
        (402, "currency_mismatch"),
    ]
    assert len(await gateway.refunds()) == 3
    assert {charge["amount_refunded"] for charge in await gateway.items()} == {0}


@pytest.mark.parametrize(
    "changes", [{"amount": 0}, {"amount": 1.5}, {"charge_id": ""}, {"reason": "x"}, {"metadata": {}}]
)
async def test_bad_input(gateway: Client, changes: dict[str, Any]) -> None:
    """A refund that cannot be meant is 422 and not on the record."""
    charge = await charged(gateway)
    assert (await gateway.refund("r-1", charge, 1, **changes))[0] == 422
    assert await gateway.refunds() == []


async def test_a_method_plays_its_part_again(gateway: Client) -> None:
    """Where the charge was never answered, its refund is not either; it is on the record all the same."""
    call = asyncio.create_task(gateway.post("key-1", charge_body("pm_timeout_then_ok")))
    charge = await gateway.recorded()
    with pytest.raises(aiohttp.ClientConnectionError):
        await gateway.refund("r-1", charge, 100)
    with pytest.raises(aiohttp.ClientConnectionError):
        await call
    [refund] = await gateway.refunds("?idempotency_key=r-1")
    assert (refund["status"], (await gateway.items())[0]["amount_refunded"]) == ("succeeded", 100)


async def test_restart_keeps_refunds(tmp_path: Path) -> None:
    """After a restart they are found, their keys are replayed, and what is left is what was left."""
    path = str(tmp_path / "gateway.db")
    async with serving("127.0.0.1", 0, path, (0, 0)) as url, aiohttp.ClientSession() as session:
        gateway = Client(url, session)
        charge = await charged(gateway)
        _, refund, _ = await gateway.refund("r-1", charge, 13000)
    async with serving("127.0.0.1", 0, path, (0, 0)) as url, aiohttp.ClientSession() as session:
        gateway = Client(url, session)
        assert await gateway.refunds() == [refund]
        assert (await gateway.refund("r-1", charge, 13000))[1] == refund
        assert (await gateway.refund("r-2", charge, 163))[0] == 402
        assert (await gateway.refund("r-3", charge, 162))[0] == 201
