"""A client that trusts nobody: it checks every answer's form, and keeps its own record of every command.

That record is what the invariants are checked against after a fault: every command whose fate is `ok` has
exactly one effect, every `unknown` one has one or none, whatever the system's own books say.
"""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiohttp
import msgspec

ELSEWHERE = "elsewhere-"  # how keys of refunds begin that the service has not asked for
TIMEOUT_S = 40.0  # longer than any wait that the contract allows


class Fate(StrEnum):
    """What the client may believe of a command it has sent."""

    OK = "ok"  # 2xx: it has happened, or certainly will
    REJECTED = "rejected"  # 4xx, 502: an answer that will stay the same
    UNKNOWN = "unknown"  # 503, or no answer at all


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Answer({self.status}, {dict(self.headers)}, {self.body[:500]!r})"

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)

    @property
    def token(self) -> dict[str, str]:
        """The header that makes a later read wait for this write."""
        return {"Consistency-Token": self.headers["Consistency-Token"]}


@dataclass
class Sent:
    """A command, and what became of it as far as this client was told."""

    path: str
    body: dict[str, Any]
    key: str | None
    fate: Fate = Fate.UNKNOWN
    answer: Answer | None = None  # the last one; None: the connection broke
    statuses: list[int] = field(default_factory=list)  # of all tries; 0: the connection broke


class Front:
    """One service over HTTP. Every answer has to keep the contract's conventions."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self._base_url = base_url
        self.sent: list[Sent] = []

    async def get(self, path: str, **headers: str) -> Answer:
        """GET; headers as keywords, `_` for `-`."""
        return await self._request("GET", path, None, _named(headers))

    async def post(self, path: str, body: Mapping[str, Any] | bytes, **headers: str) -> Answer:
        """POST of JSON; headers as keywords, `_` for `-`."""
        return await self._request("POST", path, body, _named(headers))

    async def send(self, path: str, body: dict[str, Any], key: str | None = None, **headers: str) -> Sent:
        """POST of a command that is recorded with its fate; an outage is a fate and not an exception."""
        sent = Sent(path=path, body=body, key=key)
        self.sent.append(sent)
        await self.send_again(sent, **headers)
        return sent

    async def send_again(self, sent: Sent, **headers: str) -> None:
        """Send a recorded command once more, under its key if it has one."""
        if sent.key is not None:
            headers["Idempotency_Key"] = sent.key
        try:
            sent.answer = await self.post(sent.path, sent.body, **headers)
        except (aiohttp.ClientError, OSError, TimeoutError):
            sent.answer = None
        sent.statuses.append(sent.answer.status if sent.answer else 0)
        sent.fate = _fate(sent.answer)

    async def until_known(self, sent: Sent, within_s: float = 20.0) -> None:
        """Send a command of unknown fate again and again under its key, as a careful client does."""
        assert sent.key is not None
        async with asyncio.timeout(within_s):
            while sent.fate is Fate.UNKNOWN:
                await self.send_again(sent)

    async def outcome(self, answer: Answer, within_s: float = 20.0) -> dict[str, Any]:
        """What `/commands/{id}` says of a command answered with 202, once it is no longer pending."""
        async with asyncio.timeout(within_s):
            while True:
                status: dict[str, Any] = (await self.get(answer.json["status_url"])).json
                if status["status"] != "pending":
                    return status
                await asyncio.sleep(0.02)

    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | bytes | None, headers: dict[str, str]
    ) -> Answer:
        content: Any = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        if content is not None:
            headers.setdefault("Content-Type", "application/json")
        async with self._session.request(
            method, self._base_url + path, data=content, headers=headers
        ) as response:
            answer = Answer(response.status, response.headers.copy(), await response.read())
        _check_conventions(path, answer)
        return answer


class Client:
    """The three services, and the gateway's own record."""

    def __init__(self, session: aiohttp.ClientSession, urls: Mapping[str, str]) -> None:
        self._session = session
        self._gateway = urls["gateway"]
        self.leases = Front(session, urls["lease"])
        self.payments = Front(session, urls["payment"])
        self.ledger = Front(session, urls["ledger"])

    async def create(self, terms: dict[str, Any], **headers: str) -> tuple[dict[str, Any], Answer]:
        """A new lease, and the whole answer."""
        answer = await self.leases.post("/api/v1/leases", terms, **headers)
        assert answer.status == 201, answer
        return answer.json, answer

    async def attempt(
        self, payment_id: str, method: str = "pm_card_ok", amount: int | None = None, **headers: str
    ) -> Answer:
        """Try to collect an instalment."""
        body = {"payment_method": method} | ({} if amount is None else {"amount": amount})
        return await self.payments.post(f"/api/v1/payments/{payment_id}/attempt", body, **headers)

    async def refund(self, attempt_id: str, amount: int | None = None, **headers: str) -> Answer:
        """Give back what an attempt collected, or a part of it."""
        body: dict[str, Any] = {"reason": "returned"} | ({} if amount is None else {"amount": amount})
        return await self.payments.post(f"/api/v1/attempts/{attempt_id}/refund", body, **headers)

    async def refunds(self, **filters: str) -> list[dict[str, Any]]:
        """What the gateway says it has given back."""
        async with self._session.get(f"{self._gateway}/v1/refunds", params=filters) as response:
            assert response.status == 200
            items: list[dict[str, Any]] = (await response.json())["items"]
            return items

    async def refund_elsewhere(self, charge: Mapping[str, Any], amount: int) -> None:
        """Have the gateway give back money of a charge behind the service's back."""
        body = {name: charge[name] for name in ("charge_id", "currency", "metadata")} | {"amount": amount}
        headers = {"Idempotency-Key": f"{ELSEWHERE}{uuid.uuid4()}"}
        url = f"{self._gateway}/v1/refunds"
        async with self._session.post(url, json=body, headers=headers) as response:
            assert response.status == 201

    async def dispute(self, charge_id: str, amount: int) -> int:
        """Have the issuer take money of a charge back; gives the answer's status."""
        url = f"{self._gateway}/v1/charges/{charge_id}/dispute"
        async with self._session.post(url, json={"amount": amount}) as response:
            return response.status

    async def charges(self, **filters: str) -> list[dict[str, Any]]:
        """The gateway's own record."""
        async with self._session.get(f"{self._gateway}/v1/charges", params=filters) as response:
            assert response.status == 200
            items: list[dict[str, Any]] = (await response.json())["items"]
            return items

    async def charge(self, attempt: Mapping[str, Any]) -> None:
        """Hand the gateway a charge under an attempt's key, as the payment worker does."""
        metadata = {name: attempt[name] for name in ("lease_id", "payment_id", "attempt_id")}
        body = {name: attempt[name] for name in ("amount", "currency", "payment_method")}
        headers = {"Idempotency-Key": attempt["attempt_id"]}
        url = f"{self._gateway}/v1/charges"
        async with self._session.post(url, json=body | {"metadata": metadata}, headers=headers) as response:
            assert response.status == 201


def open_session() -> aiohttp.ClientSession:
    """A session without a limit of its own: the tests bound their load themselves."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)
    )


def fresh_key() -> str:
    """An Idempotency-Key nobody has used."""
    return f"key-{uuid.uuid4()}"


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _fate(answer: Answer | None) -> Fate:
    if answer is None or answer.status == 503:
        return Fate.UNKNOWN
    return Fate.OK if answer.status < 300 else Fate.REJECTED


def _check_conventions(path: str, answer: Answer) -> None:
    """What every answer of a front has to keep, whatever it says."""
    said = f"{path}: {answer}"
    assert answer.headers.get("X-Request-Id"), said
    assert answer.status != 500, said
    if answer.status in (429, 502, 503):
        assert int(answer.headers["Retry-After"]) >= 1, said
    if answer.status in (201, 202):
        assert answer.headers["Location"].startswith("/api/v1/"), said
    if answer.status == 201:
        assert answer.headers["Consistency-Token"].isascii(), said
    if answer.status >= 400 and path != "/health":
        assert answer.headers["Content-Type"].startswith("application/problem+json"), said
        problem = answer.json
        assert problem["status"] == answer.status, said
        assert {"type", "title", "detail", "instance"} <= problem.keys(), said
