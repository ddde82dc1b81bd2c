"""The commands that take money back, and what is told once it has been taken."""

from collections.abc import Iterable
from typing import Any

import msgspec
import structlog

from common.kernel.ids import uuid7
from common.messaging.envelope import Command, Outcome, encode
from common.postgres.pool import Connection
from payment_svc.adapters.postgres import account_repository
from payment_svc.application.rejections import refusal
from payment_svc.application.representations import attempt_url, attempt_view
from payment_svc.application.unit_of_work import Batch, MessageContext, token
from payment_svc.contracts.commands import RecordChargeback, RefundAttempt
from payment_svc.contracts.events import (
    AttemptStarted,
    ChangedInstalment,
    PaymentChargedBack,
    PaymentRefunded,
)
from payment_svc.domain import collection_rules
from payment_svc.domain import refund as domain
from payment_svc.domain.attempt import Account, Attempt, Payment, Refused

log = structlog.get_logger()

decode_refund = msgspec.json.Decoder(RefundAttempt).decode
decode_chargeback = msgspec.json.Decoder(RecordChargeback).decode

NO_SUCH_ATTEMPT = Refused(404, "There is no such attempt.")


async def originals(connection: Connection, asked: Iterable[object]) -> list[Attempt]:
    """The attempts whose money these commands want to take back, as far as there are such attempts.

    What they say may change until their accounts are locked; to which lease and payment they belong does not.
    """
    ids, references = [], []
    for each in asked:
        match each:
            case RefundAttempt(refunds=attempt_id):
                ids.append(attempt_id)
            case RecordChargeback(attempt_id=str(attempt_id)):
                ids.append(attempt_id)
            case RecordChargeback(gateway_reference=str(reference)):
                references.append(reference)
    if not ids and not references:
        return []
    return await account_repository.collected(connection, ids=ids, references=references)


def notices(asked: Iterable[object]) -> list[str]:
    """The gateway's notices that these commands are about."""
    return [each.notice_id for each in asked if isinstance(each, RecordChargeback)]


def start_refund(batch: Batch, command: Command, asked: RefundAttempt) -> Attempt | Outcome:
    """RefundAttempt: the refund that is to be made, or the refusal as things stand."""
    original = batch.originals.get(asked.refunds)
    if original is None:
        return refusal(command, NO_SUCH_ATTEMPT, None)
    account, payments = _touched(batch, original)
    try:
        payoff, amount = _due(batch, account, original, asked)
        attempt = domain.start(
            account,
            payments,
            original,
            asked.attempt_id,
            command.command_id,
            amount,
            asked.reason,
            batch.now,
        )
    except Refused as refused:
        return refusal(command, refused, account)
    if payoff is not None:
        attempt.refund_due_of = payoff
        batch.given[attempt.attempt_id] = attempt
    batch.touch(account, payments if original.payment_id else ())
    return attempt


def _due(
    batch: Batch, account: Account, original: Attempt, asked: RefundAttempt
) -> tuple[str | None, int | None]:
    """The payoff whose `refund_due` is to be given back, and how much of it; None: any other refund.

    What the gateway has refused to give back by itself somebody asks for by that reason, perhaps of other
    money. Raises Refused: 409 where no more is due, 422 for more than that.
    """
    payoff = batch.originals.get(account.payoff_standing or "")
    if asked.reason != domain.REFUND_DUE or payoff is None or not payoff.refund_due:
        return None, asked.amount
    left = payoff.refund_due - sum(
        each.amount
        for each in batch.given.values()
        if each.refund_due_of == payoff.attempt_id and (each.in_flight or each.status == "succeeded")
    )
    if not left:
        raise Refused(409, "Nothing of what the payoff owes to the customer is left to be given back.")
    if asked.amount is not None and asked.amount > left:
        raise Refused(422, f"must be at most {left}, what the payoff still owes to the customer", "/amount")
    return payoff.attempt_id, asked.amount or min(left, original.left) or None


def record_chargeback(batch: Batch, command: Command, asked: RecordChargeback) -> Outcome:
    """RecordChargeback: 201 with the chargeback, also for a repeat of its notice.

    A refusal means that the books do not agree with the gateway's, or not yet: it is logged as an error, and
    whoever told of the chargeback has to tell of it again (409) or to look into it (404, 422).
    """
    known = batch.notices.get(asked.notice_id)
    if known is not None:
        return _recorded(batch, command, known)
    original = _named(batch, asked)
    account = batch.accounts[original.lease_id] if original else None
    try:
        if original is None or account is None:
            raise NO_SUCH_ATTEMPT
        if asked.currency not in (None, original.currency):
            raise Refused(422, f"must be {original.currency}, as the attempt is", "/currency")
        attempt = domain.charge_back(
            account,
            _touched(batch, original)[1],
            original,
            uuid7(),
            command.command_id,
            asked.notice_id,
            asked.amount,
            asked.reason,
            batch.now,
        )
    except Refused as refused:
        log.error(
            "chargeback.refused",
            notice_id=asked.notice_id,
            attempt_id=asked.attempt_id,
            gateway_reference=asked.gateway_reference,
            amount=asked.amount,
            status=refused.status,
            detail=refused.detail,
        )
        return refusal(command, refused, account)
    attempt.traceparent = command.traceparent
    batch.notices[asked.notice_id] = attempt
    batch.started.append(attempt)
    batch.settled.append(attempt)
    context = MessageContext(
        correlation_id=command.command_id, causation_id=command.command_id, traceparent=command.traceparent
    )
    taken_back(batch, attempt, context)
    return _recorded(batch, command, attempt)


def taken_back(batch: Batch, attempt: Attempt, context: MessageContext) -> None:
    """A refund or chargeback has moved money: undo what it takes back, and tell of it."""
    assert attempt.refunds is not None
    original = batch.originals[attempt.refunds]
    account, payments = batch.accounts[original.lease_id], batch.payments_of(original.lease_id)
    known = batch.originals | batch.noted  # the batch may have settled the payoff that stands
    standing = known[account.payoff_standing].payoff if account.payoff_standing else None
    in_full = domain.paid_in_full(payments, original)
    were_open = {payment.number for payment in payments if payment.open}
    due_of = attempt.refund_due_of
    if due_of is not None and due_of == account.payoff_standing:
        batch.given[attempt.attempt_id] = attempt
        undone = domain.give_due(original, attempt.amount)
    else:
        due_of = None  # by now the payoff is undone: then this is a refund like any other
        given = _given(batch, account)
        undone = domain.take_back(account, payments, original, attempt.amount, standing, given)
    batch.taken_back[original.attempt_id] = original
    batch.touch(account, undone.changed)
    for payment in undone.changed:
        if payment.open:
            payment.status = collection_rules.status_on(payment, account.collected_as_of)
            if batch.reversal_stops(account, payment, batch.now.date(), payment.number in in_full):
                collection_rules.given_back(payment, attempt, batch.now)
            elif payment.number not in in_full | were_open:  # settled no longer: others' money went back
                collection_rules.begin_anew(payment)
            account.look_by(payment.due_date)
    batch.owing.update((payment.payment_id, payment) for payment in undone.changed)
    told = (PaymentRefunded if attempt.kind == "refund" else PaymentChargedBack)(
        **common_fields(attempt),
        refunded_attempt_id=original.attempt_id,
        gateway_reference=attempt.gateway_reference,
        notice_id=attempt.notice_id,
        reason=attempt.reason or "",
        allocation=undone.allocation,
        instalments=[
            ChangedInstalment(
                number=payment.number,
                payment_id=payment.payment_id,
                status=payment.status,
                amount=payment.owed.total,
                amount_paid=payment.paid.total,
                amount_due=payment.amount_due,
                autopay_stopped=payment.autopay_stopped,
            )
            for payment in undone.changed
        ],
        interest_owed_again=undone.interest_owed_again,
        late_fees_owed_again=undone.late_fees_owed_again,
        refund_due_of=due_of,
        refund_lapsed=undone.refund_lapsed,
    )
    type_ = "payment.refunded" if attempt.kind == "refund" else "payment.charged_back"
    batch.tell(account, type_, told, context)


def attempt_started(attempt: Attempt) -> AttemptStarted:
    """What is told of an attempt that is about to be made."""
    return AttemptStarted(
        **common_fields(attempt),
        run_id=attempt.run_id,
        as_of=attempt.as_of,
        quote_id=attempt.payoff.quote_id if attempt.payoff else None,
        refunded_attempt_id=attempt.refunds,
        reason=attempt.reason,
        formula=attempt.payoff.formula if attempt.payoff else None,
        refund_due_of=attempt.refund_due_of,
    )


def common_fields(attempt: Attempt) -> dict[str, Any]:
    """The fields that every event of an attempt has."""
    return {
        "attempt_id": attempt.attempt_id,
        "payment_id": attempt.payment_id,
        "number": attempt.number,
        "lease_id": attempt.lease_id,
        "kind": attempt.kind,
        "amount": attempt.amount,
        "currency": attempt.currency,
        "payment_method": attempt.payment_method,
    }


def _given(batch: Batch, account: Account) -> list[domain.Given]:
    """What has gone back of what the standing payoff owes to the customer, in one order for everybody."""
    return [
        domain.Given(batch.originals[each.refunds], each.amount)
        for _, each in sorted(batch.given.items())
        if account.payoff_standing is not None
        and each.refund_due_of == account.payoff_standing
        and each.status == "succeeded"
        and each.refunds is not None
    ]


def _touched(batch: Batch, original: Attempt) -> tuple[Account, list[Payment]]:
    """Whose money it was: the account, and the instalment, or all of them where it was a payoff."""
    account = batch.accounts[original.lease_id]
    if original.payment_id is None:
        return account, batch.payments_of(original.lease_id)
    return account, [batch.payments[original.payment_id]]


def _named(batch: Batch, asked: RecordChargeback) -> Attempt | None:
    """The attempt that a notice names: by its id, by the gateway's reference, or by both."""
    for each in batch.originals.values():
        by_id = asked.attempt_id in (None, each.attempt_id)
        if by_id and asked.gateway_reference in (None, each.gateway_reference):
            return each if asked.attempt_id or asked.gateway_reference else None
    return None


def _recorded(batch: Batch, command: Command, attempt: Attempt) -> Outcome:
    account = batch.accounts[attempt.lease_id]
    payment: Payment | None = batch.payments.get(attempt.payment_id) if attempt.payment_id else None
    return Outcome(
        command_id=command.command_id,
        status="succeeded",
        http_status=201,
        body=msgspec.Raw(encode(attempt_view(attempt, payment, account))),
        location=attempt_url(attempt.attempt_id),
        token=token(account),
    )
