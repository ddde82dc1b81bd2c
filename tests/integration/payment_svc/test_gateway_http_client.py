"""The gateway client: against the real sandbox, and against servers that misbehave byte by byte.

What matters is the line between "certainly nothing happened" and "nobody knows".
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from gateway_sandbox.app import serving
from payment_svc.adapters.gateways.sandbox import SandboxGateway
from payment_svc.application.gateway import (
    Charged,
    ChargeRequest,
    Declined,
    NoAnswer,
    NotReached,
    RefundRequest,
)
from tests.support.fakes.hostile_gateway import (
    CHARGE,
    REFUND,
    UNCERTAIN,
    UNCERTAIN_CHARGE,
    UNCERTAIN_FIND,
    answer,
    hangs,
    hostile,
    says,
)

TIMEOUT_S = 0.3
REQUEST = ChargeRequest(
    idempotency_key="key-1",
    amount=13162,
    currency="USD",
    payment_method="pm_card_ok",
    lease_id="lea-1",
    payment_id="pay-1",
    attempt_id="att-1",
)

BACK = RefundRequest(
    idempotency_key="key-1",
    reference="ch_1",
    amount=13162,
    currency="USD",
    lease_id="lea-1",
    payment_id="pay-1",
    attempt_id="att-2",
)


@asynccontextmanager
async def client(
    url: str, max_in_flight: int = 10, timeout_s: float = TIMEOUT_S
) -> AsyncIterator[SandboxGateway]:
    gateway = SandboxGateway(url, timeout_s=timeout_s, max_in_flight=max_in_flight)
    try:
        yield gateway
    finally:
        await gateway.close()


@pytest.mark.parametrize("name", [*UNCERTAIN, *UNCERTAIN_CHARGE])
async def test_charge_without_a_certain_answer(name: str) -> None:
    """Whatever goes wrong once the request is out is NoAnswer with a reason, and is not sent twice."""
    requests = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        await (UNCERTAIN | UNCERTAIN_CHARGE)[name](reader, writer)

    async with hostile(counted) as url, client(url) as gateway:
        result = await gateway.charge(REQUEST)
    assert isinstance(result, NoAnswer)
    assert 0 < len(result.reason) <= 200
    assert requests == 1


@pytest.mark.parametrize("name", [*UNCERTAIN, *UNCERTAIN_FIND])
async def test_find_without_a_certain_answer(name: str) -> None:
    """A look-up that fails never reads as "no such charge"."""
    async with hostile((UNCERTAIN | UNCERTAIN_FIND)[name]) as url, client(url) as gateway:
        assert isinstance(await gateway.find("key-1"), NoAnswer)


async def test_kept_connection_that_dies_is_uncertain() -> None:
    """A connection that answered once and dies under the next charge: not known, and not sent again."""
    requests = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        writer.write(answer(201, CHARGE))
        await reader.readuntil(b"\r\n\r\n")
        requests += 1

    async with hostile(once) as url, client(url) as gateway:
        assert await gateway.charge(REQUEST) == Charged(reference="ch_1")
        assert isinstance(await gateway.charge(REQUEST), NoAnswer)
    assert requests == 2


async def test_certainly_not_reached() -> None:
    """A refused connection, a name that does not resolve and the gateway's own promise: nothing happened."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refused
        refused = f"http://127.0.0.1:{unused.getsockname()[1]}"
        for url in (refused, "http://gateway.invalid"):
            async with client(url) as gateway:
                assert isinstance(await gateway.charge(REQUEST), NotReached)
                assert isinstance(await gateway.find("key-1"), NoAnswer)
    promise = answer(503, {"error": {"code": "gateway_unavailable", "message": "down"}})
    async with hostile(says(promise)) as url, client(url) as gateway:
        assert await gateway.charge(REQUEST) == NotReached(reason="gateway_unavailable")
        assert isinstance(await gateway.find("key-1"), NoAnswer)


async def test_connection_that_never_stands() -> None:
    """Where connecting itself takes too long, nothing was sent, so nothing happened."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)  # fills the queue of a server that accepts nobody
        async with client(f"http://127.0.0.1:{address[1]}") as gateway:
            assert isinstance(await gateway.charge(REQUEST), NotReached)
        for one in waiting:
            one.close()


async def test_bounded_in_flight() -> None:
    """A charge that gets no place in time was never sent; look-ups have places of their own."""
    async with hostile(hangs) as url, client(url, max_in_flight=1) as gateway:
        first = asyncio.create_task(gateway.charge(REQUEST))
        await asyncio.sleep(0.05)
        first.cancel()  # gives its place back
        await asyncio.gather(first, return_exceptions=True)
        assert first.cancelled()
        holds, waits = await asyncio.gather(gateway.charge(REQUEST), _soon(gateway))
        assert isinstance(holds, NoAnswer)
        assert isinstance(waits, NoAnswer)  # it got the place in the end
        crowd = await asyncio.gather(*[gateway.charge(REQUEST) for _ in range(4)])
    assert {type(result) for result in crowd} == {NoAnswer, NotReached}


async def _soon(gateway: SandboxGateway) -> object:
    await asyncio.sleep(TIMEOUT_S / 2)
    return await gateway.charge(REQUEST)


@pytest.mark.parametrize(
    ("method", "charged", "found"),
    [
        ("pm_card_ok", Charged, Charged),
        ("pm_card_lost", Declined, Declined),
        ("pm_timeout_then_ok", NoAnswer, Charged),
        ("pm_timeout_then_declined", NoAnswer, Declined),
        ("pm_slow", NoAnswer, Charged),
        ("pm_gateway_down", NotReached, type(None)),
    ],
)
async def test_against_the_sandbox(tmp_path: Path, method: str, charged: type, found: type) -> None:
    """Client and sandbox understand each other, for odd keys and payoffs too; look-ups tell the truth."""
    request = msgspec.structs.replace(
        REQUEST, payment_method=method, idempotency_key="a+b&c=d %20#", payment_id=None
    )
    path = str(tmp_path / "gateway.db")
    async with (
        serving("127.0.0.1", 0, path, (0, 0)) as url,
        client(url + "/", timeout_s=5) as patient,
        client(url) as hasty,
    ):
        assert await patient.find(request.idempotency_key) is None
        first = await (hasty if charged is NoAnswer else patient).charge(request)
        settled = await patient.find(request.idempotency_key)
        assert (type(first), type(settled)) == (charged, found)
        if not isinstance(first, NoAnswer | NotReached):
            assert first == settled == await patient.charge(request)


@pytest.mark.parametrize("name", UNCERTAIN)
async def test_refund_without_a_certain_answer(name: str) -> None:
    """As for a charge: whatever goes wrong once the request is out is not known, and not sent twice."""
    async with hostile(UNCERTAIN[name]) as url, client(url) as gateway:
        assert isinstance(await gateway.refund(BACK), NoAnswer)
        assert isinstance(await gateway.find_refund("key-1", "ch_1"), NoAnswer)


@pytest.mark.parametrize(
    "changes",
    [
        {"idempotency_key": "key-2"},
        {"amount": 1},
        {"currency": "EUR"},
        {"status": "declined", "decline_code": "x"},
        {"refund_id": ""},
    ],
)
async def test_refund_answered_with_something_else(changes: dict[str, object]) -> None:
    """A 201 about another refund, or a charge, says nothing about this one."""
    for body in (REFUND | changes, CHARGE):
        async with hostile(says(answer(201, body))) as url, client(url) as gateway:
            assert isinstance(await gateway.refund(BACK), NoAnswer)


async def test_refund_certainly_not_reached() -> None:
    """A refused connection and the gateway's own promise."""
    async with client("http://gateway.invalid") as gateway:
        assert isinstance(await gateway.refund(BACK), NotReached)
    promise = answer(503, {"error": {"code": "gateway_unavailable", "message": "down"}})
    async with hostile(says(promise)) as url, client(url) as gateway:
        assert await gateway.refund(BACK) == NotReached(reason="gateway_unavailable")


async def test_refunds_against_the_sandbox(tmp_path: Path) -> None:
    """Given back, then too much, then never answered; look-ups tell the truth of each."""
    async with (
        serving("127.0.0.1", 0, str(tmp_path / "gateway.db"), (0, 0)) as url,
        client(url, timeout_s=5) as gateway,
        client(url) as hasty,
    ):
        charged = await gateway.charge(REQUEST)
        assert isinstance(charged, Charged)
        assert await gateway.find_refund("key-1", "ch_1") is None  # a charge's key is no refund's
        request = msgspec.structs.replace(BACK, reference=charged.reference, payment_id=None)
        first = await gateway.refund(request)
        assert isinstance(first, Charged)
        assert first == await gateway.refund(request) == await gateway.find_refund("key-1", "ch_1")
        more = await gateway.refund(msgspec.structs.replace(request, idempotency_key="key-2", amount=1))
        assert isinstance(more, Declined)
        assert (more.code, more) == ("refund_exceeds_charge", await gateway.find_refund("key-2", "ch_1"))

        slow = msgspec.structs.replace(REQUEST, idempotency_key="slow", payment_method="pm_timeout_then_ok")
        assert isinstance(await hasty.charge(slow), NoAnswer)
        found = await gateway.find("slow")
        assert isinstance(found, Charged)
        lost = msgspec.structs.replace(BACK, reference=found.reference, idempotency_key="key-3")
        assert isinstance(await hasty.refund(lost), NoAnswer)
        assert isinstance(await gateway.find_refund("key-3", "ch_1"), Charged)


@pytest.mark.parametrize(
    "said",
    [
        answer(201, {**CHARGE, "charge_id": "4242424242424242"}),
        answer(402, {**CHARGE, "status": "declined", "decline_code": "4242.4242.4242.4242"}),
        answer(201, {**CHARGE, "status": "4242 4242 4242 4242"}),
    ],
)
async def test_card_numbers_in_answers(said: bytes) -> None:
    """What a gateway says is stored and told on: with a card number in it, it is no answer."""
    async with hostile(says(said)) as url, client(url) as gateway:
        result = await gateway.charge(REQUEST)
    assert isinstance(result, NoAnswer)
    assert result.reason
    assert "4242" not in result.reason
