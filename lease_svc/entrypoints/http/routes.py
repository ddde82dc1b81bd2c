"""Routes of the lease service: thin."""

from aiohttp import web

from common.kernel.ids import uuid7
from common.messaging.envelope import encode
from common.runtime.dataloader import DataLoader
from common.web import pagination, read_your_writes
from common.web.command_endpoint import CommandEndpoint
from common.web.pagination import PageQuery
from common.web.problems.details import ProblemError
from common.web.routes import NoQuery, Route, json_response, path_id
from common.web.validation import read_query
from lease_svc.adapters.postgres.lease_reader import LeaseReader
from lease_svc.application.representations import LeaseView, summary, view
from lease_svc.contracts.commands import CancelLease, ChargeOffLease, CreateLease
from lease_svc.contracts.events import SOURCE
from lease_svc.domain.lease import Lease
from lease_svc.entrypoints.http.requests import Closing, LeaseFilter, NewLease, rules
from lease_svc.entrypoints.http.responses import History, LeaseList

TITLE = "Lease service"
LEASES = "leases"  # the list, in its cursors


class LeaseApi:
    """Reads from the projection, and commands for the worker."""

    def __init__(self, leases: LeaseReader, commands: CommandEndpoint, status: Route) -> None:
        self._reader = leases
        self._commands = commands
        self._status = status
        self._leases: DataLoader[str, Lease] = DataLoader(leases.leases)

    def routes(self) -> list[Route]:
        """All routes of this service."""
        return [
            Route(
                method="POST",
                path="/api/v1/leases",
                handler=self.create,
                summary="Create a lease with its payment schedule",
                body=NewLease,
                answers={201: ("The lease", LeaseView)},
                command=True,
            ),
            Route(
                method="GET",
                path="/api/v1/leases",
                handler=self.list,
                summary="Leases, newest first",
                query=LeaseFilter,
                answers={200: ("One page", LeaseList)},
            ),
            Route(
                method="GET",
                path="/api/v1/leases/{lease_id}",
                handler=self.get,
                summary="A lease with its schedule",
                query=NoQuery,
                answers={200: ("The lease", LeaseView)},
                problems=(404,),
            ),
            Route(
                method="GET",
                path="/api/v1/leases/{lease_id}/history",
                handler=self.history,
                summary="Every change of a lease, payments included",
                query=PageQuery,
                answers={200: ("One page", History)},
                problems=(404,),
            ),
            Route(
                method="POST",
                path="/api/v1/leases/{lease_id}/cancel",
                handler=self.cancel,
                summary="Close a lease on which no money was collected, as if it had never been",
                body=Closing,
                answers={200: ("The lease, cancelled", LeaseView)},
                command=True,
                problems=(404, 409),
            ),
            Route(
                method="POST",
                path="/api/v1/leases/{lease_id}/charge-off",
                handler=self.charge_off,
                summary="Close a lease that will not be paid; what is left of it is a loss",
                body=Closing,
                answers={200: ("The lease, charged off", LeaseView)},
                command=True,
                problems=(404, 409),
            ),
            self._status,
        ]

    async def create(self, request: web.Request) -> web.Response:
        """POST /api/v1/leases"""
        terms, fingerprint = await self._commands.read(request, NewLease, rules)
        lease_id = uuid7()
        return await self._commands.submit(
            request,
            "CreateLease",
            CreateLease(lease_id=lease_id, terms=terms),
            fingerprint=fingerprint,
            resource_url=f"/api/v1/leases/{lease_id}",
        )

    async def cancel(self, request: web.Request) -> web.Response:
        """POST /api/v1/leases/{lease_id}/cancel"""
        return await self._close(request, "CancelLease", CancelLease)

    async def charge_off(self, request: web.Request) -> web.Response:
        """POST /api/v1/leases/{lease_id}/charge-off"""
        return await self._close(request, "ChargeOffLease", ChargeOffLease)

    async def _close(
        self, request: web.Request, command: str, model: type[CancelLease] | type[ChargeOffLease]
    ) -> web.Response:
        lease_id = path_id(request, "lease_id")
        asked, fingerprint = await self._commands.read(request, Closing)

        async def here() -> bool:
            return await self._reader.event_sequence(lease_id) is not None

        # Its creation may be in the queue still, and another worker must not get this one first. Where it is
        # not there in time either, the worker knows better: whatever waits in the queue is before this.
        await read_your_writes.arrives(lease_id, here)
        return await self._commands.submit(
            request,
            command,
            model(lease_id=lease_id, reason=asked.reason),
            fingerprint=fingerprint,
            resource_url=f"/api/v1/leases/{lease_id}",
        )

    async def list(self, request: web.Request) -> web.Response:
        """GET /api/v1/leases"""
        asked = read_query(request.query, LeaseFilter)
        before = pagination.read_uuid(LEASES, asked.cursor)
        await read_your_writes.wait_until_caught_up(request, self._reached)
        found = await self._reader.newest(asked.customer_id, asked.status, before, asked.limit + 1)
        items = found[: asked.limit]
        more = pagination.write(LEASES, items[-1].lease_id) if len(found) > asked.limit else None
        return json_response(pagination.page([summary(lease) for lease in items], more))

    async def get(self, request: web.Request) -> web.Response:
        """GET /api/v1/leases/{lease_id}"""
        lease_id = path_id(request, "lease_id")
        read_query(request.query, NoQuery)
        await read_your_writes.wait_until_caught_up(request, self._reached)
        lease = await self._leases.load(lease_id)
        if lease is None:
            raise ProblemError(404, "There is no such lease.")
        return json_response(view(lease))

    async def history(self, request: web.Request) -> web.Response:
        """GET /api/v1/leases/{lease_id}/history"""
        lease_id = path_id(request, "lease_id")
        asked = read_query(request.query, PageQuery)
        its = f"history of {lease_id}"
        after = pagination.read_number(its, asked.cursor)
        await read_your_writes.wait_until_caught_up(request, self._reached)
        found = await self._reader.history(lease_id, after, asked.limit + 1)
        if not found and await self._reader.event_sequence(lease_id) is None:
            raise ProblemError(404, "There is no such lease.")
        items = found[: asked.limit]
        more = pagination.write(its, str(items[-1].version)) if len(found) > asked.limit else None
        return json_response(encode(History(lease_id=lease_id, items=items, next_cursor=more)))

    async def _reached(self, position: read_your_writes.Position) -> bool:
        if position.source == SOURCE:
            recorded = await self._reader.event_sequence(position.lease_id)
            return read_your_writes.own(position, recorded)
        applied = await self._reader.payment_sequence(position.lease_id)
        if applied is None:  # every lease is made here before anybody publishes anything of it
            raise read_your_writes.not_given()
        return applied >= position.sequence
