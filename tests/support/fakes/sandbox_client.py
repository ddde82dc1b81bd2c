"""A stranger with an HTTP client, for the tests of the sandbox gateway."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp


def charge_body(method: str = "pm_card_ok", **changes: Any) -> dict[str, Any]:
    metadata = {"lease_id": "lea-1", "payment_id": "pay-1", "attempt_id": "att-1"}
    metadata.update({name: changes.pop(name) for name in list(changes) if name in metadata})
    return {"amount": 13162, "currency": "USD", "payment_method": method, "metadata": metadata, **changes}


class Client:
    """What a stranger with an HTTP client can do to the gateway."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def post(self, key: str | None, body: Any) -> tuple[int, Any, aiohttp.ClientResponse]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Idempotency-Key": key} if key is not None else {}
        async with self.session.post(f"{self.url}/v1/charges", data=data, headers=headers) as response:
            return response.status, await response.json(), response

    async def refund(
        self, key: str, charge: dict[str, Any], amount: int, /, **changes: Any
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        """Ask for an amount of a charge to be given back."""
        body = {
            "charge_id": charge["charge_id"],
            "amount": amount,
            "currency": charge["currency"],
            "metadata": charge["metadata"] | {"attempt_id": f"att-{key}"},
        }
        headers = {"Idempotency-Key": key}
        async with self.session.post(
            f"{self.url}/v1/refunds", json=body | changes, headers=headers
        ) as response:
            return response.status, await response.json(), response

    async def refunds(self, query: str = "") -> list[dict[str, Any]]:
        async with self.session.get(f"{self.url}/v1/refunds{query}") as response:
            assert response.status == 200
            return list((await response.json())["items"])

    async def get(self, query: str = "") -> tuple[int, Any]:
        async with self.session.get(f"{self.url}/v1/charges{query}") as response:
            return response.status, await response.json()

    async def recorded(self) -> dict[str, Any]:
        """The newest charge, as soon as there is one."""
        for _ in range(500):
            if items := await self.items("?limit=1"):
                return items[0]
            await asyncio.sleep(0.01)
        raise AssertionError("nothing was recorded")

    async def items(self, query: str = "") -> list[dict[str, Any]]:
        status, body = await self.get(query)
        assert status == 200
        assert list(body) == ["items", "next_cursor"]
        return list(body["items"])
