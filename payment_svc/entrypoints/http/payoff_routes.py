"""Routes of early payoff: what it would cost, a promise of what it costs, and paying it. Thin."""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from common.kernel.clock import utcnow
from common.kernel.ids import canonical_uuid, uuid7
from common.messaging.envelope import encode
from common.postgres.pool import Pool
from common.web import read_your_writes
from common.web.command_endpoint import CommandEndpoint
from common.web.problems.details import FieldError, ProblemError, invalid
from common.web.routes import Route, json_response, path_id
from common.web.validation import read_query
from payment_svc.adapters.postgres import account_repository
from payment_svc.application.representations import (
    AttemptView,
    PayoffEstimate,
    PayoffQuote,
    attempt_url,
    estimate_view,
)
from payment_svc.contracts.commands import NewPayoff, NewQuote, PayOffLease, QuotePayoff
from payment_svc.domain.attempt import Refused, payoff_of
from payment_svc.domain.payoff import PayoffError
from payment_svc.domain.payoff_quote import DAYS_AHEAD_MAX

PROBLEM = "application/problem+json"


class EstimateQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /api/v1/leases/{lease_id}/payoff-quote`."""

    as_of: Annotated[date | None, Meta(description="today (UTC) where absent")] = None


class PayoffApi:
    """Estimates from the projection; quotes and payoffs are the worker's."""

    def __init__(
        self,
        pool: Pool,
        commands: CommandEndpoint,
        lease_arrived: Callable[[str], Awaitable[None]],
        reached: read_your_writes.Reached,
    ) -> None:
        """`lease_arrived`: returns once a lease that was just made had its time to come here."""
        self._pool = pool
        self._commands = commands
        self._lease_arrived = lease_arrived
        self._reached = reached

    def routes(self, attempted: dict[int, tuple[str, object]]) -> list[Route]:
        """The routes; `attempted`: what an attempt may answer beside success."""
        return [
            Route(
                method="GET",
                path="/api/v1/leases/{lease_id}/payoff-quote",
                handler=self.estimate,
                summary="What it would cost to pay a lease off on a day: an estimate that binds nobody",
                query=EstimateQuery,
                answers={
                    200: ("The estimate", PayoffEstimate),
                    409: ("Nothing is left to be paid on the lease", PROBLEM),
                    422: ("`as_of` is no day, or lies before the lease starts", PROBLEM),
                },
                problems=(404,),
            ),
            Route(
                method="POST",
                path="/api/v1/leases/{lease_id}/payoff-quotes",
                handler=self.quote,
                summary="A quote that binds until the end of its day (UTC), for one payoff",
                body=NewQuote,
                answers={
                    201: ("The quote; `Location` shows it again, as a command's outcome", PayoffQuote),
                    409: ("Nothing is left to be paid, or an attempt on the lease is in flight", PROBLEM),
                    422: (
                        f"`as_of` is over, more than {DAYS_AHEAD_MAX} days ahead or before the lease starts",
                        PROBLEM,
                    ),
                },
                command=True,
                problems=(404,),
            ),
            Route(
                method="POST",
                path="/api/v1/leases/{lease_id}/payoff",
                handler=self.pay_off,
                summary="Pay off all that is left of a lease, for what it costs today (UTC) or as quoted",
                body=NewPayoff,
                answers={
                    201: ("Paid off; `refund_due` goes back by itself, `waived` is not owed", AttemptView),
                    409: (
                        "Nothing is left to be paid, an attempt on the lease is in flight, or the quote is"
                        " used, expired, or broken because money has moved on the lease since",
                        PROBLEM,
                    ),
                    422: ("A field is wrong; also a `quote_id` that is no quote of this lease", PROBLEM),
                    **attempted,
                },
                command=True,
                problems=(404, 502),
            ),
        ]

    async def estimate(self, request: web.Request) -> web.Response:
        """GET /api/v1/leases/{lease_id}/payoff-quote"""
        lease_id = path_id(request, "lease_id")
        asked = read_query(request.query, EstimateQuery)
        await read_your_writes.wait_until_caught_up(request, self._reached)
        account = await account_repository.account(self._pool, lease_id)
        if account is None:
            raise ProblemError(404, "There is no such lease.")
        payments = await account_repository.payments(self._pool, lease_ids=[lease_id])
        try:
            payoff = payoff_of(account, payments, asked.as_of or utcnow().date())
        except Refused as refused:
            raise ProblemError(refused.status, refused.detail) from None
        except PayoffError as error:
            raise invalid([FieldError("/as_of", str(error).removeprefix("as_of "))]) from None
        return json_response(encode(estimate_view(account, payoff)))

    async def quote(self, request: web.Request) -> web.Response:
        """POST /api/v1/leases/{lease_id}/payoff-quotes

        Whether the day can be quoted is the worker's to say: here, a repeated request would be refused on the
        next day instead of getting its first answer again.
        """
        lease_id = path_id(request, "lease_id")
        asked, fingerprint = await self._commands.read(request, NewQuote)
        await self._lease_arrived(lease_id)
        return await self._commands.submit(
            request,
            "QuotePayoff",
            QuotePayoff(quote_id=uuid7(), lease_id=lease_id, as_of=asked.as_of),
            fingerprint=fingerprint,
        )

    async def pay_off(self, request: web.Request) -> web.Response:
        """POST /api/v1/leases/{lease_id}/payoff"""
        lease_id = path_id(request, "lease_id")
        asked, fingerprint = await self._commands.read(request, NewPayoff)
        await self._lease_arrived(lease_id)
        attempt_id = uuid7()
        return await self._commands.submit(
            request,
            "PayOffLease",
            PayOffLease(
                attempt_id=attempt_id,
                lease_id=lease_id,
                payment_method=asked.payment_method,
                quote_id=canonical_uuid(asked.quote_id) if asked.quote_id is not None else None,
            ),
            fingerprint=fingerprint,
            resource_url=attempt_url(attempt_id),
        )
