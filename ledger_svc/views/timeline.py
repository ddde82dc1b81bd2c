"""What happened to a lease, told in words for people."""

from collections.abc import Iterable, Iterator
from typing import Annotated, assert_never

import msgspec
from msgspec import Meta

from common.kernel.clock import rfc3339
from ledger_svc.contracts import envelope, payloads
from ledger_svc.contracts.payloads import Data
from ledger_svc.log.entry import Entry
from ledger_svc.views.lease_state import EMPTY, LeaseState, apply_data
from ledger_svc.views.point_in_time import in_order
from ledger_svc.views.timeline_text import (
    autopay,
    created,
    day,
    declined,
    delinquent,
    given_back,
    money,
    named,
    paid_early,
    plain,
    price,
    quoted,
    received,
    subject,
)

_OUTCOMES = {
    "succeeded": "the money was taken",
    "declined": "it was declined",
    "not_found": "it never arrived and nothing was taken",
}


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the timeline."""

    at: Annotated[str, Meta(description="RFC 3339, UTC, microseconds: when it occurred")]
    seq: Annotated[int, Meta(description="of the ledger's entry")]
    type: Annotated[str, Meta(description="the event's")]
    title: Annotated[str, Meta(description="a few words")]
    summary: Annotated[str, Meta(description="a sentence without its full stop")]
    amount: Annotated[int, Meta(description="minor units: what the event is about; not to be added up")]
    collected: Annotated[
        int,
        Meta(description="minor units that came in, negative: went back; all lines together: what is paid"),
    ]
    balance_change: Annotated[
        int, Meta(description="minor units; all lines up to this one together: `balance_after`")
    ]
    balance_after: Annotated[
        int | None, Meta(description="minor units; None while the ledger has not seen lease.created")
    ]


def timeline(entries: Iterable[Entry]) -> Iterator[Item]:
    """One item for each entry of a lease, of which all are given, oldest first (see `reconstruct.in_order`).

    `balance_after` comes from folding all entries up to that one, so a page is cut from the items, never from
    the entries. UnknownEventType and MalformedEvent as in `reconstruct.apply`.
    """
    state = EMPTY
    for entry in in_order(entries):
        data = envelope.data_of(envelope.decode(entry.raw))
        before, state = state, apply_data(state, data)
        title, summary, amount = _tell(data, term=len(state.schedule))
        yield Item(
            at=rfc3339(entry.occurred_at),
            seq=entry.seq,
            type=entry.type,
            title=title,
            summary=summary,
            amount=amount,
            collected=state.collected - before.collected,
            balance_change=_balance(state) - _balance(before),
            balance_after=None if state.status is None else state.balance,
        )


def _balance(state: LeaseState) -> int:
    """0 while nobody knows: what was paid before is in the change that lease.created brings."""
    return 0 if state.status is None else state.balance


def _tell(data: Data, *, term: int) -> tuple[str, str, int]:
    """Title, summary and amount of one event."""
    match data:
        case payloads.LeaseCreated():
            return "Lease created", created(data), data.total_payable
        case payloads.LeasePaidOff():
            how = "early payoff" if data.cause == "payoff" else "last instalment"
            paid = money(data.amount_paid, data.currency)
            return "Lease paid off", f"Closed by the {how}; {paid} paid in all", data.amount_paid
        case payloads.LeaseCancelled():
            text = f"{money(data.balance, data.currency)} is no longer to be paid ({data.reason})"
            return "Lease cancelled", text, data.balance
        case payloads.LeaseChargedOff():
            text = f"{money(data.amount, data.currency)} is given up as a loss ({data.reason})"
            return "Lease charged off", text, data.amount
        case payloads.LeaseReopened():
            text = f"Opened again by a {data.cause}; {money(data.balance, data.currency)} to be paid"
            return "Lease reopened", text, data.balance
        case payloads.MoneyTakenBack():
            return *given_back(data, term), data.amount
        case payloads.AttemptStarted() if data.kind == "refund":
            text = f"{subject(data, term)}: giving {price(data)} back to {data.payment_method}"
            return "Refund started", text, data.amount
        case payloads.PaymentDeclined() if data.kind == "refund":
            text = f"{subject(data, term)}: the gateway did not give {price(data)} back"
            return "Refund declined", f"{text} ({plain(data.decline.code)})", data.amount
        case payloads.PaymentFailed() if data.kind == "refund":
            text = f"{subject(data, term)}: the gateway was not reached, nothing was given back"
            return "Refund not attempted", f"{text} ({plain(data.reason)})", data.amount
        case payloads.PaymentUnknown() if data.kind == "refund":
            text = f"{subject(data, term)}: no answer whether {price(data)} went back"
            text = f"{text} ({plain(data.reason)}); the gateway will be asked, nothing is given back twice"
            return "Refund outcome unknown", text, data.amount
        case payloads.PaymentResolved() if data.kind == "refund":
            said = "the money was given back" if data.outcome == "succeeded" else "it was declined"
            text = f"{subject(data, term)}: asked about {price(data)}, the gateway said that {said}"
            return "Refund outcome learned", text, data.amount
        case payloads.AttemptStarted():
            text = f"{subject(data, term)}: taking {price(data)} from {data.payment_method}"
            return "Payment started", text, data.amount
        case payloads.PaymentSucceeded():
            return *received(data, term), data.amount
        case payloads.PaymentDeclined() | payloads.PayoffDeclined():
            return "Payment declined", declined(data, term), data.amount
        case payloads.PaymentFailed():
            text = f"{subject(data, term)}: {price(data)} never reached the gateway, nothing was taken"
            return "Payment not attempted", f"{text} ({plain(data.reason)})", data.amount
        case payloads.PaymentUnknown():
            text = f"{subject(data, term)}: no answer about {price(data)} from {data.payment_method}"
            text = f"{text} ({plain(data.reason)}); the gateway will be asked, not charged a second time"
            return "Payment outcome unknown", text, data.amount
        case payloads.PaymentResolved():
            said = _OUTCOMES.get(data.outcome, plain(data.outcome))
            text = f"{subject(data, term)}: asked about {price(data)}, the gateway said that {said}"
            return "Payment outcome learned", text, data.amount
        case payloads.PayoffSucceeded():
            return *paid_early(data), data.amount
        case payloads.PayoffQuoted():
            return "Payoff quoted", quoted(data), data.amount
        case payloads.RetryScheduled():
            text = f"{named(data.number, term)}: decline {data.attempts} of autopay"
            return "Retry scheduled", f"{text}; the next try is on {day(data.retry_at)}", 0
        case payloads.AutopayChanged():
            return *autopay(data), 0
        case payloads.LateFeeAssessed():
            text = f"{named(data.number, term)}, due on {day(data.due_date)}, was not paid within the grace"
            return "Late fee", f"{text}; it costs {money(data.amount, data.currency)} more", data.amount
        case payloads.LeaseDelinquent():
            return "Lease delinquent", delinquent(data), data.amount_late
        case payloads.LeaseCured():
            return "Lease cured", f"As of {day(data.as_of)}: {data.reason}", 0
        case _:
            assert_never(data)
