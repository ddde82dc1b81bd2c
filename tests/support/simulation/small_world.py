"""One lease in both services at random, with their own functions, nothing but memory under them.

Events reach the other service when the test wants it, so commands, money and closings overtake each other.
"""

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import msgspec

from common.kernel.ids import uuid7
from common.messaging.envelope import Command, Event
from lease_svc.application import command_handlers as lease_handlers
from lease_svc.application import event_handlers
from lease_svc.application.unit_of_work import Batch as LeaseBatch
from lease_svc.contracts.commands import CancelLease, ChargeOffLease, CreateLease
from lease_svc.domain.lease import Change, Lease
from lease_svc.entrypoints.http.requests import NewLease
from payment_svc.application import (
    autopay_commands,
    collection_run,
    command_handlers,
    quote_commands,
    refund_commands,
)
from payment_svc.application.event_handlers import decode_created
from payment_svc.application.gateway import Charged, ChargeResult, Declined, NoAnswer, NotReached
from payment_svc.application.settlement import keep_asking, settle
from payment_svc.application.unit_of_work import Batch, MessageContext
from payment_svc.application.workers import automatic_refund_worker
from payment_svc.contracts.commands import (
    AttemptPayment,
    PayOffLease,
    QuotePayoff,
    RecordChargeback,
    RefundAttempt,
    SetAutopay,
)
from payment_svc.domain import lease_closing, refund
from payment_svc.domain.account_factory import account_of, payments_of
from payment_svc.domain.attempt import Account, Attempt, Payment, Refused
from payment_svc.domain.declines import NO_RECORD
from payment_svc.domain.payoff_quote import Quote

CODES = ["insufficient_funds", "do_not_honor", "lost_card", "a_code_of_its_own"]


class World:
    """The lease and all that the two services know of it."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.now = datetime(2026, 12, 1, 8, tzinfo=UTC)
        self.day = date(2026, 12, 20)  # of the next run of collections
        self.told: list[Event] = []
        self.for_payments: list[Event] = []
        self.for_leases: list[Event] = []
        self.history: list[Change] = []
        self.attempts: dict[str, Attempt] = {}
        self.quotes: dict[str, Quote] = {}
        self.lease = self._create()
        created = decode_created(self.told[0].data)
        self.account: Account = account_of(created)
        self.account.next_look_on = created.schedule[0].due_date
        self.payments: list[Payment] = payments_of(created)
        self.for_payments.clear()

    def live(self, steps: int) -> None:
        """That many things happen; then everything arrives everywhere."""
        doing = [self.attempt, self.attempt, self.answer, self.answer, self.answer, self.pay_off, self.quote]
        doing += [self.refund, self.charge_back, self.collect, self.arrive, self.arrive]
        if self.random.random() < 0.3:
            self.pay_off_ahead()
        doing += [self.change_autopay, self.collect]
        for _ in range(steps):
            self.now += timedelta(hours=self.random.choice([1, 30]), microseconds=7)
            if self.random.random() < 0.01:
                self.close()
            self.random.choice(doing)()
        while self.for_leases or self.for_payments:
            self.arrive()

    # --- the lease service ---

    def _create(self) -> Lease:
        terms = msgspec.convert(
            {
                "customer_id": "cus-42",
                "currency": self.random.choice(["USD", "JPY", "KWD"]),
                "principal": self.random.randint(5_000, 200_000),
                "annual_rate": self.random.choice(["0", "0.12", "0.3"]),
                "term": self.random.randint(1, 5),
                "frequency": self.random.choice(["weekly", "monthly"]),
                "day_count": self.random.choice(["30/360", "actual/365"]),
                "start_date": "2026-12-01",
                "fees": self.random.choice([[], [{"code": "origination", "amount": 2500}]]),
                "autopay": self.random.random() < 0.7,
                "payment_method": "pm_card_ok",
                "late_fee": self.random.choice([None, {"grace_days": 2, "amount": 1500}]),
            },
            NewLease,
        )
        asked = CreateLease(lease_id=uuid7(), terms=terms)
        batch = LeaseBatch({})
        lease_handlers.create_lease(batch, self._command(), asked, self.now)
        [lease] = batch.new.values()
        self._leases_told(batch)
        return lease

    def close(self) -> None:
        """It is cancelled or charged off, where that may be."""
        batch = LeaseBatch({self.lease.lease_id: self.lease})
        asked = {"lease_id": self.lease.lease_id, "reason": "returned"}
        if self.random.random() < 0.5:
            if any(each.type in ("payment.succeeded", "payoff.succeeded") for each in self.history):
                batch.collected = {self.lease.lease_id}
            lease_handlers.cancel_lease(batch, self._command(), CancelLease(**asked), self.now)
        else:
            lease_handlers.charge_off_lease(batch, self._command(), ChargeOffLease(**asked), self.now)
        self._leases_told(batch)

    def _leases_told(self, batch: LeaseBatch) -> None:
        self.history += batch.changes
        self.told += batch.events
        self.for_payments += batch.events

    def arrive(self) -> None:
        """The next event comes to the other service."""
        if self.for_leases and (not self.for_payments or self.random.random() < 0.5):
            batch = LeaseBatch({self.lease.lease_id: self.lease})
            event_handlers.apply(batch, self.lease, self.for_leases.pop(0), self.now)
            self._leases_told(batch)
        elif self.for_payments:
            self._project(self.for_payments.pop(0))

    # --- the payment service ---

    def _project(self, event: Event) -> None:
        batch = self._batch()
        self.account.lease_sequence = event.sequence
        if event.type in lease_closing.HOW:
            lease_closing.forget(self.account)
            lease_closing.cancel_open(self.payments)
            self.account.closed = lease_closing.HOW[event.type]
        self._payments_told(batch)
        self._give_back()

    def _give_back(self) -> None:
        """As returns.give_back does, of one lease."""
        if self.account.closed is None:
            return
        for original in list(self.attempts.values()):
            if original.refunds is None and original.left and self.account.closed == "cancelled":
                batch = self._batch()
                payments = [each for each in self.payments if original.payment_id in (None, each.payment_id)]
                names = uuid7(), uuid7()
                try:
                    begun = refund.start(
                        self.account, payments, original, *names, None, "it was closed", self.now
                    )
                except Refused:
                    continue
                collection_run.tell_started(batch, self.account, begun, self._context(begun.command_id))
                self._payments_told(batch)

    def _give_due(self, batch: Batch) -> None:
        """As returns.give_due does, of one lease."""
        for payoff in automatic_refund_worker.owing(batch):
            theirs = [each for each in self.attempts.values() if each.refund_due_of == payoff.attempt_id]
            lost = [each for each in theirs if each.decline and each.decline.code == NO_RECORD]
            asked = sum(each.amount for each in theirs) - sum(each.amount for each in lost)
            held = [each for each in self.attempts.values() if each.left and each.refunds is None]
            begun = automatic_refund_worker.begin_due(batch, payoff, asked, held)
            self.attempts.update((each.attempt_id, each) for each in begun)

    def pay_off_ahead(self) -> None:
        """Almost all is paid at once, the last instalment first; then the lease is paid off."""
        for payment in reversed(self.payments):
            asked = AttemptPayment(
                attempt_id=uuid7(),
                payment_id=payment.payment_id,
                payment_method="pm_card_ok",
                amount=max(1, payment.amount_due - (1 if payment.number == 1 else 0)),
            )
            batch = self._batch()
            command_handlers.attempt_payment(batch, self._command(), asked)
            self._payments_told(batch)
            self.answer()
        self.pay_off()

    def attempt(self) -> None:
        """Somebody pays an instalment, or a part of it."""
        payment = self.random.choice(self.payments)
        amount = self.random.choice([None, max(1, payment.amount_due // 3)])
        method = self.random.choice(["pm_card_ok", "pm_other"])
        asked = AttemptPayment(
            attempt_id=uuid7(), payment_id=payment.payment_id, payment_method=method, amount=amount
        )
        batch = self._batch()
        command_handlers.attempt_payment(batch, self._command(), asked)
        self._payments_told(batch)

    def pay_off(self) -> None:
        """Somebody pays all that is left, as of today or as quoted."""
        quote_id = self.random.choice([None, *self.quotes])
        batch = self._batch()
        asked = PayOffLease(
            attempt_id=uuid7(), lease_id=self.lease.lease_id, payment_method="pm_card_ok", quote_id=quote_id
        )
        command_handlers.pay_off_lease(batch, self._command(), asked)
        self._payments_told(batch)

    def quote(self) -> None:
        """A payoff is quoted."""
        ahead = timedelta(days=self.random.choice([0, 3]))
        asked = QuotePayoff(quote_id=uuid7(), lease_id=self.lease.lease_id, as_of=(self.now + ahead).date())
        batch = self._batch()
        quote_commands.quote_payoff(batch, self._command(), asked)
        self._payments_told(batch)

    def change_autopay(self) -> None:
        """Autopay is turned on or off, perhaps with another method."""
        asked = SetAutopay(
            lease_id=self.lease.lease_id,
            autopay=self.random.random() < 0.8,
            payment_method=self.random.choice([None, "pm_card_ok", "pm_other"]),
        )
        batch = self._batch()
        autopay_commands.set_autopay(batch, self._command(), asked)
        self._payments_told(batch)

    def refund(self) -> None:
        """Somebody wants money back."""
        if self.attempts:
            original = self.random.choice(list(self.attempts.values()))
            amount = self.random.choice([None, max(1, original.amount // 2)])
            asked = RefundAttempt(
                attempt_id=uuid7(),
                refunds=original.attempt_id,
                amount=amount,
                reason=self.random.choice(["broken", "broken", "refund_due"]),
            )
            batch = self._batch()
            command_handlers.refund_attempt(batch, self._command(), asked)
            self._payments_told(batch)

    def charge_back(self) -> None:
        """An issuer takes money back."""
        if collected := [attempt for attempt in self.attempts.values() if attempt.left]:
            original = self.random.choice(collected)
            notice = RecordChargeback(
                notice_id=uuid7(),
                attempt_id=original.attempt_id,
                amount=max(1, original.left // self.random.choice([1, 2])),
                reason="fraudulent",
            )
            batch = self._batch()
            refund_commands.record_chargeback(batch, self._command(), notice)
            self._payments_told(batch)

    def answer(self) -> None:
        """The gateway says something of an attempt in flight, or does not."""
        in_flight = [attempt for attempt in self.attempts.values() if attempt.in_flight]
        if not in_flight:
            return
        attempt = self.random.choice(in_flight)
        said: list[ChargeResult] = [Charged(reference=f"ch_{attempt.attempt_id}")] * 3
        said.append(Declined(code=self.random.choice(CODES), reference="ch_no"))
        if attempt.status == "started":
            said += [NotReached(reason="refused"), NotReached(reason="amount", outage=False)]
            said += [NoAnswer(reason="timeout"), NoAnswer(reason="timeout")]
        batch = self._batch()
        if attempt.status == "unknown" and self.random.random() < 0.2:
            keep_asking(batch, attempt)
        else:
            settle(batch, attempt, self.random.choice(said))
        self._give_due(batch)
        self._payments_told(batch)
        self._give_back()

    def collect(self) -> None:
        """A run of collections, if it has something to do with the lease."""
        self.day += timedelta(days=self.random.choice([1, 1, 5, 20]))
        account, as_of = self.account, self.day
        if account.next_look_on is None or account.next_look_on > as_of:
            return
        run = collection_run.Run(
            run_id=collection_run.run_id_of(as_of),
            as_of=as_of,
            status="running",
            command_id=uuid7(),
            traceparent=None,
            started_at=self.now,
            completed_at=None,
            counts=collection_run.Counts(),
        )
        due = [payment for payment in self.payments if payment.open and payment.due_date <= as_of]
        later = [each.due_date for each in self.payments if each.open and each.due_date > as_of]
        batch = self._batch()
        collection_run.work_through(batch, run, account, due, min(later, default=None))
        self._payments_told(batch)

    def _batch(self) -> Batch:
        batch = Batch({self.lease.lease_id: self.account}, self.payments, self.now)
        batch.originals = batch.given = self.attempts
        batch.quotes = self.quotes
        return batch

    def _payments_told(self, batch: Batch) -> None:
        self.attempts.update((attempt.attempt_id, attempt) for attempt in batch.started)
        for quote in self.quotes.values():
            if quote.used_by in batch.freed:
                quote.used_by = None
        self.told += batch.events
        self.for_leases += batch.events

    def _command(self) -> Command:
        return Command(command_id=uuid7(), type="Any", submitted_at=self.now, data=msgspec.Raw(b"{}"))

    def _context(self, command_id: str | None = None) -> MessageContext:
        named = command_id or uuid7()
        return MessageContext(correlation_id=named, causation_id=named)


def plain(value: Any, *without: str) -> dict[str, Any]:
    """A structure as a dict, without some of its fields."""
    return {name: each for name, each in msgspec.structs.asdict(value).items() if name not in without}
