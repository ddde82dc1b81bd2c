"""From what the services tell of themselves to the text of every generated file."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec
from aiohttp import web

from common.docgen.fields import Field, fields, nested, sentence
from common.messaging import topology
from common.messaging.envelope import Event, encode
from common.web.problems import types

_EVENTS = "events"
_HEAD = "<!-- Generated from the code by `make docs`: change the code, not this page. -->\n\n"
_READERS = {
    topology.LEASE_PAYMENT_EVENTS: "the lease service",
    topology.PAYMENT_LEASE_EVENTS: "the payment service",
    topology.LEDGER_STREAM: "the ledger",
}
_INTRODUCTION = """\
# Events

Each event is one [CloudEvents 1.0](https://github.com/cloudevents/spec) message in structured JSON
(`application/cloudevents+json`), published to the topic exchange `events` with its type as routing key. It
has all that a projection or an auditor needs, and its bytes never change.

Rules for a reader:

- **Order and repeats.** `sequence` counts 1, 2, 3 … without gaps for each `source` and `subject` (the lease).
  Ignore a number that you have seen. A number that is too far ahead means that an event is missing.
- **Growth.** Fields may be added; ignore those you do not know. A changed meaning is a new type.
- **Money** is an integer of the currency's minor unit (cents), **days** are `YYYY-MM-DD`, **instants** are
  RFC 3339 in UTC with microseconds.
- **Batches.** Under load, events of one type and of different leases share a message
  (`application/cloudevents-batch+json`, an array of events). Every reader takes both forms.

"""


_PROBLEMS = """\
# Problems

Every answer of 400 and above is `application/problem+json`
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)): `type`, `title`, `status`, `detail` and `instance`, and
for some types further members. `type` names the kind of problem, and `title` belongs to it; `detail` is about
this one occurrence and for people. Programs look at `type`, and at `status` for a type that they do not know:
types may be added. It is a URI reference with a full path, the same on every service, and leads to the kind's
page on the service that has answered (HTML, or JSON with `Accept: application/json`); `/problems` lists all.

"""
_PROBLEM_HEAD = ("status", "type", "title", "what has happened", "what to do")


class Documented(msgspec.Struct, frozen=True, kw_only=True):
    """What a service's `docs.documented()` gives."""

    name: str  # of the OpenAPI file: "lease"
    app: web.Application  # its front, as it is served
    catalogue: Mapping[str, type[msgspec.Struct]] = {}  # event type → type of its data
    examples: Mapping[str, Event] = {}  # event type → one whole event
    pages: Mapping[str, str] = {}  # any other page: its path below docs/reference/, and its text


def files(services: Iterable[Documented]) -> dict[str, str]:
    """Every generated file: its path below docs/reference/, and its text."""
    made: dict[str, str] = {}
    rows = []
    for service in services:
        made[f"openapi/{service.name}.json"] = _pretty(_openapi(service.app))
        made |= {path: _HEAD + text for path, text in service.pages.items()}
        for type_, model in service.catalogue.items():
            example = service.examples[type_]
            made[f"{_EVENTS}/{type_}.md"] = _page(type_, model, example)
            made[f"{_EVENTS}/schemas/{type_}.json"] = _pretty(encode(schema(type_, model, example.source)))
            rows.append((f"[`{type_}`]({type_}.md)", f"`{example.source}`", sentence(model)))
    made["problems.md"] = _HEAD + _PROBLEMS + table(_PROBLEM_HEAD, types.table())
    made[f"{_EVENTS}/README.md"] = (
        _HEAD
        + _INTRODUCTION
        + table(("type", "source", "meaning"), rows)
        + "\n## The envelope\n\n"
        + "Every event has these fields; `data` is described on the type's own page.\n\n"
        + _field_table(fields(Event))
    )
    return made


def schema(type_: str, model: type[msgspec.Struct], source: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a whole event of one type."""
    (_, data), components = msgspec.json.schema_components([Event, model], ref_template="#/$defs/{name}")
    whole = components.pop(Event.__name__)
    whole["title"] = type_
    whole["description"] = sentence(model)
    whole["properties"] |= {"type": {"const": type_}, "source": {"const": source}, "data": data}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **whole,
        "$defs": {key: _growing(component) for key, component in components.items()},
    }


def _growing(component: dict[str, Any]) -> dict[str, Any]:
    """A reader of events passes over fields that it does not know, also where a request refuses them."""
    return {key: value for key, value in component.items() if key != "additionalProperties" or value}


def _openapi(app: web.Application) -> bytes:
    """What the front answers to `GET /openapi.json`."""
    handlers = {
        each.resource.canonical: each.handler
        for each in app.router.routes()
        if each.resource is not None and each.method == "GET"
    }
    handler = cast(Any, handlers["/openapi.json"])
    answer: web.Response = asyncio.run(handler(None))  # it looks at no request
    return bytes(cast(bytes, answer.body))


def _page(type_: str, model: type[msgspec.Struct], example: Event) -> str:
    parts = [
        f"{_HEAD}# `{type_}`\n\n{sentence(model)}\n",
        f"Published by `{example.source}`. Read by {_readers(type_)}. "
        f"[JSON Schema](schemas/{type_}.json) · [all events](README.md)\n",
        f"## `data`\n\n{_field_table(fields(model))}",
    ]
    parts += [
        f"### {struct.__name__}\n\n{sentence(struct)}\n\n{_field_table(fields(struct))}"
        for struct in nested(model)
    ]
    parts.append(f"## Example\n\n```json\n{_pretty(encode(example))}```\n")
    return "\n".join(parts)


def _readers(type_: str) -> str:
    bindings = [
        (queue.name, queue.binding) for queue in topology.WORK_QUEUES if queue.exchange == topology.EVENTS
    ]
    bindings.append((topology.LEDGER_STREAM, ["#"]))
    return " and ".join(
        f"{_READERS[queue]} (`{queue}`)"
        for queue, keys in bindings
        if any(type_ == key or (key.endswith("#") and type_.startswith(key[:-1])) for key in keys)
    )


def _field_table(rows: Iterable[Field]) -> str:
    return table(("field", "type", "meaning"), [(f"`{row.name}`", row.shape, row.meaning) for row in rows])


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _pretty(body: bytes) -> str:
    """JSON for people: two spaces, characters as they are, a line feed at the end."""
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False) + "\n"
