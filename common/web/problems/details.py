"""Errors as `application/problem+json` (RFC 9457)."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from common.web.problems import types
from common.web.problems.types import ProblemType

CONTENT_TYPE = "application/problem+json"
MAX_FIELDS_IN_WORDS = 10  # of a 422's detail; `errors` has them all


class FieldError(msgspec.Struct, frozen=True, order=True):
    """One wrong field: a JSON pointer (RFC 6901) into the request, and what is wrong with it."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every answer of 400 and above."""

    type: Annotated[
        str,
        Meta(
            description="the kind of problem, a URI reference that leads to its page; new kinds may be added",
            examples=[each.uri for each in types.ALL],
        ),
    ]
    title: Annotated[str, Meta(description="the type's")]
    status: Annotated[int, Meta(description="what became of it")]
    detail: str
    instance: str | None = None
    errors: list[FieldError] = []


class ProblemError(Exception):
    """Raised by a handler to answer with a problem; carries its type, words and headers.

    `of`: the type, or a status that stands for its ordinary one.
    """

    def __init__(
        self,
        of: ProblemType | int,
        detail: str,
        *,
        errors: list[FieldError] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.type = types.kind(of)
        self.status = self.type.status
        self.detail = detail
        self.errors = errors or []
        self.headers = headers or {}

    def response(self, instance: str) -> web.Response:
        """The answer, for the request path `instance`."""
        body = problem(self.type, self.detail, instance=instance, errors=self.errors)
        return web.Response(
            status=self.status, body=bytes(body), content_type=CONTENT_TYPE, headers=self.headers
        )


def problem(
    of: ProblemType | int,
    detail: str,
    *,
    instance: str,
    errors: list[FieldError] | None = None,
    extra: dict[str, object] | None = None,
) -> msgspec.Raw:
    """A problem as JSON; `extra` members (attempt_id, decline …) stand beside the standard ones.

    `of`: the type, or a status that stands for its ordinary one.
    """
    type_ = types.kind(of)
    fixed = Problem(
        type=type_.uri,
        title=type_.title,
        status=type_.status,
        detail=detail,
        instance=instance,
        errors=errors or [],
    )
    return msgspec.Raw(msgspec.json.encode(msgspec.to_builtins(fixed) | (extra or {})))


def invalid(errors: list[FieldError]) -> ProblemError:
    """422 that names every wrong field."""
    fields = sorted({error.pointer or "the whole body" for error in errors})
    more = f" and {len(fields) - MAX_FIELDS_IN_WORDS} more" if len(fields) > MAX_FIELDS_IN_WORDS else ""
    named = ", ".join(fields[:MAX_FIELDS_IN_WORDS])
    return ProblemError(422, f"The request is not valid: {named}{more}.", errors=sorted(errors))


def unavailable(detail: str, retry_after_s: int = 1, *, of: ProblemType = types.UNAVAILABLE) -> ProblemError:
    """503 with Retry-After."""
    return ProblemError(of, detail, headers={"Retry-After": str(retry_after_s)})


def as_problem(error: web.HTTPException) -> ProblemError:
    """What aiohttp itself has refused, in our words. Raises KeyError for a status that is never answered."""
    if "Allow" in error.headers:
        allow = error.headers["Allow"]
        return ProblemError(error.status, f"This resource takes {allow}.", headers={"Allow": allow})
    return ProblemError(error.status, "There is no such path." if error.status == 404 else f"{error.reason}.")
