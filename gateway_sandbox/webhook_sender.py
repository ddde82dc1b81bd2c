"""Sends the sandbox's webhooks, signed, until they are taken; what is to be sent survives a restart."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from typing import TYPE_CHECKING

import aiohttp
import msgspec

from gateway_sandbox.disputes import Waiting

if TYPE_CHECKING:
    from gateway_sandbox.database import Record

AT_ONCE = 20
TIMEOUT_S = 15.0  # longer than the other side waits for its own outcome
FIRST_PAUSE_S = 0.5  # doubled each time …
LONGEST_PAUSE_S = 60.0  # … up to this
SENDS_MAX = 100  # then it is given up, after some hour and a half
RECORD_PAUSE_S = 1.0  # after trouble with the record


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where webhooks go."""

    url: str = ""
    secret: str = ""  # what they are signed with; empty: none are sent, they wait for one

    def __repr__(self) -> str:
        return f"Destination({self.url!r}, …)"


class Courier:
    """The notices of one record on their way to one destination."""

    def __init__(self, record: Record, destination: Destination) -> None:
        self._record = record
        self._to = destination
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There is something new to be sent."""
        self._woken.set()

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        if not self._to.secret:
            return
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                self._woken.clear()
                try:
                    pause_s = await self._round(session)
                except Exception:  # the record's: what is due stays due
                    pause_s = RECORD_PAUSE_S
                try:
                    async with asyncio.timeout(pause_s):
                        await self._woken.wait()
                except TimeoutError:
                    pass

    async def _round(self, session: aiohttp.ClientSession) -> float | None:
        """Send what is due; gives the seconds until more is, None where nothing waits."""
        due = await self._record.due(time.time(), AT_ONCE)
        await asyncio.gather(*(self._send(session, notice) for notice in due.notices))
        if due.notices:
            return 0
        return None if due.next_at is None else max(0.0, due.next_at - time.time())

    async def _send(self, session: aiohttp.ClientSession, notice: Waiting) -> None:
        again_at: float | None = None
        if not await self._taken(session, notice.body) and notice.sends + 1 < SENDS_MAX:
            again_at = time.time() + min(FIRST_PAUSE_S * 2 ** min(notice.sends, 20), LONGEST_PAUSE_S)
        await self._record.sent(notice.seq, again_at)

    async def _taken(self, session: aiohttp.ClientSession, body: bytes) -> bool:
        headers = {"Content-Type": "application/json", "Stripe-Signature": self._signature(body)}
        try:
            async with session.post(
                self._to.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return 200 <= response.status < 300
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    def _signature(self, body: bytes) -> str:
        """In Stripe's scheme: https://docs.stripe.com/webhooks#verify-manually"""
        at = str(int(time.time()))
        signed = hmac.new(self._to.secret.encode(), at.encode() + b"." + body, hashlib.sha256)
        return f"t={at},v1={signed.hexdigest()}"
