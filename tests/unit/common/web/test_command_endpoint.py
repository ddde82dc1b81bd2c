"""A command's way through a front, with a broker that may refuse it: what is answered, and kept."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDict

from common.errors import BrokerFull, BrokerUnavailable, Unroutable
from common.kernel.ids import uuid7
from common.messaging.envelope import Outcome, decode_command
from common.web import read_your_writes
from common.web.command_endpoint import CommandEndpoint
from common.web.field_types import Identifier
from common.web.routes import Route
from common.web.server import build_app


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    amount: int


class Told(msgspec.Struct, forbid_unknown_fields=True):
    of: Identifier | None = None
    note: str = ""


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
async def client(publisher: Publisher, replies: Replies, pool: Pool) -> AsyncIterator[TestClient[Any, Any]]:
    front = CommandEndpoint("queue", cast(Any, publisher), cast(Any, replies), cast(Any, pool))

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


async def test_command_ids(client: TestClient[Any, Any], publisher: Publisher, replies: Replies) -> None:
    """Every answer to a command names it, also a repetition's and one to a key that was used before."""
    publisher.replies = replies
    key = uuid7()
    _, body, headers = await send(client, Idempotency_Key=key, Prefer="respond-async")
    first = publisher.commands[0].command_id
    assert headers["Command-Id"] == body["command_id"] == first
    for amount, status in ((1, 202), (2, 422)):  # no worker: it is not recorded, so the front alone knows it
        found, _, headers = await send(client, amount, Idempotency_Key=key, Prefer="respond-async")
        assert (found, headers["Command-Id"]) == (status, first)
    _, _, headers = await send(client)
    assert headers["Command-Id"] == publisher.commands[-1].command_id != first


@pytest.mark.parametrize(
    ("failure", "named"), [(BrokerUnavailable("away"), True), (RuntimeError(), True), (BrokerFull(""), False)]
)
async def test_command_ids_of_failures(
    client: TestClient[Any, Any], publisher: Publisher, failure: Exception, named: bool
) -> None:
    """What may yet be carried out can be asked for; what was certainly not taken is no command."""
    publisher.failure = failure
    _, _, headers = await send(client)
    assert ("Command-Id" in headers) is named
    publisher.failure = None
    async with client.post("/api/v1/wishes", json={"amount": "x"}) as refused:
        assert (refused.status, "Command-Id" in refused.headers) == (422, False)


async def test_outcomes_without_a_token(
    client: TestClient[Any, Any], publisher: Publisher, replies: Replies
) -> None:
    """A rejection about no lease and the refusal of a reused key have a token, which stands for nothing."""
    publisher.replies = replies
    key = uuid7()
    _, _, answered = await send(client, Idempotency_Key=key)
    _, _, _ = await send(client, Idempotency_Key=key, Prefer="respond-async")
    status, _, reused = await send(client, 2, Idempotency_Key=key)
    assert status == 422
    for headers in (answered, reused):
        assert read_your_writes.read_token(headers["Consistency-Token"]).sequence == 0


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TOKEN = read_your_writes.token(
    read_your_writes.Position("/lease-svc", 1, "01890a5d-ac96-774b-8bce-b302099a8057")
)


@pytest.mark.parametrize(
    "headers",
    [
        [("Idempotency-Key", "a"), ("Idempotency-Key", "b")],
        [("Idempotency-Key", "a"), ("Idempotency-Key", "a")],
        [("Consistency-Token", TOKEN), ("Consistency-Token", TOKEN)],
        [("Consistency-Token", f"{TOKEN}, {TOKEN}")],
        [("traceparent", TRACE), ("traceparent", TRACE)],
        [("traceparent", f"{TRACE},{TRACE}")],
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_headers_with_one_value(
    client: TestClient[Any, Any], publisher: Publisher, headers: list[tuple[str, str]], method: str
) -> None:
    """Sent twice, in two lines or in one, they are 400, wherever; nothing is published or passed on."""
    path = "/api/v1/wishes" if method == "POST" else "/livez"
    async with client.request(method, path, json={"amount": 1}, headers=CIMultiDict(headers)) as answer:
        assert (answer.status, (await answer.json())["type"]) == (400, "/problems/repeated-header")
        assert "traceparent" not in answer.headers
    assert publisher.commands == []


async def test_a_comma_within_a_key(client: TestClient[Any, Any], publisher: Publisher) -> None:
    """It is a printable character like others: such a key is one value."""
    status, _, _ = await send(client, Idempotency_Key="a, b", Prefer="respond-async")
    assert (status, publisher.commands[0].idempotency_key) == (202, "a, b")


async def test_two_request_ids(client: TestClient[Any, Any]) -> None:
    """Neither is echoed: which of them is meant, nobody knows."""
    async with client.get("/livez", headers=[("X-Request-Id", "a"), ("X-Request-Id", "b")]) as answer:
        assert answer.status == 200
        assert len(answer.headers["X-Request-Id"]) == 36


async def test_tokens_are_looked_at_everywhere(client: TestClient[Any, Any], publisher: Publisher) -> None:
    """One that nobody has given is 422 with a POST and with a GET that waits for nothing."""
    for method, path in (("POST", "/api/v1/wishes"), ("GET", "/livez")):
        for token in ("", "x", TOKEN + "AAAA"):
            headers = {"Consistency-Token": token}
            async with client.request(method, path, json={"amount": 1}, headers=headers) as answer:
                assert answer.status == 422
    assert publisher.commands == []


async def test_the_outcome(client: TestClient[Any, Any], publisher: Publisher, replies: Replies) -> None:
    """The worker's outcome is the answer, also when it is faster than the confirm."""
    publisher.replies = replies
    status, body, headers = await send(client)
    assert (status, body, headers["Location"]) == (201, {"done": True}, "/x")
    assert replies.waiting == 0
    [command] = publisher.commands
    assert (command.type, msgspec.json.decode(command.data)) == ("Wish", {"amount": 1})
    assert command.idempotency_key is None


async def test_duplicates_in_flight(
    client: TestClient[Any, Any], publisher: Publisher, replies: Replies
) -> None:
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


@pytest.mark.parametrize(("failure", "ids"), [(BrokerUnavailable("away"), 1), (BrokerFull("full"), 0)])
async def test_a_duplicate_of_what_was_not_taken(
    client: TestClient[Any, Any], publisher: Publisher, failure: Exception, ids: int
) -> None:
    """The broker refuses the first, and so its duplicates: none hangs, all name the one command."""
    publisher.failure, publisher.delay_s = failure, 0.1
    key = uuid7()
    answers = await asyncio.gather(*(send(client, Idempotency_Key=key) for _ in range(5)))
    assert {status for status, _, _ in answers} == {503}
    named = [headers["Command-Id"] for _, _, headers in answers if "Command-Id" in headers]
    assert (len(named), len(set(named))) == (5 * ids, ids)


async def test_a_duplicate_of_what_is_known_so_far(
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
    monkeypatch.setattr("common.web.command_endpoint.MAX_WAITING", 3)
    for _ in range(3):
        replies.expect(uuid7())
    status, _, headers = await send(client)
    assert (status, headers["Retry-After"]) == (503, "1")


SOME = "01890a5d-ac96-774b-8bce-b302099a8057"


async def test_ids_in_a_fingerprint(publisher: Publisher, replies: Replies) -> None:
    """Ids in the path and in fields for ids are the same in any case of letters; other text is not."""
    front = CommandEndpoint("queue", cast(Any, publisher), cast(Any, replies), cast(Any, Pool()))
    prints: list[str | None] = []

    async def wish(request: web.Request) -> web.Response:
        prints.append((await front.read(request, Told))[1])
        return web.Response()

    path = "/api/v1/wishes/{wish_id}"
    route = Route(method="POST", path=path, handler=wish, summary="", body=Told, command=True)
    capitals = SOME.upper()
    asked = [(SOME, SOME, SOME), (capitals, capitals, SOME), (capitals, SOME, SOME), (SOME, SOME, capitals)]
    async with TestClient(TestServer(build_app("Test", [route], {}))) as client:
        for identifier, of, note in asked:
            body = {"of": of, "note": note}
            headers = {"Idempotency-Key": "k"}
            async with client.post(f"/api/v1/wishes/{identifier}", json=body, headers=headers) as answer:
                assert answer.status == 200
    first, second, third, other = prints
    assert first == second == third != other
