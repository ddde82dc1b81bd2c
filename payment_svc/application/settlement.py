"""What the gateway's answer makes of an attempt: state, events and the command's outcome. Pure."""

from datetime import date
from typing import Literal

import msgspec

from common.kernel.clock import rfc3339
from common.messaging.envelope import Event, Outcome
from common.web.problems.types import GATEWAY_NOT_REACHED, PAYMENT_DECLINED, REFUND_DECLINED
from payment_svc.application import autopay_commands, collection_run
from payment_svc.application.attempt_outcomes import outcome, rejection
from payment_svc.application.gateway import Charged, ChargeResult, Declined, NoAnswer, NotReached
from payment_svc.application.refund_commands import common_fields, taken_back
from payment_svc.application.unit_of_work import Batch, MessageContext
from payment_svc.contracts.events import (
    PaymentDeclined,
    PaymentFailed,
    PaymentResolved,
    PaymentSucceeded,
    PaymentUnknown,
    PayoffDeclined,
    PayoffSucceeded,
    RetryScheduled,
    SettledInstalment,
    Waived,
)
from payment_svc.domain import attempt as domain
from payment_svc.domain import collection_rules, lease_closing
from payment_svc.domain.attempt import Account, Attempt, Payment
from payment_svc.domain.declines import NO_RECORD


def settle(batch: Batch, attempt: Attempt, result: ChargeResult | None) -> Outcome | None:
    """Record what the gateway said of an attempt in flight, and what the command's answer is.

    `result` None: the gateway has no record of it, and will not have any; it ends as a decline of our own.
    Gives None where a collection run made the attempt: no command waits for it.
    """
    account = batch.accounts[attempt.lease_id]
    payment = batch.payments[attempt.payment_id] if attempt.payment_id else None
    context = MessageContext(
        correlation_id=attempt.command_id, causation_id=attempt.command_id, traceparent=attempt.traceparent
    )
    found = result or Declined(code=NO_RECORD, reference="")
    if attempt.status == "unknown" and isinstance(found, Charged | Declined):
        said: Literal["succeeded", "declined"] = "succeeded" if isinstance(found, Charged) else "declined"
        resolved = PaymentResolved(**common_fields(attempt), outcome=said if result else "not_found")
        event = batch.tell(account, "payment.resolved", resolved, context)
        context = MessageContext(
            correlation_id=attempt.command_id, causation_id=event.id, traceparent=attempt.traceparent
        )
    batch.settled.append(attempt)
    match found:
        case Charged():
            outcome = _succeeded(batch, account, payment, attempt, found, context)
        case Declined():
            outcome = _declined(batch, account, payment, attempt, found, context)
        case NotReached():
            outcome = _failed(batch, account, payment, attempt, found, context)
        case NoAnswer():
            outcome = _unknown(batch, account, payment, attempt, found, context)
    collection_rules.settled(account, batch.payments_of(attempt.lease_id))
    return outcome


def put_off(batch: Batch, attempt: Attempt, *, called: bool = True) -> None:
    """It was made once more and the gateway was not reached: it is made again later, under its key."""
    again_at = domain.put_off(attempt, batch.now, batch.ask_after, called=called)
    batch.put_off[attempt.attempt_id] = again_at
    batch.settled.append(attempt)


def keep_asking(batch: Batch, attempt: Attempt, *, answered: bool = True) -> None:
    """The gateway was asked about an unknown attempt and could not say: it will be asked again.

    `answered` False: it said nothing at all; that is as if it had not been asked yet.
    """
    attempt.checks += answered
    domain.next_check(attempt, batch.now, batch.ask_after if answered else batch.ask_after[:1])
    batch.settled.append(attempt)


def _succeeded(
    batch: Batch,
    account: Account,
    payment: Payment | None,
    attempt: Attempt,
    result: Charged,
    context: MessageContext,
) -> Outcome | None:
    attempt.status = "succeeded"
    attempt.settled_at = batch.now
    attempt.next_check_at = None
    attempt.gateway_reference = result.reference or None
    account.money_moves += 1
    if attempt.kind == "refund":
        _land(batch, account, payment, attempt)
        taken_back(batch, attempt, context)
    else:
        if payment is not None:
            told = _collected(batch, account, payment, attempt, result, context)
        else:
            told = _paid_off(batch, account, attempt, context)
        _cure(batch, account, attempt, told)
    return outcome(account, payment, attempt, 201)


def _collected(
    batch: Batch,
    account: Account,
    payment: Payment,
    attempt: Attempt,
    result: Charged,
    context: MessageContext,
) -> Event:
    allocation = domain.collect(payment, attempt.amount)
    collection_rules.not_done(account, payment, attempt)
    batch.touch(account, [payment])
    succeeded = PaymentSucceeded(
        **common_fields(attempt),
        gateway_reference=result.reference,
        allocation=allocation,
        amount_paid=payment.paid.total,
        amount_due=payment.amount_due,
        payment_status=payment.shown_status,
    )
    return batch.tell(account, "payment.succeeded", succeeded, context)


def _paid_off(batch: Batch, account: Account, attempt: Attempt, context: MessageContext) -> Event:
    assert attempt.payoff is not None
    payments = batch.payments_of(attempt.lease_id)
    domain.settle_payoff(account, payments, attempt)
    payoff = lease_closing.settles_nothing(attempt.payoff) if account.closed else attempt.payoff
    batch.touch(account, payments)
    by_number = {payment.number: payment.payment_id for payment in payments}
    paid_off = PayoffSucceeded(
        **common_fields(attempt),
        gateway_reference=attempt.gateway_reference,
        as_of=payoff.as_of,
        breakdown=payoff.breakdown,
        allocation=payoff.allocation,
        interest_saved=payoff.interest_saved,
        refund_due=attempt.refund_due,
        waived=Waived(late_fees=payoff.late_fees_waived),
        formula=payoff.formula,
        quote_id=payoff.quote_id,
        instalments=[
            SettledInstalment(
                number=each.number,
                payment_id=by_number[each.number],
                status=each.status,
                amount_paid=each.amount_paid,
                late_fees_waived=each.late_fees_waived,
            )
            for each in payoff.instalments
        ],
    )
    return batch.tell(account, "payoff.succeeded", paid_off, context)


def _cure(batch: Batch, account: Account, attempt: Attempt, paid: Event) -> None:
    """The lease is delinquent no longer where this money was the last that it was late with."""
    if not account.delinquent or not collection_rules.cured(account, batch.payments_of(attempt.lease_id)):
        return
    attempt.cured = True
    day = account.collected_as_of
    assert day is not None
    context = MessageContext(
        correlation_id=attempt.command_id, causation_id=paid.id, traceparent=attempt.traceparent
    )
    collection_run.cure(batch, account, day, "all that was late beyond the grace is paid", context)


def _declined(
    batch: Batch,
    account: Account,
    payment: Payment | None,
    attempt: Attempt,
    result: Declined,
    context: MessageContext,
) -> Outcome | None:
    attempt.status = "declined"
    attempt.settled_at = batch.now
    attempt.next_check_at = None
    attempt.gateway_reference = result.reference or None
    attempt.decline = batch.judge(result.code)
    _land(batch, account, payment, attempt)
    stopped = (
        attempt.kind != "refund"
        and batch.hard_decline_stops == "method"
        and collection_rules.stop_method(account, attempt, attempt.decline, batch.now) is not None
    )
    if attempt.kind == "payoff":
        payoff = PayoffDeclined(
            **common_fields(attempt), decline=attempt.decline, gateway_reference=attempt.gateway_reference
        )
        told = batch.tell(account, "payoff.declined", payoff, context)
    else:
        follows = collection_rules.Autopay()
        if payment is not None and attempt.kind == "instalment":
            follows = collection_rules.declined(
                account, payment, attempt, attempt.decline, batch.now, hard_stops=batch.hard_decline_stops
            )
            if follows.retry_on is not None and payment.next_retry_at is not None:
                retry_at = rfc3339(payment.next_retry_at)
                attempt.decline = msgspec.structs.replace(attempt.decline, retry_at=retry_at)
        data = PaymentDeclined(
            **common_fields(attempt),
            decline=attempt.decline,
            gateway_reference=attempt.gateway_reference,
            autopay_over=follows.over,
        )
        told = batch.tell(account, "payment.declined", data, context)
        if payment is not None and follows.retry_on is not None:
            _tell_retry(batch, account, payment, attempt, follows.retry_on, told)
    if stopped:
        if attempt.as_of is not None:
            waited = collection_rules.tried_for_all(batch.payments_of(account.lease_id), attempt.as_of)
            batch.touch(account, waited)
        autopay_commands.tell_stopped(batch, account, _because_of(attempt, told))
    kind, detail = PAYMENT_DECLINED, f"The issuer declined the charge: {result.code}."
    if attempt.kind == "refund":
        kind, detail = REFUND_DECLINED, f"The gateway declined the refund: {result.code}."
    extra: dict[str, object] = {"decline": msgspec.to_builtins(attempt.decline)}
    return rejection(account, attempt, kind, detail, extra)


def _failed(
    batch: Batch,
    account: Account,
    payment: Payment | None,
    attempt: Attempt,
    result: NotReached,
    context: MessageContext,
) -> Outcome | None:
    attempt.status = "failed"
    attempt.settled_at = batch.now
    attempt.next_check_at = None
    _land(batch, account, payment, attempt)
    over = None
    if payment is not None and attempt.kind == "instalment":
        over = collection_rules.not_reached(account, payment, attempt, batch.now, outage=result.outage)
    told = PaymentFailed(
        **common_fields(attempt), reason=result.reason, autopay_over=over, outage=result.outage
    )
    batch.tell(account, "payment.failed", told, context)
    detail = "The payment gateway was not reached; no money has moved. It may be tried again."
    return rejection(account, attempt, GATEWAY_NOT_REACHED, detail, {})


def _unknown(
    batch: Batch,
    account: Account,
    payment: Payment | None,
    attempt: Attempt,
    result: NoAnswer,
    context: MessageContext,
) -> Outcome | None:
    attempt.checks = (
        0  # until now, how often it was made once more; from now on, how often it was asked about
    )
    domain.next_check(attempt, batch.now, batch.ask_after)
    told = PaymentUnknown(**common_fields(attempt), reason=result.reason)
    batch.tell(account, "payment.unknown", told, context)
    return outcome(account, payment, attempt, 202)


def _land(batch: Batch, account: Account, payment: Payment | None, attempt: Attempt) -> None:
    """Nothing is in flight any longer."""
    if payment is not None:
        payment.in_flight = None
        batch.touch(account, [payment])
    else:
        account.payoff_in_flight = None
        if attempt.payoff is not None and attempt.payoff.quote_id is not None:
            batch.freed.append(attempt.attempt_id)


def _tell_retry(
    batch: Batch, account: Account, payment: Payment, attempt: Attempt, retry_on: date, declined: Event
) -> None:
    retry = RetryScheduled(
        attempt_id=attempt.attempt_id,
        payment_id=payment.payment_id,
        number=payment.number,
        lease_id=account.lease_id,
        currency=account.currency,
        retry_at=retry_on,
        attempts=payment.autopay_declines,
        reason=f"soft decline {payment.autopay_declines} of autopay, at most {collection_rules.MAX_ATTEMPTS}",
    )
    batch.tell(account, "payment.retry_scheduled", retry, _because_of(attempt, declined))


def _because_of(attempt: Attempt, event: Event) -> MessageContext:
    return MessageContext(
        correlation_id=attempt.command_id, causation_id=event.id, traceparent=attempt.traceparent
    )
