"""The aiohttp application every front is: one middleware, limits, health, metrics, documentation."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType

import structlog
from aiohttp import web
from prometheus_client import generate_latest

from common.errors import BrokerUnavailable, Retry
from common.kernel.card_numbers import holds_card_number
from common.kernel.ids import uuid7
from common.messaging.connection import BrokerLink
from common.messaging.publisher import Publisher
from common.observability import metrics, trace_stamps
from common.postgres.pool import Pool, is_transient
from common.web import openapi, read_your_writes
from common.web.headers import codings
from common.web.problems import pages
from common.web.problems import types as problem_types
from common.web.problems.details import ProblemError, as_problem, unavailable
from common.web.problems.types import REPEATED_HEADER, UNSUPPORTED_CODING
from common.web.protocol import READING
from common.web.routes import JSON_CONTENT_TYPE, Handler, Route, json_response

log = structlog.get_logger()

MAX_BODY_BYTES = 64 * 1024  # as it was sent, and unpacked
BODY_TIMEOUT_S = 10.0  # aiohttp leaves a stalled body open
CHECK_TIMEOUT_S = 2.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header, version 00
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_REQUEST_ID_OF = web.RequestKey("request_id", str)
COMMAND_ID = web.RequestKey("command_id", str)  # of the command that the request has become
# Headers with one value: which of two is meant, nobody can know. True: a comma says that there are two.
ONE_VALUE = {"Idempotency-Key": False, read_your_writes.HEADER: True, "traceparent": True}

Check = Callable[[], Awaitable[None]]
Notice = Callable[[], Awaitable[str | None]]


def build_app(
    title: str,
    routes: Sequence[Route],
    checks: Mapping[str, Check],
    notices: Mapping[str, Notice] = MappingProxyType({}),
) -> web.Application:
    """The application of a front: its routes and the ones all fronts have.

    `checks`: what `/health` asks; each raises where the thing it is named after cannot be used.
    `notices`: what it tells besides; each gives words where somebody has to look at something.
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_conventions], handler_args=READING)
    app.on_response_prepare.append(_headers_back)
    everything = [*routes, *_common_routes(checks, notices)]
    document = openapi.document(title, everything)
    page = openapi.page(title, everything)

    async def openapi_json(_request: web.Request) -> web.Response:
        return json_response(document)

    async def docs(_request: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    for route in everything:
        if route.method == "GET":
            app.router.add_get(route.path, route.handler)  # and HEAD
        else:
            app.router.add_route(route.method, route.path, route.handler)
    app.router.add_get("/openapi.json", openapi_json)
    app.router.add_get("/docs", docs)
    app.router.add_get(problem_types.PATH, pages.every_type)
    app.router.add_get(f"{problem_types.PATH}/{{name}}", pages.one_type)
    return app


def checks(pool: Pool, broker: Publisher | BrokerLink) -> dict[str, Check]:
    """What every front needs: its database and the broker."""

    async def postgres() -> None:
        await pool.fetchval("SELECT 1")

    async def rabbitmq() -> None:
        if not broker.connected:
            raise BrokerUnavailable("no connection to the broker")

    return {"postgres": postgres, "rabbitmq": rabbitmq}


async def read_body(request: web.Request) -> bytes:
    """The whole body, unpacked, in time and within limits. Raises ProblemError 400, 408, 413, 415."""
    if request.content_type != JSON_CONTENT_TYPE:
        raise ProblemError(
            415, f"Send the body as {JSON_CONTENT_TYPE}.", headers={"Accept-Post": JSON_CONTENT_TYPE}
        )
    try:
        packed = codings.is_gzip(request.headers.getall("Content-Encoding", ()))
        codings.only_chunked(request.headers.getall("Transfer-Encoding", ()))
    except codings.UnsupportedCoding:
        words = "The body is packed in a way that is not read here; send it as it is, or as gzip."
        raise ProblemError(UNSUPPORTED_CODING, words, headers={"Accept-Encoding": "gzip"}) from None
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await request.read()
        return codings.unpacked(body, MAX_BODY_BYTES) if packed else body
    except (web.HTTPRequestEntityTooLarge, codings.TooLarge):
        raise ProblemError(413, f"The body is over the limit of {MAX_BODY_BYTES} bytes.") from None
    except TimeoutError:
        raise ProblemError(408, f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s.") from None
    except (web.RequestPayloadError, codings.BrokenCoding):  # broken chunks; cut, damaged or no gzip at all
        raise ProblemError(400, "The body is not encoded as its headers say.") from None


def traceparent(request: web.Request) -> str | None:
    """The request's W3C trace context, where it has one that is well-formed and may be kept."""
    given = request.headers.getall("traceparent", [])
    right = len(given) == 1 and _TRACEPARENT.fullmatch(given[0]) and not holds_card_number(given[0])
    return given[0] if right else None


def _check_headers(request: web.Request) -> None:
    """Raise ProblemError for headers that are wrong wherever they come: 400 twice, 422 no token of ours."""
    for name, is_list in ONE_VALUE.items():
        given = request.headers.getall(name, ())
        if len(given) > 1 or (is_list and given and "," in given[0]):
            raise ProblemError(REPEATED_HEADER, f"The header {name} has one value; it came more than once.")
    if (token := request.headers.get(read_your_writes.HEADER)) is not None:
        read_your_writes.read_token(token)


def _common_routes(checks: Mapping[str, Check], notices: Mapping[str, Notice]) -> list[Route]:
    async def health(_request: web.Request) -> web.Response:
        results = await _asked(checks)
        if any(result != "ok" for result in results.values()):
            body = {"status": "unavailable", "checks": results}
            return web.json_response(body, status=503, headers={"Retry-After": "1"})
        told = {name: words for name, words in (await _asked(notices)).items() if words != "ok"}
        return web.json_response({"status": "degraded" if told else "ok", "checks": results | told})

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": "text/plain; version=0.0.4"})

    return [
        Route(
            method="GET",
            path="/health",
            handler=health,
            summary="Ready to serve: what this front needs can be used",
            answers={
                200: ("Ready; `degraded`: somebody has to look at what a check says", JSON_CONTENT_TYPE),
                503: ("Not ready; the failing check is named", JSON_CONTENT_TYPE),
            },
        ),
        Route(
            method="GET",
            path="/livez",
            handler=livez,
            summary="The process is alive",
            answers={200: ("Alive", JSON_CONTENT_TYPE)},
        ),
        Route(
            method="GET",
            path="/metrics",
            handler=metrics,
            summary="Prometheus metrics of this process",
            answers={200: ("Text exposition format", "text/plain")},
        ),
    ]


async def _asked(questions: Mapping[str, Check] | Mapping[str, Notice]) -> dict[str, str]:
    """What each says, in time: `ok`, or other words."""

    async def answer(question: Check | Notice) -> str:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return await question() or "ok"
        except Exception as error:
            return f"failed: {type(error).__name__}"

    answers = await asyncio.gather(*map(answer, questions.values()))
    return dict(zip(questions, answers, strict=True))


async def _headers_back(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer carries; called right before its head is sent, a streamed one's too."""
    # aiohttp's own refusal of an Expect header comes without passing the middleware
    response.headers.setdefault("X-Request-Id", request.get(_REQUEST_ID_OF) or _request_id(request))
    if trace := traceparent(request):
        response.headers["traceparent"] = trace
    if command_id := request.get(COMMAND_ID):
        response.headers["Command-Id"] = command_id


@web.middleware
async def _conventions(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Request ids, timing, and every error as a problem."""
    started = time.perf_counter()
    trace = traceparent(request) if trace_stamps.on() else None
    trace_stamps.stamp(trace, "front.entered")
    request_id = _request_id(request)
    request[_REQUEST_ID_OF] = request_id
    try:
        if request.match_info.http_exception is None:
            _check_headers(request)
        response = await handler(request)
    except ProblemError as error:
        response = error.response(_instance(request))
    except web.HTTPException as error:
        response = as_problem(error).response(_instance(request))
    except Exception as error:
        response = _unexpected(request, error, request_id)
    trace_stamps.stamp(trace, "front.answered")
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "(none)"
    metrics.HTTP_SECONDS.labels(request.method, route).observe(time.perf_counter() - started)
    metrics.HTTP_ANSWERS.labels(request.method, route, response.status).inc()
    return response


def _request_id(request: web.Request) -> str:
    """The client's, where it has given one that is well-formed; otherwise a new one."""
    given = request.headers.getall("X-Request-Id", ())
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) and not holds_card_number(given[0]):
        return given[0]
    return uuid7()


def _instance(request: web.Request) -> str:
    """The request's path as a URI reference that may be shown and logged."""
    path = request.rel_url.raw_path.encode("ascii", "backslashreplace").decode()
    # what could not be decoded stands in the decoded path as it was sent, and is no letter
    unquoted = _ESCAPE.sub(" ", path)
    return "/" if holds_card_number(request.path) or holds_card_number(unquoted) else path


def _unexpected(request: web.Request, error: Exception, request_id: str) -> web.Response:
    """503 for an outage, 500 for a defect."""
    where = _instance(request)
    if isinstance(error, BrokerUnavailable | Retry) or is_transient(error):
        log.warning("request.unavailable", path=where, request_id=request_id, error=repr(error))
        return unavailable("A part of the system is away for the moment; try again.").response(where)
    log.error("request.failed", path=where, request_id=request_id, exc_info=error)
    return ProblemError(500, f"Something broke here; the log has it under {request_id}.").response(where)
