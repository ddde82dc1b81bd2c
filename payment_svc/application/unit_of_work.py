"""What a batch of messages has loaded and changed, and the events it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from common.kernel.clock import rfc3339
from common.kernel.ids import uuid7
from common.messaging.envelope import Event, Outcome, encode
from common.web import read_your_writes
from payment_svc.contracts.events import MAY_BE_SKIPPED, SOURCE
from payment_svc.domain.attempt import ASK_AFTER, CLAIM, Account, Attempt, Payment
from payment_svc.domain.collection_rules import HardDeclineStops, reversal_stops
from payment_svc.domain.declines import Decline, decline
from payment_svc.domain.payoff_quote import Quote

if TYPE_CHECKING:
    from payment_svc.application.collection_run import Run


class MessageContext(msgspec.Struct, frozen=True, kw_only=True):
    """Where an event comes from."""

    correlation_id: str  # the command at the start of it all
    causation_id: str  # the command or event right before
    traceparent: str | None = None


class Batch:
    """Accounts that are locked, their payments, and what has been changed of them so far."""

    def __init__(self, accounts: dict[str, Account], payments: Iterable[Payment], now: datetime) -> None:
        self.now = now
        self.today = now.date()  # UTC; the database's where that is earlier
        self.sandbox = False  # whether the gateway moves no real money
        self.ask_after: Sequence[timedelta] = ASK_AFTER
        self.claim = CLAIM
        self.judge: Callable[[str], Decline] = decline  # of a decline code
        self.hard_decline_stops: HardDeclineStops = "method"
        # Whether autopay stops for an instalment because money of it was taken back; see there.
        self.reversal_stops: Callable[[Account, Payment, date, bool], bool] = reversal_stops
        self.accounts = accounts
        self.payments = {payment.payment_id: payment for payment in payments}
        self.started: list[Attempt] = []
        self.settled: list[Attempt] = []
        self.events: list[Event] = []
        self.quotes: dict[str, Quote] = {}  # those that commands of the batch cite, and new ones
        self.quoted: list[Quote] = []  # new
        self.claimed: list[Quote] = []  # used by an attempt that was started
        self.freed: list[str] = []  # attempts that moved no money: a quote used by one can be used again
        self.originals: dict[str, Attempt] = {}  # whose money is to be taken back, and payoffs that stand
        self.taken_back: dict[str, Attempt] = {}  # of these, those of which money was taken back
        self.given: dict[str, Attempt] = {}  # refunds that give back what payoffs that stand owe to customers
        self.owing: dict[str, Payment] = {}  # instalments that may ask for another amount than before
        self.notices: dict[str, Attempt] = {}  # chargebacks by the gateway's notice
        self.runs: dict[date, Run] = {}  # collection runs that commands ask for
        self.waiting: list[tuple[str, str]] = []  # commands, each with the run it waits for
        self.noted: dict[str, Attempt] = {}  # of which the gateway has told how they ended
        self.put_off: dict[str, datetime] = {}  # attempts that are made again, and when
        self.completed: list[Outcome] = []  # of earlier commands that were pending until now
        self.touched_accounts: dict[str, Account] = {}
        self.touched_payments: dict[str, Payment] = {}

    def payments_of(self, lease_id: str) -> list[Payment]:
        """The lease's loaded payments, in order of number."""
        return sorted(
            (payment for payment in self.payments.values() if payment.lease_id == lease_id),
            key=lambda payment: payment.number,
        )

    def touch(self, account: Account, payments: Iterable[Payment] = ()) -> None:
        """These have changed and are to be written."""
        self.touched_accounts[account.lease_id] = account
        self.touched_payments.update((payment.payment_id, payment) for payment in payments)

    def tell(self, account: Account, type_: str, data: msgspec.Struct, context: MessageContext) -> Event:
        """Add an event about the account's lease, next in its sequence."""
        account.event_sequence += 1
        self.touch(account)
        event = Event(
            id=uuid7(),
            source=SOURCE,
            type=type_,
            subject=account.lease_id,
            time=rfc3339(self.now),
            sequence=account.event_sequence,
            seensequence=account.lease_sequence,
            correlationid=context.correlation_id,
            causationid=context.causation_id,
            traceparent=context.traceparent,
            mayskip=type_ in MAY_BE_SKIPPED or msgspec.UNSET,
            data=msgspec.Raw(encode(data)),
        )
        self.events.append(event)
        return event


def token(account: Account) -> str:
    """The Consistency-Token for what has been told of the account's lease so far."""
    return read_your_writes.token(read_your_writes.Position(SOURCE, account.event_sequence, account.lease_id))
