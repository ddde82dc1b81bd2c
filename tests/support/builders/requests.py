"""Every operation of every service, and the requests for it."""

import json
from collections.abc import Iterator
from typing import Any

from common.web.routes import Route
from tests.support.builders import bad_values
from tests.support.servers.apis import ROUTES

Case = tuple[str, Route]
# But those that read a body of somebody else's shape once its signature is good: test_webhooks.py has them.
ALL: list[Case] = [
    (service, route) for service, routes in ROUTES.items() for route in routes if route.takes is None
]
WITH_BODY = [case for case in ALL if case[1].body is not None]
WITH_ID = [case for case in ALL if "{" in case[1].path]
COMMANDS = [case for case in ALL if case[1].command]
READS = [case for case in ALL if case[1].method == "GET" and "/commands/" not in case[1].path]


def named(case: Case) -> str:
    return f"{case[1].method} {case[1].path}"


def target(route: Route, identifier: str = bad_values.OLD_V7) -> str:
    """The route's path with an id in it."""
    start, brace, rest = route.path.partition("{")
    return start + identifier + rest.partition("}")[2] if brace else start


def query_of(case: Case) -> tuple[str, ...]:
    """Names of the route's query parameters."""
    return case[1].query.__struct_fields__ if case[1].query else ()


def sample(case: Case) -> dict[str, Any]:
    return bad_values.BODIES[case[0], case[1].path]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value but the top, as keys and indexes."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, member in members:
        yield (*at, key)
        yield from places(member, (*at, key))


def replaced(value: Any, at: tuple[Any, ...], by: Any) -> Any:
    """A copy with something else at a place."""
    if not at:
        return by
    copy = value.copy()
    copy[at[0]] = replaced(value[at[0]], at[1:], by)
    return copy


def pointer(at: tuple[Any, ...]) -> str:
    return "".join(f"/{key}" for key in at)


def request(case: Case, header: bytes, body: bytes | None = None) -> bytes:
    """The route's request with one more header, with the query it needs, and its sample body or another."""
    service, route = case
    query = f"?{needed}" if (needed := bad_values.NEEDED_QUERY.get(route.path)) else ""
    lines = [f"{route.method} {target(route)}{query} HTTP/1.1".encode(), b"Host: x", header]
    content = b""
    if route.body is not None:
        content = json.dumps(bad_values.BODIES[service, route.path]).encode() if body is None else body
        lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(content)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + content
