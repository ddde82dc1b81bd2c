"""A route with all that the router, the validation and the OpenAPI document need to know of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from common.kernel.ids import canonical_uuid
from common.web.problems.details import FieldError, invalid

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON_CONTENT_TYPE = "application/json"


@dataclass(frozen=True, kw_only=True)
class Route:
    """One operation of a service."""

    method: str
    path: str  # aiohttp's form: "/api/v1/leases/{lease_id}"
    handler: Handler
    summary: str  # one line for the OpenAPI document
    body: type[msgspec.Struct] | None = None  # the request body
    takes: str | None = None  # in words: a JSON body in somebody else's shape, read as it stands
    headers: dict[str, str] = field(default_factory=dict)  # those that are needed besides, and what they hold
    query: type[msgspec.Struct] | None = None  # the query parameters
    answers: dict[int, tuple[str, Any]] = field(default_factory=dict)  # status → (words, type or media type)
    command: bool = False  # takes Prefer and Idempotency-Key, may answer 202
    problems: tuple[int, ...] = ()  # further error statuses


class NoQuery(msgspec.Struct, forbid_unknown_fields=True):
    """For operations without query parameters: any is refused."""


def path_id(request: web.Request, name: str) -> str:
    """The canonical UUID in the path parameter `name`. Raises ProblemError 422."""
    identifier = canonical_uuid(request.match_info[name])
    if identifier is None:
        raise invalid([FieldError(f"/{name}", "must be a UUID")])
    return identifier


def json_response(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """An answer that is JSON already."""
    return web.Response(body=body, status=status, content_type=JSON_CONTENT_TYPE, headers=headers)
