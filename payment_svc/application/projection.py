"""A lease's account, payments, attempts and quotes from nothing but its events. Pure.

Attempts begin and end by the same functions as in the live service. What the gateway said is taken from the
events, and what these functions tell is held against what was told. `seensequence` says what of the lease
service's events had been applied before each.

What does not follow is what no event tells of: that a day has come (`due` and `late` of an open instalment,
when a run is to look at a lease again), and who is at work on what (checks, claims).
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from common.messaging.envelope import Command, Event
from common.messaging.tolerant_reader import UnknownEventType
from common.replay.fold import DoNotAddUp, UnknownType, by_source, check_told
from payment_svc.application import autopay_commands, collection_run, quote_commands, refund_commands
from payment_svc.application.event_handlers import handler
from payment_svc.application.gateway import Charged, ChargeResult, Declined, NoAnswer, NotReached
from payment_svc.application.settlement import settle
from payment_svc.application.unit_of_work import Batch, MessageContext
from payment_svc.contracts import events as catalogue
from payment_svc.contracts.commands import QuotePayoff, SetAutopay
from payment_svc.domain import attempt as domain
from payment_svc.domain import collection_rules, lease_closing, refund
from payment_svc.domain.account_factory import account_of, payments_of
from payment_svc.domain.attempt import Attempt, Payment, Refused
from payment_svc.domain.declines import NO_RECORD
from payment_svc.domain.payoff import CUT
from payment_svc.domain.payoff_quote import Quote, start_quoted_payoff

LEASES = "/lease-svc"
_OPEN = ("scheduled", "due", "late")
_Declined = catalogue.PaymentDeclined | catalogue.PayoffDeclined

decode_created = msgspec.json.Decoder(catalogue.LeaseCreated).decode
_decode = {type_: msgspec.json.Decoder(model).decode for type_, model in catalogue.CATALOGUE.items()}


class Folded:
    """What a lease's events add up to; it grows with each that is applied."""

    def __init__(self, created: catalogue.LeaseCreated) -> None:
        self.created = created
        self.account = account_of(created)
        self.payments = {payment.payment_id: payment for payment in payments_of(created)}
        self.attempts: dict[str, Attempt] = {}
        self.quotes: dict[str, Quote] = {}
        self.stopped_by: set[str] = set()  # events by which the lease's payment method was stopped, by all


def fold(events: Sequence[Event]) -> Folded:
    """All of a lease, from all its events in any order. Raises DoNotAddUp, UnknownType."""
    leases, own = by_source(events, (LEASES, catalogue.SOURCE))
    for event in events:
        if event.source == LEASES:
            try:
                handler(event)
            except UnknownEventType as error:
                raise UnknownType(str(error)) from None
        elif event.type not in _APPLY:
            raise UnknownType(f"{event.type} (event {event.id})")
    if not leases or leases[0].type != "lease.created":
        raise DoNotAddUp("lease.created is missing")
    folded = Folded(decode_created(leases[0].data))
    folded.stopped_by = {event.causationid for event in own if event.type == "lease.autopay_changed"}
    derived: dict[int, Event] = {}
    for event in own:
        _learn(folded, leases[: event.seensequence or 1])
        batch = Batch({event.subject: folded.account}, folded.payments.values(), _time(event))
        batch.originals = batch.given = folded.attempts
        batch.quotes = folded.quotes
        try:
            _APPLY[event.type](folded, batch, event, _decode[event.type](event.data))
        except Refused as refused:
            raise DoNotAddUp(f"{event.type} ({event.source} {event.sequence}): {refused.detail}") from None
        derived.update((each.sequence, each) for each in batch.events)
        for quote in folded.quotes.values():
            if quote.used_by in batch.freed:
                quote.used_by = None
    _learn(folded, leases)
    for event in own:
        if event.sequence in derived:
            check_told(event, derived[event.sequence], but=("reason",), plain=_plain)
        elif event.sequence <= folded.account.event_sequence and event.type not in _BARE:
            raise DoNotAddUp(f"{event.type} ({event.source} {event.sequence}) follows from nothing")
    return folded


def _learn(folded: Folded, news: Sequence[Event]) -> None:
    """Apply those of the lease service's events that are not yet applied."""
    for event in news[folded.account.lease_sequence :]:
        if event.type in lease_closing.HOW:
            lease_closing.cancel_open(folded.payments.values())
            lease_closing.forget(folded.account)
            folded.account.closed = lease_closing.HOW[event.type]
        folded.account.lease_sequence = event.sequence


def _started(folded: Folded, batch: Batch, event: Event, told: catalogue.AttemptStarted) -> None:
    account, now = folded.account, batch.now
    names = (told.attempt_id, event.correlationid)
    if told.kind == "instalment":
        payment = folded.payments[told.payment_id or ""]
        attempt = domain.start(account, payment, *names, told.payment_method, told.amount, now)
        if told.as_of is not None:
            attempt.run_id, attempt.as_of, attempt.reason = told.run_id, told.as_of, told.reason
            collection_rules.tried(payment, told.as_of)
    elif told.kind == "refund":
        original = folded.attempts[told.refunded_attempt_id or ""]
        concerned = _concerned(folded, original)
        reason = told.reason or ""
        attempt = refund.start(account, concerned, original, *names, told.amount, reason, now)
        attempt.refund_due_of = told.refund_due_of
    elif told.quote_id is None:
        payments, formula = batch.payments_of(told.lease_id), told.formula or CUT
        today, method = now.date(), told.payment_method
        attempt = domain.start_payoff(account, payments, *names, method, today, now, formula=formula)
    else:
        payments, quote = batch.payments_of(told.lease_id), folded.quotes.get(told.quote_id)
        attempt = start_quoted_payoff(account, payments, quote, *names, told.payment_method, now)
    attempt.traceparent = event.traceparent
    folded.attempts[attempt.attempt_id] = attempt
    collection_run.tell_started(batch, account, attempt, _context(event))


def _charged_back(folded: Folded, batch: Batch, event: Event, told: catalogue.MoneyTakenBack) -> None:
    original = folded.attempts[told.refunded_attempt_id]
    attempt = refund.charge_back(
        folded.account,
        _concerned(folded, original),
        original,
        told.attempt_id,
        event.correlationid,
        told.notice_id or told.attempt_id,
        told.amount,
        told.reason,
        batch.now,
    )
    attempt.traceparent = event.traceparent
    folded.attempts[attempt.attempt_id] = attempt
    _as_told(batch, told)
    refund_commands.taken_back(batch, attempt, _context(event))


def _quoted(_folded: Folded, batch: Batch, event: Event, told: catalogue.PayoffQuoted) -> None:
    asked = QuotePayoff(quote_id=told.quote_id, lease_id=told.lease_id, as_of=told.as_of)
    command = Command(
        command_id=event.correlationid, type="QuotePayoff", submitted_at=batch.now, data=event.data
    )
    # where it is refused, the event follows from nothing
    quote_commands.quote_payoff(batch, command, asked, formula=told.formula)


def _settled(result: Callable[[Any], ChargeResult | None]) -> Callable[..., None]:
    """For an event that says what the gateway said."""

    def apply(folded: Folded, batch: Batch, event: Event, told: catalogue.AttemptEvent) -> None:
        if isinstance(told, _Declined):  # judged then, whatever the table says now
            judged = msgspec.structs.replace(told.decline, retry_at=None)
            batch.judge = lambda _code: judged
            over = getattr(told, "autopay_over", None)
            alone: collection_rules.HardDeclineStops = "instalment" if over == "hard_decline" else "nothing"
            batch.hard_decline_stops = "method" if event.id in folded.stopped_by else alone
        elif isinstance(told, catalogue.MoneyTakenBack):
            _as_told(batch, told)
        settle(batch, folded.attempts[told.attempt_id], result(told))

    return apply


def _as_told(batch: Batch, told: catalogue.MoneyTakenBack) -> None:
    """Which instalments it stops depends on the lease's day, which no event tells. Older events stop all."""
    going_on = {each.number for each in told.instalments if each.autopay_stopped is None}
    batch.reversal_stops = lambda account, payment, *_: account.autopay and payment.number not in going_on


def _autopay(folded: Folded, batch: Batch, event: Event, told: catalogue.AutopayChanged) -> None:
    account = folded.account
    if event.sequence <= account.event_sequence:
        return  # told together with the decline that has stopped the method
    if told.reason == "hard_decline":  # that was before such a decline stopped methods; now a run has seen it
        account.autopay_stopped = told.autopay_stopped
        account.event_sequence += 1
        return
    named = told.payment_method if told.autopay_stopped is None else None
    asked = SetAutopay(lease_id=told.lease_id, autopay=told.autopay, payment_method=named)
    autopay_commands.change_and_tell(batch, account, asked, _context(event))


def _late_fee(folded: Folded, _batch: Batch, event: Event, told: catalogue.LateFeeAssessed) -> None:
    payment = folded.payments[told.payment_id]
    payment.owed = msgspec.structs.replace(payment.owed, late_fees=told.amount)
    if payment.amount_due != told.amount_due:
        raise DoNotAddUp(f"{event.type} ({event.sequence}) tells {told.amount_due}, {payment.amount_due} due")
    folded.account.event_sequence += 1


def _delinquent(folded: Folded, _batch: Batch, event: Event, _told: object) -> None:
    folded.account.delinquent = event.type == "lease.delinquent"
    folded.account.event_sequence += 1


def _with_another(_folded: Folded, _batch: Batch, _event: Event, _told: object) -> None:
    """Told together with another event, of which it follows."""


_APPLY: dict[str, Callable[..., None]] = {
    "payment.attempt_started": _started,
    "payment.succeeded": _settled(lambda told: Charged(reference=told.gateway_reference)),
    "payment.declined": _settled(lambda told: _no(told)),
    "payment.failed": _settled(lambda told: NotReached(reason=told.reason, outage=told.outage)),
    "payment.unknown": _settled(lambda told: NoAnswer(reason=told.reason)),
    "payment.resolved": _with_another,  # the next
    "payment.refunded": _settled(lambda told: Charged(reference=told.gateway_reference or "")),
    "payment.charged_back": _charged_back,
    "payoff.succeeded": _settled(lambda told: Charged(reference=told.gateway_reference or "")),
    "payoff.declined": _settled(lambda told: _no(told)),
    "payoff.quoted": _quoted,
    "payment.retry_scheduled": _with_another,  # the one before
    "lease.autopay_changed": _autopay,
    "lease.late_fee_assessed": _late_fee,
    "lease.delinquent": _delinquent,
    "lease.cured": _delinquent,
}
_BARE = frozenset({"lease.late_fee_assessed", "lease.delinquent", "lease.cured", "lease.autopay_changed"})


def _no(told: _Declined) -> Declined | None:
    if told.decline.code == NO_RECORD:  # what the gateway never knew of
        return None
    return Declined(code=told.decline.code, reference=told.gateway_reference or "")


def _concerned(folded: Folded, original: Attempt) -> list[Payment]:
    """Whose money it was: the instalment, or all of them where it was a payoff."""
    if original.payment_id is None:
        return list(folded.payments.values())
    return [folded.payments[original.payment_id]]


def _context(event: Event) -> MessageContext:
    return MessageContext(
        correlation_id=event.correlationid, causation_id=event.causationid, traceparent=event.traceparent
    )


def _plain(name: str, value: Any) -> Any:
    """A status without what no event tells of."""
    return "open" if name in ("status", "payment_status") and value in _OPEN else value


def _time(event: Event) -> datetime:
    return datetime.fromisoformat(event.time)
