"""The sandbox gateway against bad input: always a 4xx with a JSON error, and never anything on its record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway_sandbox.app import serving
from gateway_sandbox.latency import Limits


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with serving("127.0.0.1", 0, str(tmp_path / "gateway.db"), (0, 0), Limits(body_s=0.3)) as base:
        yield f"{base}/v1/charges"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def body_with(**changes: Any) -> bytes:
    """A good body with something in it changed; fields of the metadata by their own names."""
    metadata = {"lease_id": "lea-1", "payment_id": "pay-1", "attempt_id": "att-1"}
    metadata.update({name: changes.pop(name) for name in list(changes) if name in metadata})
    good = {"amount": 13162, "currency": "USD", "payment_method": "pm_card_ok", "metadata": metadata}
    return json.dumps({**good, **changes}).encode()


async def recorded(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as response:
        return len((await response.json())["items"])


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=-1",
        "limit=1&limit=2",
        "lease=1",
        "lease_id=%ff",
        "lease_id=%00",
        "lease_id=" + "x" * 256,
    ],
)
async def test_bad_filters(session: aiohttp.ClientSession, url: str, query: str) -> None:
    """A look-up that cannot be meant is 422, never a wrong list."""
    async with session.get(f"{url}?{query}") as response:
        assert response.status == 422
        assert (await response.json())["error"]["code"] in ("filter_invalid", "limit_invalid")


@pytest.mark.parametrize("key", [None, "k" * 256, "schlüssel"])
async def test_bad_key(session: aiohttp.ClientSession, url: str, key: str | None) -> None:
    """Without a printable key of up to 255 characters there is no charge."""
    headers = {} if key is None else {"Idempotency-Key": key}
    async with session.post(url, data=body_with(), headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "idempotency_key_invalid"
    assert await recorded(session, url) == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"amount": NaN}', 400),
        (b'{"amount": 1, "metadata": "\\ud800"}', 400),
        (b" " * (64 * 1024 + 1), 413),
        (b"[]", 422),
        (b"[" * 20_000, 422),
        (b'{"amount": ' + b"9" * 5_000 + b"}", 422),
        (body_with(amount=0), 422),
        (body_with(amount=1.5), 422),
        (body_with(amount="1"), 422),
        (body_with(amount=True), 422),
        (body_with(amount=10**15 + 1), 422),
        (body_with(currency="usd"), 422),
        (body_with(tip=1), 422),
        (body_with(metadata={}), 422),
        (body_with(lease_id=None), 422),
        (body_with(lease_id="a\n"), 422),
        (body_with(attempt_id="\u0000"), 422),
        (b'{"amount": 1, "currency": "USD", "payment_method": "pm_card_ok"}', 422),
    ],
)
async def test_bad_body(session: aiohttp.ClientSession, url: str, body: bytes, status: int) -> None:
    """A body that is not a charge says so in JSON."""
    async with session.post(url, data=body, headers={"Idempotency-Key": "key-1"}) as response:
        assert response.status == status
        assert set((await response.json())["error"]) == {"code", "message"}
    assert await recorded(session, url) == 0


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n\r\n", b"400"),
        (b"Content-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnot gzip", b"400"),
        (b"Content-Length: 100\r\n\r\n{", b"408"),
    ],
)
async def test_broken_transfer(session: aiohttp.ClientSession, url: str, rest: bytes, status: bytes) -> None:
    """A broken chunk, a body that is not the gzip it claims to be, and one that stalls are 4xx as well."""
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/charges HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\n" + rest)
    answer = await asyncio.wait_for(reader.readline(), 2)
    writer.close()
    assert answer.split()[1] == status
    assert await recorded(session, url) == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/livez", 200),
        ("GET", "/health", 200),
        ("GET", "/nothing", 404),
        ("DELETE", "/v1/charges", 405),
    ],
)
async def test_other_routes(
    session: aiohttp.ClientSession, url: str, method: str, path: str, status: int
) -> None:
    """The health routes answer, and the framework's own refusals are worded as JSON too."""
    async with session.request(method, url.removesuffix("/v1/charges") + path) as response:
        assert response.status == status
        assert ("error" in await response.json()) == (status >= 400)
        assert ("Allow" in response.headers) == (status == 405)


CARD = "4242.4242.4242.4242"


async def test_card_numbers(session: aiohttp.ClientSession, url: str) -> None:
    """In whatever field of whatever request, and as a name of one: 422, nothing on the record, no echo."""
    refunds, dispute = url.replace("charges", "refunds"), f"{url}/ch_1/dispute"
    places = ("payment_method", "lease_id", "payment_id", "attempt_id", "currency", "more", CARD)
    bodies = [(url, body_with(**{name: CARD})) for name in places]
    bodies += [
        (url, body_with(payment_method=form)) for form in ("\uff14\uff12" * 8, "4242\n4242\r\n4242/4242")
    ]
    whose = {"lease_id": "lea-1", "attempt_id": "att-1"}
    refund = {"charge_id": "ch_1", "amount": 1, "currency": "USD", "metadata": whose}
    bodies += [(refunds, json.dumps(refund | {"charge_id": CARD}).encode())]
    bodies += [(refunds, json.dumps(refund | {"metadata": whose | {CARD: "x"}}).encode())]
    bodies += [(dispute, json.dumps({"amount": 1, "reason": CARD}).encode())]
    asked = [("POST", where, body, "key-1") for where, body in bodies]
    asked += [("POST", where, body_with(), CARD) for where in (url, refunds)]
    asked += [("GET", f"{where}?lease_id={CARD}", None, "key-1") for where in (url, refunds)]
    for verb, where, body, key in asked:
        async with session.request(verb, where, data=body, headers={"Idempotency-Key": key}) as response:
            assert response.status == 422, (where, body)
            assert "4242" not in await response.text()
    assert await recorded(session, url) == 0
