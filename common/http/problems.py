"""Errors as `application/problem+json` (RFC 9457)."""

import msgspec
from aiohttp import web

CONTENT_TYPE = "application/problem+json"
MAX_FIELDS_IN_WORDS = 10  # of a 422's detail; `errors` has them all

TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    413: "Content too large",
    415: "Unsupported media type",
    422: "Validation failed",
    429: "Too many requests",
    500: "Internal error",
    502: "Gateway not reached",
    503: "Service unavailable",
}


class FieldError(msgspec.Struct, frozen=True, order=True):
    """One wrong field: a JSON pointer (RFC 6901) into the request, and what is wrong with it."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every answer of 400 and above."""

    type: str = ""  # a URI that names the kind of problem; "about:blank" where the status says it all
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: list[FieldError] = []


class ProblemError(Exception):
    """Raised by a handler to answer with a problem; carries status, words and headers."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str | None = None,
        errors: list[FieldError] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.title = title or TITLES[status]
        self.errors = errors or []
        self.headers = headers or {}

    def response(self, instance: str) -> web.Response:
        """The answer, for the request path `instance`."""
        body = problem(self.status, self.title, self.detail, instance=instance, errors=self.errors)
        return web.Response(
            status=self.status, body=bytes(body), content_type=CONTENT_TYPE, headers=self.headers
        )


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    instance: str,
    errors: list[FieldError] | None = None,
    extra: dict[str, object] | None = None,
) -> msgspec.Raw:
    """A problem as JSON; `extra` members (attempt_id, decline …) stand beside the standard ones."""
    fixed = Problem(
        type="about:blank", title=title, status=status, detail=detail, instance=instance, errors=errors or []
    )
    return msgspec.Raw(msgspec.json.encode(msgspec.to_builtins(fixed) | (extra or {})))


def invalid(errors: list[FieldError]) -> ProblemError:
    """422 that names every wrong field."""
    fields = sorted({error.pointer or "the whole body" for error in errors})
    more = f" and {len(fields) - MAX_FIELDS_IN_WORDS} more" if len(fields) > MAX_FIELDS_IN_WORDS else ""
    named = ", ".join(fields[:MAX_FIELDS_IN_WORDS])
    return ProblemError(422, f"The request is not valid: {named}{more}.", errors=sorted(errors))


def unavailable(detail: str, retry_after_s: int = 1) -> ProblemError:
    """503 with Retry-After."""
    return ProblemError(503, detail, headers={"Retry-After": str(retry_after_s)})
