"""The conventions that every front keeps: methods, unknown paths, request ids, tracing, health."""

import asyncio

import aiohttp
import pytest

from common.kernel.ids import uuid7
from common.web.protocol import Runner
from common.web.read_your_writes import Position, token
from common.web.routes import Route
from common.web.server import build_app
from tests.support.builders import bad_values
from tests.support.builders.requests import ALL, COMMANDS, READS, Case, named, request, sample, target
from tests.support.servers.apis import ROUTES, Fronts

pytestmark = pytest.mark.asyncio(loop_scope="session")

COMMON = ("/health", "/livez", "/metrics", "/openapi.json", "/docs")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def allowed(service: str, path: str) -> set[str]:
    methods = {route.method for route in ROUTES[service] if route.path == path}
    return methods | ({"HEAD"} if "GET" in methods else set())


@pytest.mark.parametrize("case", ALL, ids=named)
async def test_wrong_method(fronts: Fronts, case: Case) -> None:
    """405 with exactly the methods that the resource takes."""
    for method in set(METHODS) - allowed(case[0], case[1].path):
        answer = (await fronts.ask(case[0], method, target(case[1]))).problem(405)
        assert set(answer.headers["allow"].split(",")) == allowed(case[0], case[1].path)


@pytest.mark.parametrize("case", ALL, ids=named)
async def test_options(fronts: Fronts, case: Case) -> None:
    """OPTIONS is refused like any other method that is not taken: Allow tells which are."""
    answer = (await fronts.ask(case[0], "OPTIONS", target(case[1]))).problem(405)
    assert set(answer.headers["allow"].split(",")) == allowed(case[0], case[1].path)


@pytest.mark.parametrize("case", [case for case in ALL if case[1].method == "GET"], ids=named)
async def test_head(fronts: Fronts, case: Case) -> None:
    """HEAD is GET without the body (RFC 9110, 9.3.2)."""
    full = await fronts.ask(case[0], "GET", target(case[1]))
    head = await fronts.ask(case[0], "HEAD", target(case[1]))
    assert (head.status, head.headers["content-type"]) == (full.status, full.headers["content-type"])
    assert head.body == b""


@pytest.mark.parametrize("service", ROUTES)
async def test_common_paths(fronts: Fronts, service: str) -> None:
    """Health, metrics and documentation are on every front, for GET and HEAD alone."""
    for path in COMMON:
        answer = await fronts.ask(service, "GET", path)
        assert answer.status == 200, path
        assert answer.body
        assert (await fronts.ask(service, "HEAD", path)).status == 200
        (await fronts.ask(service, "POST", path, {})).problem(405)
    health = (await fronts.ask(service, "GET", "/health")).json
    assert health == {"status": "ok", "checks": {"postgres": "ok", "rabbitmq": "ok"}}


@pytest.mark.parametrize("service", ROUTES)
@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1", "/api/v1/nothing", "/api/v1/leases/", "/API/V1/leases", "/health/"]
)
async def test_unknown_path(fronts: Fronts, service: str, path: str) -> None:
    """A path that is no resource is a 404 problem, whatever the method."""
    for method in METHODS:
        answer = (await fronts.ask(service, method, path)).problem(404)
        assert answer.json["instance"] == path


@pytest.mark.parametrize("service", ROUTES)
async def test_request_id(fronts: Fronts, service: str) -> None:
    """A well-formed X-Request-Id comes back, also with an error; any other is replaced by a UUID."""
    for path in ("/livez", "/nothing", "/api/v1/leases?nothing=1"):
        for good in ("abc-1", "a" * 128, uuid7()):
            answer = await fronts.ask(service, "GET", path, X_Request_Id=good)
            assert answer.headers["x-request-id"] == good
        for bad in ("", "a b", "a" * 129, "<script>", "ü", "a\tb"):
            answer = await fronts.ask(service, "GET", path, X_Request_Id=bad)
            assert len(answer.headers["x-request-id"]) == 36


@pytest.mark.parametrize("service", ROUTES)
async def test_traceparent(fronts: Fronts, service: str) -> None:
    """A well-formed traceparent comes back; any other is dropped."""
    answer = await fronts.ask(service, "GET", "/livez", traceparent=TRACE)
    assert answer.headers["traceparent"] == TRACE
    for bad in (
        "",
        "x",
        TRACE.upper(),
        TRACE + "-00",
        TRACE[:-1],
        TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
    ):
        answer = await fronts.ask(service, "GET", "/livez", traceparent=bad)
        assert "traceparent" not in answer.headers


@pytest.mark.parametrize("case", COMMANDS, ids=named)
@pytest.mark.parametrize(
    "header", [b"traceparent: \xff\xfe", b"traceparent: " + b"x" * 5_000, b"X-Request-Id: \xff"]
)
async def test_commands_with_odd_headers(fronts: Fronts, case: Case, header: bytes) -> None:
    """A good command is taken whatever the headers say that are only passed on."""
    answer = await fronts.send(case[0], request(case, header + b"\r\nPrefer: respond-async"))
    assert answer.status == 202, answer
    assert "traceparent" not in answer.headers


@pytest.mark.parametrize("case", COMMANDS, ids=named)
async def test_respond_async(fronts: Fronts, case: Case) -> None:
    """202 once the broker has the command, with all that the contract promises; never a 404 after it."""
    answer = await fronts.ask(case[0], "POST", target(case[1]), sample(case), Prefer="respond-async")
    assert answer.status == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.json.keys() == {"command_id", "status", "status_url", "resource_url"}
    assert answer.headers["location"] == answer.json["status_url"]
    status = await fronts.ask(case[0], "GET", answer.json["status_url"])
    assert status.status == 200
    assert (status.json["status"], status.json["outcome"]) == ("pending", None)


@pytest.mark.parametrize("case", COMMANDS, ids=named)
async def test_wait(fronts: Fronts, case: Case) -> None:
    """`wait=0` and `wait=1`: no worker runs, so that 202 comes when the time is up."""
    loop = asyncio.get_running_loop()
    for wait_s in (0, 1):
        started = loop.time()
        answer = await fronts.ask(case[0], "POST", target(case[1]), sample(case), Prefer=f"wait={wait_s}")
        assert answer.status == 202
        assert "preference-applied" not in answer.headers
        assert wait_s <= loop.time() - started < wait_s + 0.8


@pytest.mark.parametrize("case", COMMANDS, ids=named)
async def test_key_reused_while_in_flight(fronts: Fronts, case: Case) -> None:
    """Another body with a key that is in flight is 422 at once; the same body shares the first's outcome."""
    key, body = uuid7(), sample(case)
    other = body | {"payment_method": "pm_card_lost"}
    first = asyncio.create_task(
        fronts.ask(case[0], "POST", target(case[1]), body, Idempotency_Key=key, Prefer="wait=1")
    )
    await asyncio.sleep(0.2)
    refused = await fronts.ask(case[0], "POST", target(case[1]), other, Idempotency_Key=key)
    assert refused.status == 422
    assert refused.headers["content-type"].startswith("application/problem+json")
    duplicate = await fronts.ask(
        case[0], "POST", target(case[1]), body, Idempotency_Key=key, Prefer="respond-async"
    )
    assert duplicate.headers["idempotency-replayed"] == "true"
    assert duplicate.json["command_id"] == (await first).json["command_id"]


async def test_token_of_nothing(fronts: Fronts) -> None:
    """A position that was never reached: 503 with Retry-After once the wait is over, not before."""
    given = token(Position("/payment-svc", 7, bad_values.OLD_V7))
    loop = asyncio.get_running_loop()
    started = loop.time()
    path = "/api/v1/audit/metrics"
    answer = await fronts.ask("ledger", "GET", path, Consistency_Token=given, Prefer="wait=1")
    assert answer.problem(503).headers["retry-after"] == "1"
    assert answer.json["type"] == "/problems/not-caught-up"
    assert 0.9 < loop.time() - started < 1.5


@pytest.mark.parametrize("case", READS, ids=named)
async def test_token_of_a_lease_that_is_not(fronts: Fronts, case: Case) -> None:
    """The services that would have told of it know that it was never given: 422 at once."""
    knowing = {"lease": ("/lease-svc", "/payment-svc"), "payment": ("/payment-svc",), "ledger": ()}
    for source in knowing[case[0]]:
        header = f"Consistency-Token: {token(Position(source, 7, bad_values.OLD_V7))}".encode()
        answer = await fronts.send(case[0], request(case, header), within_s=1)
        assert answer.problem(422).pointers == {"/Consistency-Token"}
    nothing = f"Consistency-Token: {token(Position('', 0, bad_values.OLD_V7))}".encode()
    assert (await fronts.send(case[0], request(case, nothing), within_s=1)).status in (200, 404)


async def test_stalled_headers() -> None:
    """A connection whose headers never end is closed."""
    runner = Runner(build_app("Test", [], {}), keepalive_timeout=0.3)
    await runner.setup()
    try:
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        for sent in (b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: "):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(sent)
            async with asyncio.timeout(3):
                assert await reader.read() == b""
            writer.close()
    finally:
        await runner.cleanup()


async def test_an_unexpected_error_tells_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """A defect is a 500 problem with the id under which the log has it, and not one word of what it was."""

    async def broken(_request: aiohttp.web.Request) -> aiohttp.web.Response:
        raise RuntimeError("secret inside")

    route = Route(method="GET", path="/broken", handler=broken, summary="")
    runner = Runner(build_app("Test", [route], {}))
    await runner.setup()
    try:
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/broken") as answer:
            text = await answer.text()
            assert answer.status == 500
            assert answer.content_type == "application/problem+json"
            assert answer.headers["X-Request-Id"] in text
            assert "secret" not in text
    finally:
        await runner.cleanup()
    assert "secret inside" in "".join(capfd.readouterr())


async def test_a_defect_of_the_conventions_themselves(capfd: pytest.CaptureFixture[str]) -> None:
    """Where even the middleware fails, the answer is a 500 problem, and the log has the defect."""

    async def nothing(_request: aiohttp.web.Request) -> aiohttp.web.Response:
        return None  # type: ignore[return-value]

    route = Route(method="GET", path="/nothing", handler=nothing, summary="")
    runner = Runner(build_app("Test", [route], {}))
    await runner.setup()
    try:
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/nothing") as answer:
            text = await answer.text()
            assert (answer.status, answer.content_type) == (500, "application/problem+json")
            assert answer.headers["X-Request-Id"] in text
    finally:
        await runner.cleanup()
    assert "request.failed" in "".join(capfd.readouterr())
