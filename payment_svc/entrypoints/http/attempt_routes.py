"""Routes of the payment service: thin."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from common.kernel.ids import uuid7
from common.messaging.envelope import encode
from common.postgres.pool import Pool
from common.web import pagination, read_your_writes
from common.web.command_endpoint import CommandEndpoint
from common.web.command_status import status_route
from common.web.pagination import PageQuery
from common.web.problems.details import ProblemError, unavailable
from common.web.routes import NoQuery, Route, json_response, path_id
from common.web.validation import read_query
from payment_svc.adapters.postgres import account_repository
from payment_svc.application.representations import (
    AttemptView,
    AutopayView,
    PaymentView,
    attempt_url,
    attempt_view,
    payment_view,
)
from payment_svc.contracts.commands import (
    AttemptPayment,
    NewAttempt,
    NewAutopay,
    NewRefund,
    RefundAttempt,
    SetAutopay,
)
from payment_svc.contracts.events import AutopayStop
from payment_svc.domain.attempt import Account
from payment_svc.entrypoints.http.payoff_routes import PROBLEM, PayoffApi

queries = account_repository.queries


class Payments(msgspec.Struct, frozen=True, kw_only=True):
    """All instalments of a lease, in order of number."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    currency: Annotated[str, Meta(description="ISO 4217")]
    autopay: Annotated[bool, Meta(description="whether they are to be collected without being asked for")]
    payment_method: Annotated[str | None, Meta(description="what autopay charges")]
    autopay_stopped: Annotated[
        AutopayStop | None, Meta(description="why autopay charges nothing; null: the method is not stopped")
    ]
    items: list[PaymentView]


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts on a payment, oldest first."""

    items: list[AttemptView]
    next_cursor: str | None


class PaymentApi:
    """Reads from the projection, and commands for the worker."""

    def __init__(self, pool: Pool, commands: CommandEndpoint) -> None:
        self._pool = pool
        self._commands = commands

    def routes(self) -> list[Route]:
        """All routes of this service."""
        others: dict[int, tuple[str, object]] = {
            202: (
                "nobody knows yet whether money moved, the attempt is `unknown` and the command `pending`",
                AttemptView,
            ),
            402: ("The issuer declined; `attempt_id` and `decline` say more", PROBLEM),
        }
        return [
            Route(
                method="GET",
                path="/api/v1/leases/{lease_id}/payments",
                handler=self.list_payments,
                summary="All instalments of a lease",
                query=NoQuery,
                answers={200: ("In order of number", Payments)},
                problems=(404,),
            ),
            Route(
                method="GET",
                path="/api/v1/payments/{payment_id}",
                handler=self.get_payment,
                summary="One instalment",
                query=NoQuery,
                answers={200: ("The payment", PaymentView)},
                problems=(404,),
            ),
            Route(
                method="POST",
                path="/api/v1/payments/{payment_id}/attempt",
                handler=self.attempt,
                summary="Collect an instalment, or a part of it, through the gateway",
                body=NewAttempt,
                answers={201: ("Money moved", AttemptView), **others},
                command=True,
                problems=(404, 409, 502),
            ),
            Route(
                method="GET",
                path="/api/v1/payments/{payment_id}/attempts",
                handler=self.list_attempts,
                summary="Attempts on a payment, oldest first",
                query=PageQuery,
                answers={200: ("One page", Attempts)},
                problems=(404,),
            ),
            Route(
                method="GET",
                path="/api/v1/attempts/{attempt_id}",
                handler=self.get_attempt,
                summary="One attempt",
                query=NoQuery,
                answers={200: ("The attempt", AttemptView)},
                problems=(404,),
            ),
            Route(
                method="POST",
                path="/api/v1/leases/{lease_id}/autopay",
                handler=self.set_autopay,
                summary="Turn autopay on or off, name its payment method, take up again what was stopped",
                body=NewAutopay,
                answers={
                    200: ("What holds from now on", AutopayView),
                    409: ("The lease is paid off, cancelled or charged off", PROBLEM),
                    422: (
                        "A field is wrong; also `autopay` without a `payment_method` where none is known or"
                        " the known one is stopped",
                        PROBLEM,
                    ),
                },
                command=True,
                problems=(404,),
            ),
            *PayoffApi(self._pool, self._commands, self._lease_arrived, self._reached).routes(others),
            Route(
                method="POST",
                path="/api/v1/attempts/{attempt_id}/refund",
                handler=self.refund,
                summary="Give back what an attempt collected, or a part of it; it is owed again, unless the"
                " reason is `refund_due`, and a payoff owes that much to the customer",
                body=NewRefund,
                answers={
                    201: ("Money was given back", AttemptView),
                    202: (
                        "nobody knows whether money moved, the refund is `unknown` and the command `pending`",
                        AttemptView,
                    ),
                    402: (
                        "The gateway declined; `attempt_id` (of the refund) and `decline` say more",
                        "application/problem+json",
                    ),
                },
                command=True,
                problems=(404, 409, 502),
            ),
            status_route(self._pool),
        ]

    async def list_payments(self, request: web.Request) -> web.Response:
        """GET /api/v1/leases/{lease_id}/payments"""
        lease_id = path_id(request, "lease_id")
        read_query(request.query, NoQuery)
        await read_your_writes.wait_until_caught_up(request, self._reached)
        account = await account_repository.account(self._pool, lease_id)
        if account is None:
            raise ProblemError(404, "There is no such lease.")
        payments = await account_repository.payments(self._pool, lease_ids=[lease_id])
        found = Payments(
            lease_id=lease_id,
            currency=account.currency,
            autopay=account.autopay,
            payment_method=account.payment_method,
            autopay_stopped=account.autopay_stopped,
            items=[payment_view(payment, account) for payment in payments],
        )
        return json_response(encode(found))

    async def get_payment(self, request: web.Request) -> web.Response:
        """GET /api/v1/payments/{payment_id}"""
        payment_id = path_id(request, "payment_id")
        read_query(request.query, NoQuery)
        await read_your_writes.wait_until_caught_up(request, self._reached)
        found = await account_repository.payments(self._pool, ids=[payment_id])
        if not found:
            raise ProblemError(404, "There is no such payment.")
        account = await self._account(found[0].lease_id)
        return json_response(encode(payment_view(found[0], account)))

    async def attempt(self, request: web.Request) -> web.Response:
        """POST /api/v1/payments/{payment_id}/attempt"""
        payment_id = path_id(request, "payment_id")
        asked, fingerprint = await self._commands.read(request, NewAttempt)
        await self._arrived(payment_id, queries.payment_exists)
        attempt_id = uuid7()
        return await self._commands.submit(
            request,
            "AttemptPayment",
            AttemptPayment(
                attempt_id=attempt_id,
                payment_id=payment_id,
                payment_method=asked.payment_method,
                amount=asked.amount,
            ),
            fingerprint=fingerprint,
            resource_url=attempt_url(attempt_id),
        )

    async def set_autopay(self, request: web.Request) -> web.Response:
        """POST /api/v1/leases/{lease_id}/autopay"""
        lease_id = path_id(request, "lease_id")
        asked, fingerprint = await self._commands.read(request, NewAutopay)
        await self._lease_arrived(lease_id)
        return await self._commands.submit(
            request,
            "SetAutopay",
            SetAutopay(lease_id=lease_id, autopay=asked.autopay, payment_method=asked.payment_method),
            fingerprint=fingerprint,
            resource_url=f"/api/v1/leases/{lease_id}/payments",
        )

    async def refund(self, request: web.Request) -> web.Response:
        """POST /api/v1/attempts/{attempt_id}/refund"""
        refunded = path_id(request, "attempt_id")
        asked, fingerprint = await self._commands.read(request, NewRefund)
        attempt_id = uuid7()
        return await self._commands.submit(
            request,
            "RefundAttempt",
            RefundAttempt(attempt_id=attempt_id, refunds=refunded, amount=asked.amount, reason=asked.reason),
            fingerprint=fingerprint,
            resource_url=attempt_url(attempt_id),
        )

    async def list_attempts(self, request: web.Request) -> web.Response:
        """GET /api/v1/payments/{payment_id}/attempts"""
        payment_id = path_id(request, "payment_id")
        asked = read_query(request.query, PageQuery)
        its = f"attempts on {payment_id}"
        after = pagination.read_uuid(its, asked.cursor)
        await read_your_writes.wait_until_caught_up(request, self._reached)
        payments = await account_repository.payments(self._pool, ids=[payment_id])
        if not payments:
            raise ProblemError(404, "There is no such payment.")
        rows = await self._pool.fetch(queries.list_attempts, payment_id, after, asked.limit + 1)
        attempts = [account_repository.attempt_from(row) for row in rows[: asked.limit]]
        more = pagination.write(its, attempts[-1].attempt_id) if len(rows) > asked.limit else None
        account = await self._account(payments[0].lease_id)
        items = [attempt_view(attempt, payments[0], account) for attempt in attempts]
        return json_response(encode(Attempts(items=items, next_cursor=more)))

    async def get_attempt(self, request: web.Request) -> web.Response:
        """GET /api/v1/attempts/{attempt_id}"""
        attempt_id = path_id(request, "attempt_id")
        read_query(request.query, NoQuery)
        await read_your_writes.wait_until_caught_up(request, self._reached)
        found = await account_repository.attempts(self._pool, ids=[attempt_id])
        if not found:
            raise ProblemError(404, "There is no such attempt.")
        attempt = found[0]
        payments = (
            await account_repository.payments(self._pool, ids=[attempt.payment_id])
            if attempt.payment_id
            else [None]
        )
        account = await self._account(attempt.lease_id)
        return json_response(encode(attempt_view(attempt, payments[0], account)))

    async def _account(self, lease_id: str) -> Account:
        account = await account_repository.account(self._pool, lease_id)
        assert account is not None  # a payment is never without its account
        return account

    async def _lease_arrived(self, lease_id: str) -> None:
        await self._arrived(lease_id, queries.account_exists)

    async def _arrived(self, identifier: str, exists: str) -> None:
        """Wait a moment for something just made by the lease service, instead of denying that it exists."""

        async def here() -> bool:
            return bool(await self._pool.fetchval(exists, identifier))

        if not await read_your_writes.arrives(identifier, here):
            raise unavailable("This lease has not arrived here yet; try again.")

    async def _reached(self, position: read_your_writes.Position) -> bool:
        return await account_repository.caught_up(self._pool, position)
