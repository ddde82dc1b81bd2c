"""What a problem's `type` leads to: a page for people, or the same as JSON where a client asks for it."""

import html

import msgspec
from aiohttp import hdrs, web

from common.web.headers.fields import preferred
from common.web.problems import types
from common.web.problems.details import ProblemError
from common.web.problems.types import ProblemType
from common.web.routes import JSON_CONTENT_TYPE, json_response

_HEAD = ("Status", "Type", "Title", "What has happened", "What to do")
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "td,th{padding:.4rem .8rem;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}"
    "table{border-collapse:collapse;width:100%}td:nth-child(2){white-space:nowrap}"
)


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of problem, as it is told to a program."""

    type: str
    title: str
    status: int
    meaning: str
    remedy: str
    members: str | None  # of the body, besides the standard ones; in words


class All(msgspec.Struct, frozen=True, kw_only=True):
    """All kinds of problems; one page holds them."""

    items: list[Described]
    next_cursor: None = None


async def every_type(request: web.Request) -> web.Response:
    """GET /problems"""
    if _as_json(request):
        return _told(All(items=[_described(each) for each in types.ALL]))
    return _page("Problems", types.table())


async def one_type(request: web.Request) -> web.Response:
    """GET /problems/{name}"""
    kind = types.BY_NAME.get(request.match_info["name"])
    if kind is None:
        raise ProblemError(404, "There is no such kind of problem.")
    if _as_json(request):
        return _told(_described(kind))
    return _page(kind.title, types.table([kind]))


def _as_json(request: web.Request) -> bool:
    accept = request.headers.getall(hdrs.ACCEPT, [])
    return preferred(accept, ("text/html", JSON_CONTENT_TYPE)) == JSON_CONTENT_TYPE


def _described(kind: ProblemType) -> Described:
    return Described(
        type=kind.uri,
        title=kind.title,
        status=kind.status,
        meaning=kind.meaning,
        remedy=kind.remedy,
        members=kind.members or None,
    )


def _told(what: msgspec.Struct) -> web.Response:
    return json_response(msgspec.json.encode(what), headers={hdrs.VARY: hdrs.ACCEPT})


def _page(title: str, rows: list[tuple[str, str, str, str, str]]) -> web.Response:
    cells = [[html.escape(cell.replace("`", "")) for cell in row] for row in rows]
    lines = "".join(f"<tr><td>{'<td>'.join(row)}</tr>" for row in cells)
    text = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>"
        f"<table><tr><th>{'<th>'.join(_HEAD)}</tr>{lines}</table>"
        f"<p><a href={types.PATH}>All kinds of problems</a> · <a href=/docs>All operations</a></html>"
    )
    return web.Response(text=text, content_type="text/html", headers={hdrs.VARY: hdrs.ACCEPT})
