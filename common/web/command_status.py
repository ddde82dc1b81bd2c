"""What became of a command, whoever asks, from whichever front."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from common.kernel.clock import rfc3339, utcnow
from common.kernel.ids import uuid7_timestamp_ms
from common.messaging import command_inbox
from common.messaging.envelope import encode
from common.postgres.pool import Pool
from common.web import read_your_writes
from common.web.problems.details import ProblemError
from common.web.routes import NoQuery, Route, json_response, path_id
from common.web.validation import read_query

# How long a command that is not recorded may still be in a queue. Past it the id was never confirmed.
LONGEST_IN_QUEUE = timedelta(days=7)
CLOCK_SKEW = timedelta(minutes=5)


class CommandStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /api/v1/commands/{command_id}` answers."""

    command_id: str
    status: Annotated[str, Meta(description="pending, succeeded or rejected")]
    http_status: Annotated[int | None, Meta(description="of the synchronous answer; null until there is one")]
    outcome: Annotated[
        msgspec.Raw,
        Meta(description="the body of the synchronous answer; while pending the attempt so far, or null"),
    ]
    submitted_at: Annotated[str, Meta(description="RFC 3339")]
    completed_at: Annotated[str | None, Meta(description="RFC 3339; null while pending")]


def status_url(command_id: str) -> str:
    """Where a command's status can be asked."""
    return f"/api/v1/commands/{command_id}"


def status_route(pool: Pool) -> Route:
    """`GET /api/v1/commands/{command_id}`."""

    async def status(request: web.Request) -> web.Response:
        read_query(request.query, NoQuery)
        command_id = path_id(request, "command_id")
        recorded = await command_inbox.outcomes(pool, [command_id])
        if recorded:
            submitted_at, outcome = recorded[0]
            found = CommandStatus(
                command_id=command_id,
                status=outcome.status,
                http_status=outcome.http_status if outcome.has_answer else None,
                outcome=outcome.body,
                submitted_at=rfc3339(submitted_at),
                completed_at=rfc3339(outcome.completed_at) if outcome.completed_at else None,
            )
            answered = outcome.status != "pending" or outcome.token is not None
            token = {read_your_writes.HEADER: read_your_writes.token_of(outcome)} if answered else None
            return json_response(encode(found), headers=token)
        # Fronts write nothing: what is young enough to be in a queue is pending.
        born = uuid7_timestamp_ms(command_id)
        submitted_at = datetime.fromtimestamp((born or 0) / 1000, UTC)
        if born is None or not -CLOCK_SKEW < utcnow() - submitted_at < LONGEST_IN_QUEUE:
            raise ProblemError(404, "There is no such command.")
        return json_response(
            encode(
                CommandStatus(
                    command_id=command_id,
                    status="pending",
                    http_status=None,
                    outcome=msgspec.Raw(b"null"),
                    submitted_at=rfc3339(submitted_at),
                    completed_at=None,
                )
            )
        )

    return Route(
        method="GET",
        path="/api/v1/commands/{command_id}",
        handler=status,
        summary="What became of a command",
        query=NoQuery,
        answers={
            200: (
                "Its status and outcome; while `pending`, that is an attempt that is `unknown`, or null",
                CommandStatus,
            )
        },
        problems=(404,),
    )
