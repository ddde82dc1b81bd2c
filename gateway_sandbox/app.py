"""The sandbox gateway: an HTTP server that takes card charges for a company that does not exist.

- `POST /v1/charges` → 201 a charge that succeeded, 402 one that was declined; `Idempotent-Replayed: true`
  when the key was here before. 503 `gateway_unavailable`: certainly nothing was recorded. Bad input is 400,
  408, 413, 415 or 422 (also a known key with another body), and records nothing either.
- `GET /v1/charges` → `{"items": [...], "next_cursor": null}`, filtered by `payment_id`, `lease_id`,
  `attempt_id` (in any case of letters), `idempotency_key` (all that are given must match); the newest `limit`
  (100; up to 1,000), newest last. `next_cursor`, given as `cursor`, leads to those before them.
- `POST /v1/refunds` → 201 a refund of a charge or of a part of it, 402 one that was declined because no such
  charge succeeded or less than that is left of it; else as for a charge. The charge's payment method plays
  its part again: one that is never answered is not answered when it is refunded either.
- `GET /v1/refunds` → as for charges, also filtered by `charge_id`.
- `POST /v1/charges/{charge_id}/dispute` plays the issuer who takes money back → 201; the same amount of the
  same charge again → 200 with the first; 404 no such charge succeeded; 409 less than that is left of it. It
  is told by a signed webhook, again and again until that is taken.
- `GET /livez` → 200 while it runs; `GET /health` → 200 while its record can be read, else 503.

It does what it is asked at once and only then waits for its pretended latency: a caller who gives up has not
stopped the charge.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from common.web.headers import codings
from common.web.problems.details import ProblemError
from common.web.protocol import READING, Connection, Runner
from gateway_sandbox.charges import KeyReused
from gateway_sandbox.database import Record, RecordFailed
from gateway_sandbox.disputes import DisputeRefused
from gateway_sandbox.latency import BODY_BYTES, Limits
from gateway_sandbox.payment_methods import Method, method
from gateway_sandbox.responses import (
    Refused,
    decoded,
    error_answer,
    errors_as_json,
    filters,
    idempotency_key,
    json_answer,
    next_cursor,
)
from gateway_sandbox.schemas import (
    Charge,
    ChargeRequest,
    Charges,
    DisputeRequest,
    Filters,
    Refund,
    RefundRequest,
    Refunds,
)
from gateway_sandbox.webhook_sender import Courier, Destination

_SHUTDOWN_S = 3.0  # aiohttp may wait this long twice; a process has 10 s to leave


class Sandbox:
    """The handlers, and the counts that bound what is in flight."""

    def __init__(
        self, record: Record, latency_ms: tuple[int, int], limits: Limits, webhooks: Destination
    ) -> None:
        """`latency_ms`: how long an answer takes, drawn evenly from this range."""
        self._record = record
        self._courier = Courier(record, webhooks)
        self._latency_ms = latency_ms
        self._limits = limits
        self._charges = msgspec.json.Decoder(ChargeRequest)
        self._refunds = msgspec.json.Decoder(RefundRequest)
        self._disputes = msgspec.json.Decoder(DisputeRequest)
        self._closing = asyncio.Event()
        self._in_flight = 0
        self._held = 0

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """The record is open, and webhooks are sent, for as long as the application runs."""
        await self._record.start()
        sending = asyncio.create_task(self._courier.run())
        yield
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        await self._record.stop()

    async def let_go(self, _: web.Application) -> None:
        """Stop holding connections: the server is going down."""
        self._closing.set()

    async def charge(self, request: web.Request) -> web.Response:
        """`POST /v1/charges`."""
        return await self._bounded(request, self._charge)

    async def refund(self, request: web.Request) -> web.Response:
        """`POST /v1/refunds`."""
        return await self._bounded(request, self._refund)

    async def _bounded(
        self, request: web.Request, serve: Callable[[web.Request], Awaitable[web.Response]]
    ) -> web.Response:
        if self._in_flight >= self._limits.in_flight:
            return _unavailable("too many requests in flight; nothing was recorded")
        self._in_flight += 1
        try:
            return await serve(request)
        finally:
            self._in_flight -= 1

    async def _charge(self, request: web.Request) -> web.Response:
        key = idempotency_key(request)
        wanted = decoded(self._charges, await self._body(request), "charge_invalid")
        behaviour = method(wanted.payment_method)
        if behaviour.answer == "unavailable":
            return _unavailable("the gateway is down; nothing was recorded")
        taken = await self._record.take(key, wanted)
        if isinstance(taken, KeyReused):
            raise Refused(422, "idempotency_key_reused", "this key belongs to a charge with another body")
        return await self._respond(request, behaviour, taken.charge, taken.replayed)

    async def _refund(self, request: web.Request) -> web.Response:
        key = idempotency_key(request)
        wanted = decoded(self._refunds, await self._body(request), "refund_invalid")
        made = await self._record.refund(key, wanted)
        if isinstance(made, KeyReused):
            raise Refused(422, "idempotency_key_reused", "this key belongs to a refund with another body")
        return await self._respond(request, method(made.payment_method), made.refund, made.replayed)

    async def dispute(self, request: web.Request) -> web.Response:
        """`POST /v1/charges/{charge_id}/dispute`."""
        wanted = decoded(self._disputes, await self._body(request), "dispute_invalid")
        made = await self._record.dispute(request.match_info["charge_id"], wanted)
        if isinstance(made, DisputeRefused):
            raise Refused(made.status, made.code, made.message)
        self._courier.wake()
        return json_answer(made.dispute, 200 if made.replayed else 201)

    async def _respond(
        self, request: web.Request, behaviour: Method, recorded: Charge | Refund, replayed: bool
    ) -> web.Response:
        """Answer with what is on the record, when and if the payment method lets the gateway answer."""
        if behaviour.answer == "never":
            return await self._never(request)
        wait_ms = self._limits.slow_ms if behaviour.answer == "late" else random.uniform(*self._latency_ms)
        if wait_ms:
            await asyncio.sleep(wait_ms / 1000)
        headers = {"Idempotent-Replayed": "true"} if replayed else None
        return json_answer(recorded, 201 if recorded.status == "succeeded" else 402, headers)

    async def _body(self, request: web.Request) -> bytes:
        try:
            packed = codings.is_gzip(request.headers.getall("Content-Encoding", ()))
            codings.only_chunked(request.headers.getall("Transfer-Encoding", ()))
            async with asyncio.timeout(self._limits.body_s):
                body = await request.read()
            return codings.unpacked(body, BODY_BYTES) if packed else body
        except codings.UnsupportedCoding:
            raise Refused(415, "unsupported_content_coding", "send the body as it is, or as gzip") from None
        except codings.TooLarge:
            raise web.HTTPRequestEntityTooLarge(BODY_BYTES, BODY_BYTES + 1) from None
        except TimeoutError:
            raise Refused(408, "body_too_slow", f"the body took over {self._limits.body_s:g} s") from None
        except (web.RequestPayloadError, codings.BrokenCoding):
            raise Refused(400, "body_broken", "the body's chunks or its compression are broken") from None

    async def _never(self, request: web.Request) -> web.Response:
        """Keep the caller waiting until one of us leaves, then cut the connection without a byte sent."""
        if self._held < self._limits.held:
            self._held += 1
            try:
                async with asyncio.timeout(self._limits.hold_s):
                    await self._closing.wait()
            except TimeoutError:
                pass
            finally:
                self._held -= 1
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)  # goes nowhere: the connection is cut

    async def look_up(self, request: web.Request) -> web.Response:
        """`GET /v1/charges`."""
        found = await self._record.look_up(filters(request, "charges"))
        return json_answer(Charges(items=found.items, next_cursor=next_cursor("charges", found.earliest)))

    async def look_up_refunds(self, request: web.Request) -> web.Response:
        """`GET /v1/refunds`."""
        found = await self._record.look_up_refunds(filters(request, "refunds", "charge_id"))
        return json_answer(Refunds(items=found.items, next_cursor=next_cursor("refunds", found.earliest)))

    async def livez(self, _: web.Request) -> web.Response:
        """`GET /livez`: the process runs."""
        return json_answer({"status": "ok"})

    async def health(self, _: web.Request) -> web.Response:
        """`GET /health`: the record can be read and committed to."""
        try:
            await self._record.look_up(Filters(limit=1))
        except RecordFailed:
            return json_answer({"status": "unavailable", "checks": {"record": "failed"}}, 503)
        return json_answer({"status": "ok", "checks": {"record": "ok"}})


def _unavailable(message: str) -> web.Response:
    return error_answer(503, "gateway_unavailable", message, {"Retry-After": "1"})


class _Connection(Connection):
    def refusal(self, problem: ProblemError) -> web.Response:
        """What is refused before it becomes a request, in the gateway's error shape, too."""
        return error_answer(problem.status, problem.type.name.replace("-", "_"), problem.detail)


class _Runner(Runner):
    connection = _Connection


def create_app(
    database_path: str,
    latency_ms: tuple[int, int],
    limits: Limits | None = None,
    webhooks: Destination | None = None,
) -> web.Application:
    """The gateway as an application; its record is the SQLite file at `database_path`."""
    sandbox = Sandbox(Record(database_path), latency_ms, limits or Limits(), webhooks or Destination())
    app = web.Application(client_max_size=BODY_BYTES, middlewares=[errors_as_json], handler_args=READING)
    app.router.add_post("/v1/charges", sandbox.charge)
    app.router.add_get("/v1/charges", sandbox.look_up)
    app.router.add_post("/v1/charges/{charge_id}/dispute", sandbox.dispute)
    app.router.add_post("/v1/refunds", sandbox.refund)
    app.router.add_get("/v1/refunds", sandbox.look_up_refunds)
    app.router.add_get("/livez", sandbox.livez)
    app.router.add_get("/health", sandbox.health)
    app.cleanup_ctx.append(sandbox.run)
    app.on_shutdown.append(sandbox.let_go)
    return app


@asynccontextmanager
async def serving(
    host: str,
    port: int,
    database_path: str,
    latency_ms: tuple[int, int],
    limits: Limits | None = None,
    webhooks: Destination | None = None,
) -> AsyncIterator[str]:
    """Serve the gateway while the block runs; gives its base URL. Port 0 takes a free one."""
    # With cancellation a held connection is given up the moment its client leaves.
    runner = _Runner(
        create_app(database_path, latency_ms, limits, webhooks),
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=_SHUTDOWN_S,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        address = runner.addresses[0]
        yield f"http://{host}:{address[1]}"
    finally:
        await runner.cleanup()
