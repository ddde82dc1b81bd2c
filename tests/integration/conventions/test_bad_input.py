"""Bad input at every operation: a 4xx problem that names what is wrong, and nothing published or changed."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from common.web import pagination
from tests.support.builders import bad_values
from tests.support.builders.requests import (
    ALL,
    COMMANDS,
    READS,
    WITH_BODY,
    WITH_ID,
    Case,
    named,
    places,
    pointer,
    query_of,
    replaced,
    request,
    sample,
    target,
)
from tests.support.servers.apis import ROUTES, Fronts

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def nothing_changes(fronts: Fronts) -> AsyncIterator[None]:
    """Around every test here: queues and tables are what they were."""
    async with fronts.unmoved():
        yield


async def test_samples_are_complete() -> None:
    """Every operation with a body, and every query parameter, is in the tables of this test."""
    assert {(service, route.path) for service, route in WITH_BODY} == set(bad_values.BODIES)
    for _, route in ALL:
        assert set(query_of(("", route))) <= set(bad_values.BAD_QUERY)
    for case in WITH_BODY:
        assert case[1].body
        assert set(case[1].body.__struct_fields__) - set(sample(case)) <= {"seq"}


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
async def test_wrong_body(fronts: Fronts, case: Case) -> None:
    """Whatever is not the JSON object that is wanted."""
    for what, body, statuses in bad_values.WRONG_BODIES:
        answer = await fronts.ask(case[0], case[1].method, target(case[1]), body)
        assert answer.status in statuses, what
        answer.problem(*statuses)
        assert len(answer.body) < 20_000, what  # bad input is not repeated at length


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
async def test_chunked_body_over_the_limit(fronts: Fronts, case: Case) -> None:
    """The limit holds where no Content-Length announces the length."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(70):
            yield b" " * 1024

    (await fronts.ask(case[0], case[1].method, target(case[1]), chunks())).problem(413)


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
async def test_the_largest_body_is_read(fronts: Fronts, case: Case) -> None:
    """65,536 bytes are within the limit: the answer is about what is in them."""
    body = b'{"nothing": "known"' + b" " * (65_536 - 20) + b"}"
    answer = await fronts.ask(case[0], case[1].method, target(case[1]), body)
    assert "/nothing" in answer.problem(422).pointers


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
async def test_wrong_values_everywhere(fronts: Fronts, case: Case) -> None:
    """Values that fit nowhere, at every place of the body: 422 with a pointer to the place or into it."""
    service, route = case
    for at in places(sample(case)):
        for value in bad_values.NEVER_RIGHT:
            body = replaced(sample(case), at, value)
            answer = (await fronts.ask(service, route.method, target(route), body)).problem(422)
            assert all(named.startswith(pointer(at)) for named in answer.pointers), (
                at,
                value,
                answer.pointers,
            )


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
async def test_wrong_tokens_everywhere(fronts: Fronts, case: Case) -> None:
    """JSON that no encoder writes, at every place of the body."""
    service, route = case
    for at in places(sample(case)):
        text = json.dumps(replaced(sample(case), at, "@here@")).encode()
        for token, statuses in bad_values.NEVER_RIGHT_RAW:
            body = text.replace(b'"@here@"', token)
            (await fronts.ask(service, route.method, target(route), body)).problem(*statuses)


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
async def test_all_wrong_fields_are_named(fronts: Fronts, case: Case) -> None:
    """Every field wrong at once and one unknown beside them: each has its pointer."""
    body = {name: [["wrong"]] for name in sample(case)} | {"unknown": 1}
    answer = (await fronts.ask(case[0], case[1].method, target(case[1]), body)).problem(422)
    assert {f"/{pointer.split('/')[1]}" for pointer in answer.pointers} == {f"/{name}" for name in body}


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
async def test_all_missing_fields_are_named(fronts: Fronts, case: Case) -> None:
    """An empty object names what is required."""
    assert case[1].body
    required = {
        f"/{name}"
        for name in case[1].body.__struct_fields__[: -len(case[1].body.__struct_defaults__) or None]
    }
    answer = (await fronts.ask(case[0], case[1].method, target(case[1]), {})).problem(422)
    assert answer.pointers >= required


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
async def test_wrong_content_type(fronts: Fronts, case: Case) -> None:
    """Only JSON is read."""
    body = json.dumps(sample(case)).encode()
    for content_type in (
        "",
        "text/plain",
        "application/xml",
        "application/json-patch+json",
        "application/x-www-form-urlencoded",
        "json",
        ";",
    ):
        answer = await fronts.ask(case[0], case[1].method, target(case[1]), body, Content_Type=content_type)
        answer.problem(415)


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
async def test_charset_is_allowed(fronts: Fronts, case: Case) -> None:
    """A parameter of the media type does not make it another one."""
    answer = await fronts.ask(
        case[0], case[1].method, target(case[1]), b"[]", Content_Type="application/json; charset=utf-8"
    )
    answer.problem(422)


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
@pytest.mark.parametrize(
    ("rest", "statuses"),
    [
        (b"Content-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnot gzip", (400,)),
        (b"Content-Encoding: deflate\r\nContent-Length: 2\r\n\r\n{}", (415,)),
        (b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n\r\n", (400,)),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n", (400,)),
    ],
)
async def test_broken_transfer(fronts: Fronts, case: Case, rest: bytes, statuses: tuple[int, ...]) -> None:
    """A body that is not encoded as its headers say."""
    head = f"{case[1].method} {target(case[1])} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    (await fronts.send(case[0], head.encode() + rest)).problem(*statuses)


@pytest.mark.parametrize("case", WITH_BODY, ids=named)
async def test_stalled_body(fronts: Fronts, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that stops half-way is answered when its time is up."""
    monkeypatch.setattr("common.web.server.BODY_TIMEOUT_S", 0.2)
    head = f"{case[1].method} {target(case[1])} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    answer = await fronts.send(case[0], head.encode() + b'Content-Length: 100\r\n\r\n{"princ', within_s=2)
    answer.problem(408)


@pytest.mark.parametrize("case", WITH_ID, ids=named)
async def test_wrong_ids(fronts: Fronts, case: Case) -> None:
    """Ids that are none, in every path that has one."""
    service, route = case
    for identifier in bad_values.BAD_IDS:
        body = sample(case) if route.body else None
        answer = await fronts.ask(service, route.method, target(route, identifier), body)
        answer.problem(404, 422)
        assert b"4111111111111111" not in answer.body


@pytest.mark.parametrize("case", WITH_ID, ids=named)
@pytest.mark.parametrize(
    "identifier", ["ffffffff-ffff-7fff-bfff-ffffffffffff", "00000000-0000-0000-0000-000000000000"]
)
async def test_unlikely_ids(fronts: Fronts, case: Case, identifier: str) -> None:
    """UUIDs from beyond the end of time are UUIDs of nothing."""
    body = {"unknown": 1} if case[1].body else None
    answer = await fronts.ask(case[0], case[1].method, target(case[1], identifier), body)
    answer.problem(404, 422)


@pytest.mark.parametrize("case", [case for case in ALL if case[1].path.startswith("/api/")], ids=named)
async def test_wrong_query(fronts: Fronts, case: Case) -> None:
    """Unknown, repeated and malformed query parameters are refused by name."""
    service, route = case
    body = sample(case) if route.body else None
    wrong = [("unknown", "unknown=1"), ("unknown", "unknown"), ("Limit", "Limit=5"), ("(not shown)", "%00=1")]
    for name in query_of(case):
        wrong += [(name, f"{name}={value}") for value in bad_values.BAD_QUERY[name]]
        wrong.append((name, f"{name}=1&{name}=1"))
    needed = bad_values.NEEDED_QUERY.get(route.path, "")
    let_pass = []
    for name, query in wrong:
        if needed and not needed.startswith(f"{name}="):
            query = f"{needed}&{query}"
        answer = await fronts.ask(service, route.method, f"{target(route)}?{query}", body)
        if answer.status != 422 or f"/{name}" not in answer.problem(422).pointers:
            let_pass.append((query, answer.status, answer.body[:200]))
    assert not let_pass


@pytest.mark.parametrize("case", [case for case in READS if "cursor" in query_of(case)], ids=named)
async def test_large_cursors(fronts: Fronts, case: Case) -> None:
    """A number that no page ends with is within the type of the column, or refused."""
    its = bad_values.LISTS[case[1].path]
    for number in (2**31 - 1, 2**31, 2**32, 10**18 - 1):
        given = pagination.write(its, str(number))
        answer = await fronts.ask(case[0], "GET", f"{target(case[1])}?cursor={given}")
        assert answer.status in (200, 404, 422), (number, answer)


@pytest.mark.parametrize("case", COMMANDS, ids=named)
async def test_wrong_idempotency_keys(fronts: Fronts, case: Case) -> None:
    """A key that is not 1 to 255 printable ASCII characters is refused, not ignored."""
    for key in bad_values.BAD_KEYS:
        answer = (await fronts.send(case[0], request(case, b"Idempotency-Key: " + key))).problem(400, 422)
        if answer.status == 422:  # 400: what HTTP itself does not allow in a header
            assert "/Idempotency-Key" in answer.pointers


@pytest.mark.parametrize("case", ALL, ids=named)
async def test_wrong_consistency_tokens(fronts: Fronts, case: Case) -> None:
    """A token that no service has given is refused by every operation, not waited for."""
    for token in bad_values.BAD_TOKENS:
        header = b"Consistency-Token: " + token
        answer = (await fronts.send(case[0], request(case, header), within_s=1)).problem(400, 422)
        if answer.status == 422:
            assert "/Consistency-Token" in answer.pointers


@pytest.mark.parametrize("case", ALL, ids=named)
async def test_odd_preferences(fronts: Fronts, case: Case) -> None:
    """Preferences that mean nothing are ignored, as RFC 7240 has it."""
    for preference in bad_values.ODD_PREFERENCES:
        answer = await fronts.send(case[0], request(case, b"Prefer: " + preference, body=b"[]"))
        assert answer.status in ((422,) if case[1].body else (200, 404)), (preference, answer)


@pytest.mark.parametrize("case", ALL, ids=named)
async def test_odd_trace_headers(fronts: Fronts, case: Case) -> None:
    """Headers that are only passed on break nothing, and go on only where they are well-formed."""
    for header in (b"traceparent: \xff\xfe", b"traceparent: 00-zz-11-01", b"X-Request-Id: \xff\x80 x"):
        answer = await fronts.send(case[0], request(case, header, body=b"[]"))
        assert answer.status in ((422,) if case[1].body else (200, 404)), (header, answer)
        assert "traceparent" not in answer.headers


@pytest.mark.parametrize("service", ROUTES)
async def test_odd_paths(fronts: Fronts, service: str) -> None:
    """Paths in no encoding, and none at all."""
    for path in (
        b"/\xff\xfe",
        b"/%ff%fe",
        b"/api/v1/leases/\xff",
        b"/" + b"x" * 9_000,
        b"//",
        b"/..",
        b"*",
        b"x",
    ):
        answer = await fronts.send(service, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        answer.problem(400, 404, 414, 422)


@pytest.mark.parametrize("service", ROUTES)
async def test_what_is_not_http(fronts: Fronts, service: str) -> None:
    """Broken requests are problems as well, or the connection is closed."""
    for sent in (
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n",
        b"POST /api/v1/leases HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/leases HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ):
        answer = await fronts.send(service, sent + b"\r\n\r\n")
        if answer.status:
            answer.problem(400, 404, 431)
