"""How a front words its answer to a command: the outcome, `202` where there is none yet, a reused key."""

import msgspec
from aiohttp import web

from common.messaging.command_processor import key_reused
from common.messaging.envelope import Outcome
from common.web import read_your_writes
from common.web.command_status import status_url
from common.web.problems.details import CONTENT_TYPE as PROBLEM_CONTENT_TYPE
from common.web.routes import JSON_CONTENT_TYPE, json_response
from common.web.server import COMMAND_ID

RETRY_AFTER_S = {502: 1, 503: 1}


def pending_answer(
    command_id: str, resource_url: str, *, headers: dict[str, str], replayed: bool
) -> web.Response:
    """202: the command is safe with the broker, and where to ask what became of it."""
    url = status_url(command_id)
    body = {"command_id": command_id, "status": "pending", "status_url": url, "resource_url": resource_url}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return json_response(msgspec.json.encode(body), status=202, headers={"Location": url, **headers})


def outcome_answer(request: web.Request, outcome: Outcome) -> web.Response:
    """The outcome itself; of a repetition, with the first command's id."""
    request[COMMAND_ID] = outcome.original_id or outcome.command_id
    headers = {read_your_writes.HEADER: read_your_writes.token_of(outcome)}
    if outcome.location:
        headers["Location"] = outcome.location
    if outcome.replayed:
        headers["Idempotency-Replayed"] = "true"
    if outcome.http_status in RETRY_AFTER_S:
        headers["Retry-After"] = str(RETRY_AFTER_S[outcome.http_status])
    return web.Response(
        status=outcome.http_status,
        body=bytes(outcome.body),
        content_type=JSON_CONTENT_TYPE if outcome.http_status < 400 else PROBLEM_CONTENT_TYPE,
        headers=headers,
    )


def key_reused_answer(request: web.Request, first_id: str) -> web.Response:
    """422: the key is that of another request, which became the command `first_id`."""
    body = key_reused(first_id)
    refused = Outcome(command_id=first_id, status="rejected", http_status=422, body=body)
    return outcome_answer(request, refused)
