"""The route of the gateway's webhooks: who it is, what it says, and whether it has to say it again. Thin.

A gateway repeats a webhook until it is answered with a 2xx. So 200 means that nothing is left to be told: it
is recorded, was so before, is of no concern here, or repeating cannot help (then it is logged as an error,
for an operator). 503 means: tell it again.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import structlog
from aiohttp import web

from common.kernel.card_numbers import holds_card_number
from common.kernel.clock import utcnow
from common.kernel.ids import canonical_uuid
from common.postgres.pool import Pool, Queries
from common.web.command_endpoint import CommandEndpoint
from common.web.problems.details import FieldError, ProblemError, invalid, unavailable
from common.web.routes import NoQuery, Route, json_response
from common.web.sensitive_text import CARD_NUMBER
from common.web.server import read_body
from common.web.validation import read_query
from payment_svc.adapters.gateways.stripe import webhook_signature
from payment_svc.adapters.gateways.stripe.webhook_events import (
    ChargedBack,
    ChargeSettled,
    NotANotice,
    Notice,
    Refunded,
    RefundFailed,
    Reinstated,
    read,
)
from payment_svc.application.gateway import Declined
from payment_svc.contracts.commands import NoteSettlement, RecordChargeback

log = structlog.get_logger()

PATH: Final = "/api/v1/webhooks/gateway"
# A chargeback of a charge that is not known here is told again until it is this old: the charge's own attempt
# may still be `unknown`, and then nobody here has been told the gateway's reference of it.
MAY_BECOME_KNOWN: Final = timedelta(days=1)
AGAIN_AFTER_S: Final = 5
CHALLENGE: Final = 'Stripe-Signature realm="webhooks"'

queries = Queries(Path(__file__).parents[2] / "adapters/postgres/webhooks.sql")


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """The webhook need not be sent again."""

    received: bool


class WebhookApi:
    """Verifies and reads webhooks; what they tell becomes commands for the worker."""

    def __init__(self, pool: Pool, commands: CommandEndpoint, secret: str) -> None:
        """`secret`: what the webhooks are signed with; empty: none can be verified, and all are refused."""
        self._pool = pool
        self._commands = commands
        self._secret = secret
        self._warned = False

    def routes(self) -> list[Route]:
        """The route."""
        return [
            Route(
                method="POST",
                path=PATH,
                handler=self.receive,
                summary="What the gateway tells of its own accord, in the shape of Stripe's events",
                query=NoQuery,
                takes="an event of Stripe's (https://docs.stripe.com/api/events); unknown types are received",
                headers={
                    webhook_signature.HEADER: "`t=…,v1=…`: Unix time, hex HMAC-SHA256 of time, dot and body"
                },
                answers={200: ("It need not be sent again", Received)},
                problems=(401,),
            )
        ]

    async def receive(self, request: web.Request) -> web.Response:
        """POST /api/v1/webhooks/gateway"""
        read_query(request.query, NoQuery)
        body = await read_body(request)
        self._verify(request, body)
        try:
            notice = read(body)
        except NotANotice:
            raise ProblemError(400, "The body is no event, or not of the shape that its type has.") from None
        if wrong := _card_numbers(notice):
            where = [each.pointer for each in wrong]
            log.error("webhook.card_number", notice=type(notice).__name__, where=where)
            raise invalid(wrong)
        await self._take(request, notice)
        return json_response(msgspec.json.encode(Received(received=True)))

    def _verify(self, request: web.Request, body: bytes) -> None:
        if not self._secret:
            if not self._warned:
                log.warning("webhook.no_secret", detail="WEBHOOK_SECRET is not set: all webhooks are refused")
                self._warned = True
            raise _unauthorized("webhooks cannot be verified here")
        given = request.headers.getall(webhook_signature.HEADER, [])
        if len(given) != 1:
            raise _unauthorized(f"one {webhook_signature.HEADER} header is needed")
        try:
            webhook_signature.verify(given[0], body, self._secret, utcnow())
        except webhook_signature.BadSignature as bad:
            log.info("webhook.refused", reason=str(bad))
            raise _unauthorized(str(bad)) from None

    async def _take(self, request: web.Request, notice: Notice | None) -> None:
        match notice:
            case ChargeSettled():
                await self._settled(request, notice)
            case ChargedBack():
                await self._charged_back(request, notice)
            case Refunded():
                await self._refunded(notice)
            case Reinstated():
                log.error("chargeback.reinstated", **_ids(notice))
            case RefundFailed():
                await self._refund_failed(notice)

    async def _settled(self, request: web.Request, notice: ChargeSettled) -> None:
        attempt_id = canonical_uuid(notice.attempt_id)
        if attempt_id is None:  # somebody else's charge, whose metadata look alike
            return
        result = notice.result
        told = NoteSettlement(
            attempt_id=attempt_id,
            amount=notice.amount,
            currency=notice.currency,
            status="declined" if isinstance(result, Declined) else "succeeded",
            reference=result.reference,
            code=result.code if isinstance(result, Declined) else None,
        )
        await self._tell(request, told, notice.notice_id, final=(404, 422))

    async def _charged_back(self, request: web.Request, notice: ChargedBack) -> None:
        if notice.amount == 0:
            return
        told = RecordChargeback(
            notice_id=notice.dispute_id,
            attempt_id=canonical_uuid(notice.attempt_id) if notice.attempt_id else None,
            gateway_reference=notice.gateway_reference,
            amount=notice.amount,
            currency=notice.currency,
            reason=notice.reason,
        )
        final = (422,) if _young(notice.created) else (404, 422)
        await self._tell(request, told, notice.notice_id, final=final)

    async def _tell(
        self,
        request: web.Request,
        told: NoteSettlement | RecordChargeback,
        notice_id: str,
        *,
        final: tuple[int, ...],
    ) -> None:
        """Have the worker record it. `final`: refusals of the command that repeating would not change."""
        outcome = await self._commands.carry_out(request, type(told).__name__, told)
        if outcome is None:
            raise unavailable("It is not recorded yet; send it again.", AGAIN_AFTER_S)
        if outcome.http_status < 300:
            return
        if outcome.http_status not in final:
            raise unavailable("It cannot be recorded as things stand; send it again.", AGAIN_AFTER_S)
        log.error(
            "webhook.books_disagree",
            notice_id=notice_id,
            command=type(told).__name__,
            command_id=outcome.command_id,
            attempt_id=told.attempt_id,
            status=outcome.http_status,
        )

    async def _refunded(self, notice: Refunded) -> None:
        """Nothing changes: refunds are made here and settled by themselves; another one is an operator's."""
        known = await self._pool.fetchval(queries.given_back, notice.gateway_reference)
        if known is None or notice.amount_refunded > known:
            log.error(
                "refund.unknown_here",
                notice_id=notice.notice_id,
                gateway_reference=notice.gateway_reference,
                refunded_there=notice.amount_refunded,
                refunded_here=known,
            )

    async def _refund_failed(self, notice: RefundFailed) -> None:
        """Nothing changes: one in flight here is asked about, one that has succeeded is an operator's."""
        attempt_id = canonical_uuid(notice.attempt_id) if notice.attempt_id else None
        status = await self._pool.fetchval(queries.status_of, attempt_id) if attempt_id else None
        if status in (None, "succeeded"):
            log.error("refund.failed_later", **_ids(notice), reason=notice.reason, status_here=status)


def _card_numbers(notice: Notice | None) -> list[FieldError]:
    """Where a notice holds a card number, of all that is read of it: that may not be told on or logged."""
    fields = msgspec.to_builtins(notice) if notice else {}
    fields |= fields.get("result", {})
    where = {
        "/id" if name == "notice_id" else "/data/object"
        for name, value in fields.items()
        if isinstance(value, str) and holds_card_number(value)
    }
    return [FieldError(pointer, CARD_NUMBER) for pointer in sorted(where)]


def _ids(notice: Reinstated | RefundFailed) -> dict[str, object]:
    """All that an operator needs to find it, here and with the gateway."""
    fields = msgspec.structs.asdict(notice)
    return {name: value for name, value in fields.items() if name not in ("created", "reason")}


def _young(created: datetime) -> bool:
    return utcnow() - created < MAY_BECOME_KNOWN


def _unauthorized(why: str) -> ProblemError:
    return ProblemError(
        401, f"The webhook's signature is not accepted: {why}.", headers={"WWW-Authenticate": CHALLENGE}
    )
