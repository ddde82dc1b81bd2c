"""Whether and with what autopay collects: asking for a change of it, and telling of one. Pure."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from common.messaging.envelope import Command, Outcome, encode
from payment_svc.application.rejections import refusal
from payment_svc.application.representations import autopay_view
from payment_svc.application.unit_of_work import Batch, MessageContext, token
from payment_svc.contracts.commands import SetAutopay
from payment_svc.contracts.events import AutopayChanged, AutopayInstalment
from payment_svc.domain import collection_rules
from payment_svc.domain.attempt import Account, Payment, Refused, refuse_closed

decode_autopay = msgspec.json.Decoder(SetAutopay).decode


def set_autopay(batch: Batch, command: Command, asked: SetAutopay) -> Outcome:
    """SetAutopay: 200 with what holds from now on, or the refusal as things stand.

    Where it changes nothing, nothing is told.
    """
    account = batch.accounts.get(asked.lease_id)
    if account is None:
        return refusal(command, Refused(404, "There is no such lease."), None)
    context = MessageContext(
        correlation_id=command.command_id, causation_id=command.command_id, traceparent=command.traceparent
    )
    try:
        change_and_tell(batch, account, asked, context)
    except Refused as refused:
        return refusal(command, refused, account)
    return Outcome(
        command_id=command.command_id,
        status="succeeded",
        http_status=200,
        body=msgspec.Raw(encode(autopay_view(account))),
        token=token(account),
    )


def change_and_tell(batch: Batch, account: Account, asked: SetAutopay, context: MessageContext) -> None:
    """Change it in the batch, and tell of it where that changes anything. Raises Refused as `change` does."""
    before = (account.autopay, account.payment_method, account.autopay_stopped)
    payments = batch.payments_of(account.lease_id)
    anew = change(account, payments, autopay=asked.autopay, method=asked.payment_method)
    if anew or before != (account.autopay, account.payment_method, account.autopay_stopped):
        batch.touch(account, anew)
        _tell(batch, account, "requested", anew, context)


def change(
    account: Account, payments: Sequence[Payment], *, autopay: bool, method: str | None
) -> list[Payment]:
    """Autopay is asked for, or no longer; gives the instalments whose series of attempts begins anew.

    `payments`: all of the lease; `method` None: the one known. Every instalment that was tried begins anew
    with another method, and where autopay takes up again what was stopped as a whole or off; else those that
    were stopped one by one. Turning it off stops no instalment for good, and frees no stopped method.
    Raises Refused: 409 where the lease is closed or paid off, 422 where no method is known, or a stopped one.
    """
    refuse_closed(account)
    opened = [payment for payment in payments if payment.open]
    if not opened:
        raise Refused(409, "This lease is paid off; nothing is left to be collected.")
    if autopay and method is None and account.payment_method is None:
        raise Refused(422, "is required: no payment method of this lease is known", "/payment_method")
    if autopay and method is None and account.autopay_stopped is not None:
        why = account.autopay_stopped.reason
        raise Refused(422, f"is required: {account.payment_method} is stopped ({why})", "/payment_method")
    as_a_whole = not account.autopay or account.autopay_stopped is not None
    if method is not None:
        as_a_whole = as_a_whole or method != account.payment_method
        account.payment_method, account.autopay_stopped = method, None
    account.autopay = autopay
    if not autopay:
        return []
    anew = [each for each in opened if collection_rules.stopped_or_tried(each, tried=as_a_whole)]
    for payment in anew:
        collection_rules.begin_anew(payment)
    if as_a_whole or anew:
        account.look_by(min(payment.due_date for payment in opened))
    return anew


def tell_stopped(batch: Batch, account: Account, context: MessageContext) -> None:
    """The issuer has declined the method for good: no run charges anything of the lease."""
    _tell(batch, account, "hard_decline", (), context)


def _tell(
    batch: Batch,
    account: Account,
    reason: Literal["requested", "hard_decline"],
    anew: Sequence[Payment],
    context: MessageContext,
) -> None:
    changed = AutopayChanged(
        lease_id=account.lease_id,
        currency=account.currency,
        autopay=account.autopay,
        payment_method=account.payment_method,
        autopay_stopped=account.autopay_stopped,
        reason=reason,
        instalments=[AutopayInstalment(number=each.number, payment_id=each.payment_id) for each in anew],
    )
    batch.tell(account, "lease.autopay_changed", changed, context)
