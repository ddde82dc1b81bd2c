"""The sandbox gateway's memory, over real sockets and a real file: keys, restarts and look-ups."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway_sandbox.app import serving
from tests.support.fakes.sandbox_client import Client, charge_body


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Client]:
    async with (
        serving("127.0.0.1", 0, str(tmp_path / "gateway.db"), (0, 0)) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Client(url, session)


async def test_same_key_at_once(gateway: Client) -> None:
    """Fifty requests with one key at the same time make one charge and get one answer."""
    answers = await asyncio.gather(*[gateway.post("key-1", charge_body()) for _ in range(50)])
    assert {status for status, _, _ in answers} == {201}
    assert len({json.dumps(body) for _, body, _ in answers}) == 1
    replayed = [response.headers.get("Idempotent-Replayed") for _, _, response in answers]
    assert (replayed.count(None), replayed.count("true")) == (1, 49)
    assert len(await gateway.items()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 13163},
        {"currency": "EUR"},
        {"attempt_id": "att-2"},
        {"payment_id": None},
        {"method": "pm_slow"},
    ],
)
async def test_key_with_another_body(gateway: Client, changes: dict[str, Any]) -> None:
    """A known key with anything else in the body is refused, and the first charge stays as it was."""
    _, first, _ = await gateway.post("key-1", charge_body())
    status, body, _ = await gateway.post("key-1", charge_body(**changes))
    assert (status, body["error"]["code"]) == (422, "idempotency_key_reused")
    assert await gateway.items() == [first]


async def test_restart_keeps_the_record(tmp_path: Path) -> None:
    """After a restart charges are found, keys are replayed and declines still counted."""
    third = charge_body("pm_card_ok_on_third")
    path = str(tmp_path / "gateway.db")
    async with serving("127.0.0.1", 0, path, (0, 0)) as url, aiohttp.ClientSession() as session:
        gateway = Client(url, session)
        first = [(await gateway.post(key, third))[:2] for key in ("key-1", "key-2")]
    async with serving("127.0.0.1", 0, path, (0, 0)) as url, aiohttp.ClientSession() as session:
        gateway = Client(url, session)
        assert await gateway.items() == [charge for _, charge in first]
        assert [(await gateway.post(key, third))[:2] for key in ("key-1", "key-2")] == first
        assert (await gateway.post("key-3", third))[0] == 201


async def test_killed_in_the_middle(tmp_path: Path) -> None:
    """Every charge that was answered is there after the process was killed while charging."""
    path = str(tmp_path / "gateway.db")
    script = (
        "import asyncio, sys\n"
        "from gateway_sandbox.app import serving\n"
        "async def main():\n"
        "    async with serving('127.0.0.1', 0, sys.argv[1], (0, 0)) as url:\n"
        "        print(url, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, path, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    answered: set[str] = set()

    async def keep_charging(gateway: Client, n: int) -> None:
        for m in range(10_000):
            key = f"key-{n}-{m}"
            assert (await gateway.post(key, charge_body()))[0] == 201
            answered.add(key)

    async with aiohttp.ClientSession() as session:
        calls = [asyncio.create_task(keep_charging(Client(url, session), n)) for n in range(20)]
        await asyncio.sleep(0.5)
        process.kill()
        await asyncio.gather(*calls, return_exceptions=True)
    await process.wait()
    assert answered
    with closing(sqlite3.connect(path)) as book:
        kept = {key for (key,) in book.execute("SELECT idempotency_key FROM charges")}
    assert answered <= kept


async def test_record_that_fails(tmp_path: Path) -> None:
    """Where the record cannot be written the answer is a 500, nobody hangs, and it recovers by itself."""
    path = str(tmp_path / "gateway.db")
    async with serving("127.0.0.1", 0, path, (0, 0)) as url, aiohttp.ClientSession() as session:
        gateway = Client(url, session)
        with closing(sqlite3.connect(path)) as saboteur:
            saboteur.execute("ALTER TABLE charges RENAME TO elsewhere")
            failed = await asyncio.gather(*[gateway.post(f"key-{n}", charge_body()) for n in range(5)])
            assert {(status, body["error"]["code"]) for status, body, _ in failed} == {(500, "record_failed")}
            async with session.get(f"{url}/health") as response:
                assert response.status == 503
            saboteur.execute("ALTER TABLE elsewhere RENAME TO charges")
        assert (await gateway.post("key-1", charge_body()))[0] == 201
        assert len(await gateway.items()) == 1


async def test_filters(gateway: Client) -> None:
    """Filters narrow together, an empty one counts as absent, and the newest `limit` come newest last."""
    for n in range(4):
        whose: dict[str, Any] = {
            "lease_id": f"lea-{n % 2}",
            "payment_id": f"pay-{n}" if n else None,
            "attempt_id": f"att-{n}",
        }
        await gateway.post(f"k&+%20 {n}", charge_body(**whose))

    async def attempts(query: str) -> list[str]:
        return [charge["metadata"]["attempt_id"] for charge in await gateway.items(query)]

    assert await attempts("") == ["att-0", "att-1", "att-2", "att-3"]
    assert await attempts("?limit=2") == ["att-2", "att-3"]
    assert await attempts("?lease_id=lea-1") == ["att-1", "att-3"]
    assert await attempts("?lease_id=lea-1&payment_id=pay-3") == ["att-3"]
    assert await attempts("?lease_id=lea-1&payment_id=pay-2") == []
    assert await attempts("?payment_id=&lease_id=lea-0&attempt_id=&idempotency_key=") == ["att-0", "att-2"]
    assert await attempts("?idempotency_key=k%26%2B%2520%203") == ["att-3"]
