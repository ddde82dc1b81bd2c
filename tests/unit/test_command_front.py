"""A command's way through a front, with a broker that may refuse it: what is answered, and kept."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from common.envelope import Outcome, decode_command
from common.errors import BrokerFull, BrokerUnavailable, Unroutable
from common.http.commands import CommandFront
from common.http.routes import Route
from common.http.server import build_app
from common.ids import uuid7


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    amount: int


class Publisher:
    """Takes what comes, or raises what it is told to."""

    connected = True

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.commands: list[Any] = []
        self.replies: Replies | None = None
        self.delay_s = 0.0
        self.reply_after_s: float | None = None  # None: the reply is faster than the confirm

    async def publish(self, body: bytes, **_properties: object) -> None:
        await asyncio.sleep(self.delay_s)
        if self.failure is not None:
            raise self.failure
        command = decode_command(body)
        self.commands.append(command)
        if self.replies is not None and self.reply_after_s is None:
            self.replies.resolve(command.command_id)
        elif self.replies is not None and self.reply_after_s is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(self.reply_after_s, self.replies.resolve, command.command_id)


class Replies:
    """Knows the outcome as soon as it is told to."""

    queue = "replies.test"

    def __init__(self) -> None:
        self.futures: dict[str, asyncio.Future[Outcome]] = {}

    @property
    def waiting(self) -> int:
        return len(self.futures)

    def expect(self, command_id: str) -> asyncio.Future[Outcome]:
        return self.futures.setdefault(command_id, asyncio.get_running_loop().create_future())

    def forget(self, command_id: str) -> None:
        self.futures.pop(command_id, None)

    def resolve(self, command_id: str) -> None:
        body = msgspec.Raw(b'{"done":true}')
        outcome = Outcome(
            command_id=command_id, status="succeeded", http_status=201, body=body, location="/x"
        )
        if command_id in self.futures:
            self.futures[command_id].set_result(outcome)


class Pool:
    """An inbox in which nothing is, unless it is told to have it."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    async def fetch(self, *_arguments: object) -> list[Any]:
        return self.rows


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


@pytest.fixture
def replies() -> Replies:
    return Replies()


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture
async def client(
    publisher: Publisher, replies: Replies, pool: Pool
) -> AsyncIterator[TestClient[Any, Any]]:
    front = CommandFront("queue", cast(Any, publisher), cast(Any, replies), cast(Any, pool))

    async def wish(request: web.Request) -> web.Response:
        value, fingerprint = await front.read(request, Wish)
        return await front.submit(request, "Wish", value, fingerprint=fingerprint, resource_url="/x")

    route = Route(method="POST", path="/api/v1/wishes", handler=wish, summary="", body=Wish, command=True)
    async with TestClient(TestServer(build_app("Test", [route], {}))) as opened:
        yield opened


async def send(client: TestClient[Any, Any], amount: int = 1, **headers: str) -> tuple[int, Any, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.post("/api/v1/wishes", json={"amount": amount}, headers=named) as answer:
        return answer.status, await answer.json(content_type=None), answer.headers


@pytest.mark.parametrize(
    ("failure", "status", "retry_after"),
    [
        (BrokerFull("secret"), 503, "5"),
        (BrokerUnavailable("secret"), 503, "1"),
        (Unroutable("secret"), 500, None),
        (RuntimeError("secret"), 500, None),
    ],
)
async def test_not_taken(
    client: TestClient[Any, Any],
    publisher: Publisher,
    replies: Replies,
    failure: Exception,
    status: int,
    retry_after: str | None,
) -> None:
    """Never a 202 for what the broker has not confirmed; the key is free for another try."""
    key = uuid7()
    publisher.failure = failure
    for preference in ("respond-async", "wait=1"):
        found, body, headers = await send(client, Idempotency_Key=key, Prefer=preference)
        assert (found, body["status"], headers.get("Retry-After")) == (status, status, retry_after)
        assert "secret" not in str(body)
    assert replies.waiting == 0
    publisher.failure = None
    assert (await send(client, Idempotency_Key=key, Prefer="respond-async"))[0] == 202


async def test_the_outcome(client: TestClient[Any, Any], publisher: Publisher, replies: Replies) -> None:
    """The worker's outcome is the answer, also when it is faster than the confirm."""
    publisher.replies = replies
    status, body, headers = await send(client)
    assert (status, body, headers["Location"]) == (201, {"done": True}, "/x")
    assert replies.waiting == 0
    [command] = publisher.commands
    assert (command.type, msgspec.json.decode(command.data)) == ("Wish", {"amount": 1})
    assert command.idempotency_key is None


async def test_twins_in_flight(client: TestClient[Any, Any], publisher: Publisher, replies: Replies) -> None:
    """Ten at once with one key and body: one command, one outcome for all; another body is refused."""
    publisher.replies, publisher.delay_s, publisher.reply_after_s = replies, 0.1, 0.1
    key = uuid7()
    answers = await asyncio.gather(
        *(send(client, Idempotency_Key=key) for _ in range(10)), send(client, 2, Idempotency_Key=key)
    )
    assert sorted(status for status, _, _ in answers) == [201] * 10 + [422]
    assert len(publisher.commands) == 1
    replayed = [headers.get("Idempotency-Replayed") for status, _, headers in answers if status == 201]
    assert (replayed.count("true"), replayed.count(None)) == (9, 1)
    assert replies.waiting == 0


async def test_a_twin_of_what_was_not_taken(client: TestClient[Any, Any], publisher: Publisher) -> None:
    """The first is refused by the broker: its twins are as well, and none hangs."""
    publisher.failure, publisher.delay_s = BrokerUnavailable("away"), 0.1
    key = uuid7()
    answers = await asyncio.gather(*(send(client, Idempotency_Key=key) for _ in range(5)))
    assert {status for status, _, _ in answers} == {503}


async def test_a_twin_of_what_is_known_so_far(
    client: TestClient[Any, Any], publisher: Publisher, replies: Replies, pool: Pool
) -> None:
    """While the record is pending with an answer, that is given at once; afterwards its end is."""
    key = uuid7()
    assert (await send(client, Idempotency_Key=key, Prefer="respond-async"))[0] == 202
    [command] = publisher.commands
    row = {
        "command_id": command.command_id,
        "idempotency_key": key,
        "fingerprint": command.fingerprint,
        "status": "pending",
        "http_status": 202,
        "body": b'{"status":"unknown"}',
        "location": "/x",
        "token": None,
        "original_id": None,
        "completed_at": None,
    }
    pool.rows = [row]
    for preference in ("wait=30", "respond-async"):
        status, body, headers = await send(client, Idempotency_Key=key, Prefer=preference)
        assert (status, body, headers["Idempotency-Replayed"]) == (202, {"status": "unknown"}, "true")
    pool.rows = [row | {"status": "rejected", "http_status": 402, "body": b'{"decline":{}}'}]
    assert (await send(client, Idempotency_Key=key))[:2] == (402, {"decline": {}})
    assert len(publisher.commands) == 1
    assert replies.waiting == 0


async def test_too_many_waiting(
    client: TestClient[Any, Any], replies: Replies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past its limit a front tells others to come back, instead of taking what it cannot hold."""
    monkeypatch.setattr("common.http.commands.MAX_WAITING", 3)
    for _ in range(3):
        replies.expect(uuid7())
    status, _, headers = await send(client)
    assert (status, headers["Retry-After"]) == (503, "1")
