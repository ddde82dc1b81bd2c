"""The system whose exports are falsified, from outside: leases that live, and the ledger's downloads."""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp

METHODS = ("pm_card_ok", "pm_card_ok", "pm_card_insufficient_funds", "pm_card_lost", "pm_gateway_down")
FORMS = ("ndjson", "json")
SETTLED_S = 2.0  # without a new event
TIMEOUT_S = 120.0


class Lives:
    """Leases with a little of everything in them, over HTTP."""

    def __init__(
        self, session: aiohttp.ClientSession, url: Callable[[str], str], chance: random.Random
    ) -> None:
        self._session = session
        self._url = url  # of a service
        self._chance = chance
        self.leases: list[dict[str, Any]] = []

    async def begin(self) -> None:
        """One more lease."""
        body = {
            "customer_id": f"tamper-{len(self.leases)}",
            "currency": self._chance.choice(["USD", "JPY", "KWD"]),
            "principal": self._chance.randrange(10_000, 1_000_000),
            "annual_rate": "0.12",
            "term": self._chance.randint(1, 12),
            "frequency": "monthly",
            "start_date": "2026-01-01",
            "metadata": {"note": 'café "¼" ✓'},
        }
        self.leases.append(await self._post("lease", "leases", body))

    async def go_on(self, lease: dict[str, Any]) -> None:
        """Some attempts, perhaps a refund, perhaps an end."""
        for row in lease["schedule"][: self._chance.randrange(5)]:
            path = f"payments/{row['payment_id']}/attempt"
            made = await self._post("payment", path, {"payment_method": self._chance.choice(METHODS)})
            if made.get("status") == "succeeded" and self._chance.random() < 0.2:
                await self._post("payment", f"attempts/{made['attempt_id']}/refund", {"reason": "returned"})
        end = self._chance.random()
        if end < 0.2:
            path = f"leases/{lease['lease_id']}/payoff"
            await self._post("payment", path, {"payment_method": "pm_card_ok"})
        elif end < 0.3:
            await self._post("lease", f"leases/{lease['lease_id']}/charge-off", {"reason": "gone"})

    async def _post(self, service: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What comes, be it a refusal: they are told of as well."""
        async with self._session.post(f"{self._url(service)}/api/v1/{path}", json=body) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            if response.status == 422:
                raise SystemExit(f"{path}: {answer}")
            return answer


class Ledger:
    """The ledger's front."""

    def __init__(self, session: aiohttp.ClientSession, base: str, leases: Sequence[dict[str, Any]]) -> None:
        self._session = session
        self._base = f"{base}/api/v1/audit"
        paths = [f"leases/{lease['lease_id']}/export" for lease in leases]
        self._paths = [*paths, *["export"] * (len(paths) // 4)]  # so many times the whole ledger

    async def key(self) -> str:
        """The public key; in real life it was had long before, and elsewhere."""
        return (await self._get("public-key")).decode()

    async def settled(self) -> None:
        """Return when no more events come."""
        count, since = -1, 0.0
        async with asyncio.timeout(TIMEOUT_S):
            while since < SETTLED_S:
                await asyncio.sleep(0.25)
                now = json.loads(await self._get("metrics"))["events_total"]
                since = since + 0.25 if now == count else 0.0
                count = now

    async def download(self, number: int) -> tuple[str, bytes]:
        """The export number so and so, of every sort in turn: its sort, and the file as it came."""
        turn, at = divmod(number, len(self._paths))
        path, form, packed = self._paths[at], FORMS[turn % 2], turn // 2 % 2 == 1
        headers = {"Accept-Encoding": "gzip" if packed else "identity"}
        body = await self._get(f"{path}?format={form}", **headers)
        sort = f"{'ledger' if path == 'export' else 'lease'}, {form}{', gzip' if packed else ''}"
        return sort, body

    async def _get(self, path: str, **headers: str) -> bytes:
        async with self._session.get(f"{self._base}/{path}", headers=headers) as response:
            response.raise_for_status()
            return await response.read()
