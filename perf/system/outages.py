"""A running stack as the measurement of outages uses it: leases, attempts, and its gateway taken away."""

import asyncio
import signal
import time
from collections.abc import Sequence
from typing import Any

import aiohttp

from deployment.local.stack import Stack
from perf.targets.sample_lease import terms

GATEWAY = "gateway"
FORMS = ("refuses", "hangs")  # of an outage: connections are refused, or taken and not answered


class System:
    """A running stack from outside."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession) -> None:
        self._stack = stack
        self._session = session

    async def lease(self, number: int) -> tuple[str, list[str]]:
        """Create one: its id, and its payments'."""
        url = f"{self._stack.addresses.http('lease')}/api/v1/leases"
        async with self._session.post(url, json=terms(number)) as response:
            response.raise_for_status()
            lease = await response.json()
        return lease["lease_id"], [row["payment_id"] for row in lease["schedule"]]

    async def attempt(self, payment_id: str, method: str) -> str:
        """Make one: its id."""
        url = f"{self._stack.addresses.http('payment')}/api/v1/payments/{payment_id}/attempt"
        headers = {"Prefer": "wait=30"}
        async with self._session.post(url, json={"payment_method": method}, headers=headers) as response:
            answer = await response.json(content_type=None)
            if response.status not in (201, 202, 402, 502):
                raise aiohttp.ClientError(f"{response.status} to an attempt: {answer}")
        if "attempt_id" in answer:
            return str(answer["attempt_id"])
        return str(answer["resource_url"]).rpartition("/")[2]

    async def states(self, attempt_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """These attempts as they are."""

        async def one(attempt_id: str) -> dict[str, Any]:
            url = f"{self._stack.addresses.http('payment')}/api/v1/attempts/{attempt_id}"
            async with self._session.get(url) as response:
                response.raise_for_status()
                found: dict[str, Any] = await response.json()
                return found

        return {each["attempt_id"]: each for each in await asyncio.gather(*map(one, attempt_ids))}

    async def charges(self, lease_id: str) -> list[dict[str, Any]]:
        """What the gateway has on record of a lease."""
        url = f"{self._stack.addresses.http(GATEWAY)}/v1/charges?lease_id={lease_id}"
        async with self._session.get(url) as response:
            response.raise_for_status()
            items: list[dict[str, Any]] = (await response.json())["items"]
            return items

    async def outage(self, form: str, seconds: float) -> float:
        """Take the gateway away for so long. Returns the Unix time of its return."""
        if form == "hangs":
            self._stack.kill_program(GATEWAY, signal.SIGSTOP)
            await asyncio.sleep(seconds)
            returned = time.time()
            self._stack.kill_program(GATEWAY, signal.SIGCONT)
            return returned
        await asyncio.to_thread(self._stack.stop_program, GATEWAY)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self._stack.start_program, GATEWAY)
        return time.time()
