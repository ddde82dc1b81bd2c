"""The OpenAPI 3.1 document and a page of it, generated from the routes and the types that validate."""

import html
import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from common.web.problems import types as problem_types
from common.web.problems.details import CONTENT_TYPE as PROBLEM_CONTENT_TYPE
from common.web.problems.details import Problem
from common.web.routes import JSON_CONTENT_TYPE, Route

VERSION = "1.0.0"


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """The command is safe with the broker; its outcome is not there yet, or was not waited for."""

    command_id: str
    status: Annotated[str, Meta(description='"pending"')]
    status_url: str
    resource_url: str


COMMAND_HEADERS = [
    (
        "Idempotency-Key",
        "1–255 printable ASCII: the same key and body gets the first answer again",
        {"type": "string"},
    ),
    ("Prefer", "`respond-async`, or `wait=N` seconds (30 at most, 10 by default)", {"type": "string"}),
]
HEADERS_BACK = {
    "Command-Id": {
        "description": "the command that the request has become; where it was refused before, there is none",
        "schema": {"type": "string", "format": "uuid"},
    },
    "Consistency-Token": {
        "description": "of an outcome, a rejection too: for reads that are to include what it has changed",
        "schema": {"type": "string"},
    },
}
READ_HEADERS = [
    (
        "Consistency-Token",
        "from an earlier answer: wait until what is read has caught up",
        {"type": "string"},
    ),
]


def document(title: str, routes: Sequence[Route]) -> bytes:
    """The OpenAPI document as JSON."""
    types = [Problem, Pending]
    for route in routes:
        types += [model for model in (route.body, route.query) if model is not None]
        types += [model for _, model in route.answers.values() if not isinstance(model, str)]
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, components)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": title, "version": VERSION},
            "paths": paths,
            "components": {"schemas": components, "headers": HEADERS_BACK},
        }
    )


def page(title: str, routes: Sequence[Route]) -> str:
    """The operations as one self-contained HTML page."""
    rows = "".join(
        f"<tr><td><code>{route.method}</code></td><td><code>{html.escape(route.path)}</code></td>"
        f"<td>{html.escape(route.summary)}</td>"
        f"<td>{', '.join(str(status) for status in _statuses(route))}</td></tr>"
        for route in routes
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "td,th{padding:.4rem .8rem;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}"
        "table{border-collapse:collapse;width:100%}</style>"
        f"<h1>{html.escape(title)}</h1><p>Types, fields, limits: <a href=/openapi.json>openapi.json</a>.</p>"
        f"<table><tr><th>Method<th>Path<th>What it does<th>Answers</tr>{rows}</table></html>"
    )


def _operation(route: Route, components: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if route.query is not None:
        schema = components.get(route.query.__name__, {})
        parameters += [
            {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": field}
            for name, field in schema.get("properties", {}).items()
        ]
    reads = route.path.startswith("/api/") and route.takes is None
    headers = COMMAND_HEADERS if route.command else READ_HEADERS if reads else []
    parameters += [
        {"name": name, "in": "header", "required": False, "description": words, "schema": schema}
        for name, words, schema in headers
    ]
    parameters += [
        {"name": name, "in": "header", "required": True, "description": words, "schema": {"type": "string"}}
        for name, words in route.headers.items()
    ]
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_"),
        "summary": route.summary,
        "parameters": parameters,
        "responses": {str(status): _answer(route, status) for status in _statuses(route)},
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {JSON_CONTENT_TYPE: {"schema": _ref(route.body)}},
        }
    if route.takes is not None:
        operation["requestBody"] = {
            "required": True,
            "description": route.takes,
            "content": {JSON_CONTENT_TYPE: {"schema": {"type": "object"}}},
        }
    return operation


def _statuses(route: Route) -> list[int]:
    statuses = {*route.answers, *route.problems}
    if route.path.startswith("/api/"):
        statuses |= {422, 503}
    if route.command:
        statuses |= {202}
    if route.body is not None or route.takes is not None:
        statuses |= {400, 408, 413, 415}
    return sorted(statuses)


def _answer(route: Route, status: int) -> dict[str, Any]:
    response = _response(route, status)
    if not route.command:
        return response
    return response | {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS_BACK}}


def _response(route: Route, status: int) -> dict[str, Any]:
    if status == 202 and route.command:
        words, schema = "Safe with the broker, not done yet", _ref(Pending)
        if status in route.answers:  # an outcome may be a 202 as well
            more, model = route.answers[status]
            words, schema = f"{words}; or: {more}", {"anyOf": [schema, _ref(model)]}
        return {"description": words, "content": {JSON_CONTENT_TYPE: {"schema": schema}}}
    if status in route.answers:
        words, model = route.answers[status]
        if model == PROBLEM_CONTENT_TYPE:
            return {"description": words, "content": {model: {"schema": _ref(Problem)}}}
        if isinstance(model, str):
            return {"description": words, "content": {model: {}}}
        return {"description": words, "content": {JSON_CONTENT_TYPE: {"schema": _ref(model)}}}
    words = "; or: ".join(f"{each.title} (`{each.uri}`)" for each in problem_types.of_status(status))
    return {"description": words, "content": {PROBLEM_CONTENT_TYPE: {"schema": _ref(Problem)}}}


def _ref(model: Any) -> dict[str, Any]:
    return msgspec.json.schema_components([model], ref_template="#/components/schemas/{name}")[0][0]
