"""Routes of collection runs: thin."""

from functools import partial

from aiohttp import web

from common.messaging.envelope import encode
from common.postgres.pool import Pool
from common.web import read_your_writes
from common.web.command_endpoint import CommandEndpoint
from common.web.problems.details import ProblemError
from common.web.routes import NoQuery, Route, json_response, path_id
from common.web.validation import read_query
from payment_svc.adapters.postgres import account_repository, collection_run_repository
from payment_svc.application.collection_run import RunView, run_id_of, run_url, view
from payment_svc.contracts.commands import NewRun, RunCollections, run_rules
from payment_svc.domain.collection_forecast import RunAnswer

PROBLEM = "application/problem+json"


class RunApi:
    """Asking for a run of collections, and looking at it."""

    def __init__(self, pool: Pool, commands: CommandEndpoint) -> None:
        self._pool = pool
        self._commands = commands

    def routes(self) -> list[Route]:
        """All routes of runs."""
        return [
            Route(
                method="POST",
                path="/api/v1/collections/run",
                handler=self.run,
                summary="Run collections as of a day: once for each day, however often it is asked for",
                body=NewRun,
                answers={
                    200: ("What the run has done; with `dry_run`, what it would do now", RunAnswer),
                    422: (
                        "A field is wrong; also an `as_of` after today (UTC) without `allow_future`, or where"
                        " the gateway is not the sandbox",
                        PROBLEM,
                    ),
                },
                command=True,
            ),
            Route(
                method="GET",
                path="/api/v1/collections/runs/{run_id}",
                handler=self.get_run,
                summary="A collection run, and how far it has come",
                query=NoQuery,
                answers={200: ("The run", RunView)},
                problems=(404,),
            ),
        ]

    async def run(self, request: web.Request) -> web.Response:
        """POST /api/v1/collections/run

        Whether the day may be run for is the worker's to say, who knows the gateway: here, a repeated request
        could get another answer than the first one.
        """
        asked, fingerprint = await self._commands.read(request, NewRun, run_rules)
        return await self._commands.submit(
            request,
            "RunCollections",
            RunCollections(as_of=asked.as_of, allow_future=asked.allow_future, dry_run=asked.dry_run),
            fingerprint=fingerprint,
            resource_url=None if asked.dry_run else run_url(run_id_of(asked.as_of)),
        )

    async def get_run(self, request: web.Request) -> web.Response:
        """GET /api/v1/collections/runs/{run_id}"""
        run_id = path_id(request, "run_id")
        read_query(request.query, NoQuery)
        await read_your_writes.wait_until_caught_up(
            request, partial(account_repository.caught_up, self._pool)
        )
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):  # one moment for all that is counted
            found = await collection_run_repository.read(connection, run_id)
        if found is None:
            raise ProblemError(404, "There is no such run.")
        return json_response(encode(view(*found)))
