"""POST becomes a command: publish with a confirm, wait for the worker's outcome, answer with it."""

import asyncio
import hashlib
import re
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import structlog
from aiohttp import web

from common.errors import BrokerFull, BrokerUnavailable
from common.kernel.card_numbers import holds_card_number
from common.kernel.clock import utcnow
from common.kernel.ids import canonical_uuid, uuid7
from common.messaging import command_inbox
from common.messaging.command_publisher import CommandPublisher
from common.messaging.envelope import Command, Outcome, encode
from common.messaging.publisher import Publisher
from common.messaging.reply_queue import ReplyInbox
from common.observability import trace_stamps
from common.postgres.pool import TRANSIENT, Pool
from common.web.command_responses import key_reused_answer, outcome_answer, pending_answer
from common.web.command_status import status_url
from common.web.field_types import with_canonical_ids
from common.web.headers import prefer
from common.web.problems.details import FieldError, ProblemError, invalid, unavailable
from common.web.routes import NoQuery
from common.web.server import COMMAND_ID, read_body, traceparent
from common.web.validation import Rules, no_rules, read_json, read_query

log = structlog.get_logger()

T = TypeVar("T", bound=msgspec.Struct)

DEFAULT_WAIT_S = 10.0
MAX_WAITING = 2_000  # requests of this front that wait for an outcome; more are told to come back
# How long a front remembers what it has answered; a command that waited longer is found once it is recorded.
KEEP_ANSWERED_S = 60.0
KEY_LOOK_UP_S = 1.0  # in the front; the worker looks again
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True)
class Submission:
    """A command that a front has published or is publishing."""

    command_id: str
    fingerprint: str | None  # set where the request has an idempotency key
    resource_url: str
    confirmed: asyncio.Future[None]  # done when the broker has the command; holds the error where it has not


class CommandEndpoint:
    """The way of every command through a front. It writes nothing but messages."""

    def __init__(
        self, queue: str, publisher: Publisher, replies: ReplyInbox, pool: Pool, *, per_message: int = 1
    ) -> None:
        """`per_message`: how many commands may share a message; 1 where they have a second step."""
        self._sender = CommandPublisher(queue, publisher, per_message=per_message)
        self._replies = replies
        self._pool = pool
        # By idempotency key: in flight here; and answered with 202 a moment ago, perhaps not recorded yet.
        self._in_flight: dict[str, Submission] = {}
        self._answered: dict[str, Submission] = {}

    async def read(
        self, request: web.Request, model: type[T], rules: Rules = no_rules
    ) -> tuple[T, str | None]:
        """The body as `model`, and the fingerprint of the request where it has an Idempotency-Key.

        Raises ProblemError naming every wrong field.
        """
        read_query(request.query, NoQuery)
        key = _idempotency_key(request)
        value, parsed = read_json(await read_body(request), model, rules)
        return value, _fingerprint(request, with_canonical_ids(model, parsed)) if key is not None else None

    async def submit(
        self,
        request: web.Request,
        command_type: str,
        data: msgspec.Struct,
        *,
        fingerprint: str | None,
        resource_url: str | None = None,
    ) -> web.Response:
        """Publish the command and answer: the outcome, or 202 where it is not wanted or not there in time.

        `resource_url`: where what it makes can be read; None: in the command's own status, as its outcome.
        Raises ProblemError: 422 for a key reused, 503 where the broker has not confirmed.
        """
        if self._replies.waiting >= MAX_WAITING or len(self._in_flight) >= MAX_WAITING:
            raise unavailable("Too many requests are waiting at this front.")
        key = _idempotency_key(request)
        if key is not None:
            earlier = await self._earlier(key)
            if earlier is not None:
                return await self._answer_duplicate(request, *earlier, fingerprint)
        loop = asyncio.get_running_loop()
        command_id = uuid7()
        url = resource_url or status_url(command_id)
        submission = Submission(command_id, fingerprint, url, loop.create_future())
        if key is not None:
            self._in_flight[key] = submission
        waiting = not prefer.respond_async(request)
        if waiting:  # before publishing: the outcome may be faster than the confirm
            self._replies.expect(submission.command_id)
        try:
            await self._publish(request, submission, command_type, data, key)
            response, recorded = await self._answer(request, submission)
            if key is not None and not recorded:
                self._answered[key] = submission
                loop.call_later(KEEP_ANSWERED_S, self._answered.pop, key, None)
            return response
        finally:
            if waiting:
                self._replies.forget(submission.command_id)
            if key is not None:
                del self._in_flight[key]

    async def carry_out(
        self, request: web.Request, command_type: str, data: msgspec.Struct
    ) -> Outcome | None:
        """Publish a command without a key, and give its outcome; None where it is not there in time.

        Raises ProblemError 503 where too many wait, or the broker has not confirmed.
        """
        if self._replies.waiting >= MAX_WAITING:
            raise unavailable("Too many requests are waiting at this front.")
        command_id = uuid7()
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        submission = Submission(command_id, None, status_url(command_id), confirmed)
        outcome = self._replies.expect(command_id)  # before publishing: it may be faster than the confirm
        try:
            await self._publish(request, submission, command_type, data, None)
            async with asyncio.timeout(DEFAULT_WAIT_S):
                return await asyncio.shield(outcome)
        except TimeoutError:
            return None
        finally:
            self._replies.forget(command_id)

    async def _earlier(self, key: str) -> tuple[Submission, Outcome | None] | None:
        """The first submission with this key, and its outcome where there is one.

        The worker recognises duplicates as well; here they are spared the way through the broker, and one
        that does not wait for its outcome is told the ids of the first.
        """
        if key not in self._in_flight:
            try:
                async with asyncio.timeout(KEY_LOOK_UP_S):
                    known = (await command_inbox.find(self._pool, [], [key])).by_key.get(key)
            except TRANSIENT as error:
                log.warning("command.key_not_looked_up", error=repr(error))
            else:
                if known is not None:
                    return _recorded(known)
        # perhaps only since the query; or answered with 202 and not recorded yet
        submission = self._in_flight.get(key) or self._answered.get(key)
        return None if submission is None else (submission, None)

    async def _answer_duplicate(
        self, request: web.Request, first: Submission, outcome: Outcome | None, fingerprint: str | None
    ) -> web.Response:
        if first.fingerprint != fingerprint:
            return key_reused_answer(request, first.command_id)
        if outcome is not None:
            return outcome_answer(request, msgspec.structs.replace(outcome, replayed=True))
        self._replies.expect(first.command_id)  # before the confirm: the outcome may be faster
        try:
            await asyncio.shield(first.confirmed)
            request[COMMAND_ID] = first.command_id
            response, _ = await self._answer(request, first, replayed=True)
            return response
        finally:
            self._replies.forget(first.command_id)

    async def _publish(
        self,
        request: web.Request,
        submission: Submission,
        command_type: str,
        data: msgspec.Struct,
        key: str | None,
    ) -> None:
        command = Command(
            command_id=submission.command_id,
            type=command_type,
            submitted_at=utcnow(),
            idempotency_key=key,
            fingerprint=submission.fingerprint,
            traceparent=traceparent(request),
            data=msgspec.Raw(encode(data)),
        )
        try:
            await self._sender.send(command, self._replies.queue)
        except BrokerUnavailable as error:
            refusal = _not_taken(error, command.command_id)
            submission.confirmed.set_exception(refusal)
            submission.confirmed.exception()  # seen, even where no duplicate waits for it
            raise refusal from None
        except (
            BaseException
        ) as error:  # a defect, or the process is ending: duplicates are not to wait for ever
            request[COMMAND_ID] = command.command_id
            submission.confirmed.set_exception(RuntimeError(f"not published: {type(error).__name__}"))
            submission.confirmed.exception()
            raise
        request[COMMAND_ID] = command.command_id
        trace_stamps.stamp(command.traceparent, "broker.confirmed")
        submission.confirmed.set_result(None)

    async def _answer(
        self, request: web.Request, submission: Submission, *, replayed: bool = False
    ) -> tuple[web.Response, bool]:
        """The answer, and whether it is the outcome."""
        named = submission.command_id, submission.resource_url
        if prefer.respond_async(request):
            headers = {"Preference-Applied": "respond-async"}
            return pending_answer(*named, headers=headers, replayed=replayed), False
        future = self._replies.expect(submission.command_id)
        try:
            async with asyncio.timeout(prefer.wait_s(request, default_s=DEFAULT_WAIT_S)):
                outcome = await asyncio.shield(future)
        except TimeoutError:
            return pending_answer(*named, headers={}, replayed=replayed), False
        finally:
            self._replies.forget(submission.command_id)
        if trace_stamps.on():
            trace_stamps.stamp(traceparent(request), "reply.received")
        outcome = msgspec.structs.replace(outcome, replayed=outcome.replayed or replayed)
        return outcome_answer(request, outcome), True


def _recorded(known: command_inbox.Known) -> tuple[Submission, Outcome | None]:
    outcome = known.outcome
    confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    confirmed.set_result(None)
    resource_url = outcome.location or status_url(outcome.command_id)
    submission = Submission(outcome.command_id, known.fingerprint, resource_url, confirmed)
    return submission, outcome if outcome.has_answer else None


def _not_taken(error: BrokerUnavailable, command_id: str) -> ProblemError:
    if isinstance(error, BrokerFull):  # there is no such command
        return unavailable("The queue is full; the command was not taken.", retry_after_s=5)
    refusal = unavailable(
        "The broker has not confirmed the command, so it may or may not be carried out;"
        " send it again with the same Idempotency-Key."
    )
    refusal.headers["Command-Id"] = command_id
    return refusal


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and (not _KEY.fullmatch(key) or holds_card_number(key)):
        words = "must be 1 to 255 printable ASCII characters, and not a card number"
        raise invalid([FieldError("/Idempotency-Key", words)])
    return key


def _fingerprint(request: web.Request, parsed: dict[str, Any]) -> str:
    path = "/".join(canonical_uuid(part) or part for part in request.path.split("/"))
    canonical = msgspec.json.encode([request.method, path, parsed], order="sorted")
    return hashlib.sha256(canonical).hexdigest()
