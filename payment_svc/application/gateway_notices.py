"""The command that tells how a charge ended: a notice of the gateway's, which may come late, twice or first.

It settles an attempt that is in flight, as the gateway's own answer or the resolver would. An attempt that is
settled stays as it is, so no notice can take a state back.
"""

from collections.abc import Iterable, Sequence

import msgspec
import structlog

from common.messaging.envelope import Command, Outcome, encode
from common.postgres.pool import Connection
from payment_svc.adapters.postgres import account_repository
from payment_svc.application.gateway import Charged, ChargeResult, Declined
from payment_svc.application.refund_commands import NO_SUCH_ATTEMPT
from payment_svc.application.rejections import refusal
from payment_svc.application.representations import attempt_url, attempt_view
from payment_svc.application.settlement import settle
from payment_svc.application.unit_of_work import Batch, token
from payment_svc.contracts.commands import NoteSettlement
from payment_svc.domain.attempt import Attempt, Refused

log = structlog.get_logger()

decode_note = msgspec.json.Decoder(NoteSettlement).decode


async def attempts(connection: Connection, asked: Iterable[object]) -> list[Attempt]:
    """The attempts that these commands tell of. To which lease and payment they belong does not change."""
    ids = [each.attempt_id for each in asked if isinstance(each, NoteSettlement)]
    return await account_repository.attempts(connection, ids=ids) if ids else []


async def under_lock(connection: Connection, batch: Batch, found: Sequence[Attempt]) -> dict[str, Attempt]:
    """The same as they are now that their accounts are locked, by id; one row is one object in a batch."""
    ids = [attempt.attempt_id for attempt in found]
    now = await account_repository.attempts(connection, ids=ids) if ids else []
    return {attempt.attempt_id: batch.originals.get(attempt.attempt_id, attempt) for attempt in now}


def note_settlement(batch: Batch, command: Command, asked: NoteSettlement) -> Outcome:
    """NoteSettlement: 200 with the attempt, whether this has settled it or it was settled before.

    Refused: 404 where there is no such charge, 422 where it is of another amount or currency.
    """
    attempt = batch.noted.get(asked.attempt_id)
    if attempt is None or attempt.refunds is not None:
        return refusal(command, NO_SUCH_ATTEMPT, None)
    account = batch.accounts[attempt.lease_id]
    for name in ("amount", "currency"):
        if getattr(asked, name) != getattr(attempt, name):
            refused = Refused(422, f"must be {getattr(attempt, name)}, as the attempt is", f"/{name}")
            return refusal(command, refused, account)
    if attempt.in_flight:
        outcome = settle(batch, attempt, _result(asked))
        if outcome is not None:  # None: a collection run has made it
            batch.completed.append(outcome)
    else:
        compare(attempt, _result(asked))
    payment = batch.payments[attempt.payment_id] if attempt.payment_id else None
    return Outcome(
        command_id=command.command_id,
        status="succeeded",
        http_status=200,
        body=msgspec.Raw(encode(attempt_view(attempt, payment, account))),
        location=attempt_url(attempt.attempt_id),
        token=token(account),
    )


def _result(asked: NoteSettlement) -> Charged | Declined:
    if asked.status == "succeeded":
        return Charged(reference=asked.reference)
    return Declined(code=asked.code or "card_declined", reference=asked.reference)


def compare(attempt: Attempt, said: ChargeResult | None) -> None:
    """Log as an error that the gateway has moved money which is not in the books; `attempt` is settled.

    Whatever else it says late changes nothing: a late decline is only late.
    """
    if not isinstance(said, Charged):
        return
    if attempt.status != "succeeded" or (attempt.gateway_reference or "") != said.reference:
        log.error(
            "settlement.books_disagree",
            attempt_id=attempt.attempt_id,
            status_here=attempt.status,
            reference_here=attempt.gateway_reference,
            reference_there=said.reference,
        )
