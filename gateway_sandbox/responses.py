"""How the sandbox reads a request and words an answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec
from aiohttp import web

from common.kernel.card_numbers import holds_card_number
from common.web import pagination
from common.web.problems.details import ProblemError
from common.web.sensitive_text import CARD_NUMBER, dangerous_text, suspicious
from gateway_sandbox.database import RecordFailed
from gateway_sandbox.schemas import ErrorBody, Filters, Problem

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_FILTERS = ("payment_id", "lease_id", "attempt_id", "idempotency_key")
_LIMIT_MAX = 1_000


T = TypeVar("T")


class Refused(Exception):
    """A request that cannot be served as it stands. Nothing was recorded."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer with a JSON body."""
    encoded = msgspec.json.encode(body)
    return web.Response(body=encoded, status=status, headers=headers, content_type="application/json")


def error_answer(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An answer that says what went wrong: `{"error": {"code", "message"}}`."""
    return json_answer(ErrorBody(error=Problem(code=code, message=message)), status, headers)


@web.middleware
async def errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Word every refusal, the framework's own included (404, 405, 413), in the gateway's error shape."""
    try:
        return await handler(request)
    except Refused as refused:
        return error_answer(refused.status, refused.code, refused.message)
    except RecordFailed as failed:
        return error_answer(500, "record_failed", str(failed))
    except web.HTTPException as error:
        allow = error.headers.get("Allow")
        code = error.reason.lower().replace(" ", "_")
        return error_answer(error.status, code, error.reason, {"Allow": allow} if allow else None)


def idempotency_key(request: web.Request) -> str:
    """The request's `Idempotency-Key`: one header of 1 to 255 printable ASCII characters, else 400."""
    given = request.headers.getall("Idempotency-Key", [])
    if len(given) == 1 and _KEY.fullmatch(given[0]):
        if holds_card_number(given[0]):
            raise _card_number("Idempotency-Key")
        return given[0]
    raise Refused(
        400, "idempotency_key_invalid", "one Idempotency-Key of 1 to 255 printable ASCII characters is needed"
    )


def decoded(decoder: msgspec.json.Decoder[T], body: bytes, invalid: str) -> T:
    """The body. Raises Refused: 400 where it is no JSON, 422 (`invalid`) where it is not as wanted."""
    try:
        if suspicious(body):
            for wrong in dangerous_text(msgspec.json.decode(body), ""):
                raise Refused(422, invalid, f"{wrong.pointer or 'the body'} {wrong.detail}")
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Refused(422, invalid, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, "not_json", str(error)) from None


def _card_number(name: str) -> Refused:
    return Refused(422, "card_number", f"{name} {CARD_NUMBER}")


def filters(request: web.Request, of: str, *more: str) -> Filters:
    """The filters of a look-up in the list `of`, with `more` names than charges have.

    An empty one counts as not given. Unknown or repeated ones are 422, and cursors of another list.
    """
    query = request.query
    known = (*_FILTERS, *more, "limit", "cursor")
    for name in query:
        if name not in known or len(query.getall(name)) > 1:
            raise Refused(422, "filter_invalid", f"only {', '.join(known)} are known, each at most once")
    given = {name: value for name, value in query.items() if value and name not in ("limit", "cursor")}
    for name, value in given.items():
        if holds_card_number(value):
            raise _card_number(name)
        if not _KEY.fullmatch(value):
            raise Refused(422, "filter_invalid", f"{name} is 1 to 255 printable ASCII characters")
    return Filters(
        **given, limit=_limit(query.get("limit") or "100"), before=_before(of, query.get("cursor") or None)
    )


def next_cursor(of: str, earliest: int | None) -> str | None:
    """The cursor of the page before the one that begins with this number, if there is one."""
    return None if earliest is None else pagination.write(of, str(earliest))


def _before(of: str, given: str | None) -> int | None:
    try:
        return None if given is None else pagination.read_number(of, given)
    except ProblemError:
        raise Refused(422, "cursor_invalid", "cursor is none that this list has given") from None


def _limit(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= _LIMIT_MAX:
        return int(text)
    raise Refused(422, "limit_invalid", f"limit is a whole number from 1 to {_LIMIT_MAX}")
