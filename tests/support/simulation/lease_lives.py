"""A lease's life at random, decided by the lease service and the payment service as they are, without I/O.

Their messages go to and fro in any pace, so each decides on what it has heard so far; the gateway answers as
chance will have it. Kept by the tests' own means are only the attempts, and which money is to go back.
"""

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import msgspec

from common.kernel.ids import uuid7
from common.messaging.envelope import Command, Event, Outcome, encode
from lease_svc.application import event_handlers, representations
from lease_svc.application.unit_of_work import Batch as LeaseBatch
from lease_svc.contracts.commands import CancelLease, ChargeOffLease, CreateLease
from lease_svc.contracts.values import Fee, LateFee
from lease_svc.domain import closing as lease_closing
from lease_svc.domain import lease as leases
from lease_svc.domain import lease_factory
from lease_svc.entrypoints.http.requests import NewLease
from payment_svc.application import autopay_commands, command_handlers, quote_commands, refund_commands
from payment_svc.application.collection_run import Counts, Run, run_id_of, work_through
from payment_svc.application.gateway import Charged, ChargeResult, Declined, NoAnswer, NotReached
from payment_svc.application.settlement import keep_asking, settle
from payment_svc.application.unit_of_work import Batch
from payment_svc.application.workers import automatic_refund_worker
from payment_svc.contracts.commands import (
    AttemptPayment,
    PayOffLease,
    QuotePayoff,
    RecordChargeback,
    RefundAttempt,
    SetAutopay,
)
from payment_svc.contracts.events import LeaseCreated
from payment_svc.domain import lease_closing as closing
from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import Account, Attempt, Closed, Payment
from payment_svc.domain.declines import NO_RECORD
from payment_svc.domain.payoff_quote import Quote

START = date(2026, 12, 1)
NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
METHOD = "pm_card"
MONEY_CAME_IN = ("payment.succeeded", "payoff.succeeded")


class Lives:
    """One lease in both services, and what they have told each other."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.day = START
        self.lease_id = uuid7()
        self.told: list[Event] = []  # by both, in order
        self.to_lease: list[Event] = []  # not heard yet
        self.to_payment: list[Event] = []
        self.attempts: dict[str, Attempt] = {}
        self.quotes: dict[str, Quote] = {}
        self.heard_of_money = False  # whether the lease service has
        self.lease = self._create()
        created = msgspec.json.decode(self.told[0].data, type=LeaseCreated)
        fee = created.late_fee
        self.account = Account(
            lease_id=self.lease_id,
            currency=created.currency,
            principal=created.principal,
            annual_rate=created.annual_rate,
            day_count=created.day_count,
            start_date=created.start_date,
            payment_method=created.payment_method,
            autopay=created.autopay,
            grace_days=fee.grace_days if fee else 0,
            late_fee=fee.amount if fee else 0,
            next_look_on=created.schedule[0].due_date,
        )
        self.payments = [
            Payment(
                payment_id=row.payment_id,
                lease_id=self.lease_id,
                number=row.number,
                due_date=row.due_date,
                owed=Allocation(fees=row.fees, interest=row.interest, principal=row.principal),
                paid=Allocation(),
                principal_balance=row.principal_balance,
                status="scheduled",
                in_flight=None,
                attempts=0,
                next_retry_at=None,
                last_attempt_id=None,
            )
            for row in created.schedule
        ]

    def _create(self) -> leases.Lease:
        random = self.random
        terms = NewLease(
            customer_id="cus-42",
            currency="USD",
            principal=random.randint(2000, 300_000),
            annual_rate=random.choice(["0", "0.12", "0.9"]),
            term=random.randint(1, 6),
            frequency="monthly",
            start_date=START,
            day_count=random.choice(["30/360", "actual/365"]),
            fees=random.choice([[], [Fee(code="origination", amount=2500)]]),
            payment_method=METHOD,
            autopay=random.random() < 0.5,
            late_fee=random.choice([None, LateFee(grace_days=random.choice([0, 3]), amount=1500)]),
        )
        lease, _ = lease_factory.create(CreateLease(lease_id=self.lease_id, terms=terms), NOW)
        batch = LeaseBatch({self.lease_id: lease})
        batch.record(lease, "lease.created", representations.created_data(lease), _command(), NOW)
        self.told += batch.events
        return lease

    @property
    def in_flight(self) -> list[Attempt]:
        """Attempts without an outcome."""
        return [each for each in self.attempts.values() if each.in_flight]

    @property
    def with_money(self) -> list[Attempt]:
        """Attempts of which something can be taken back."""
        return [each for each in self.attempts.values() if each.left and each.refunds is None]

    # the payment service

    def _batch(self) -> Batch:
        now = datetime.combine(self.day, NOW.timetz())
        batch = Batch({self.lease_id: self.account}, self.payments, now)
        batch.originals = batch.given = dict(self.attempts)
        batch.quotes = self.quotes
        return batch

    def _done(self, batch: Batch, closed_now: Closed | None = None) -> None:
        self.attempts |= {each.attempt_id: each for each in batch.started}
        for quote in self.quotes.values():
            if quote.used_by in batch.freed:
                quote.used_by = None
        self._give_back(batch, closed_now)
        self.to_lease += batch.events
        self.told += batch.events

    def _give_back(self, batch: Batch, closed_now: Closed | None) -> None:
        """As `returns.give_back` does, on these attempts."""
        settled = [each for each in batch.settled if self.account.closed]
        arrived = [each for each in settled if each.refunds is None and each.left]
        cancelled = self.account.closed == "cancelled" and (bool(settled) or closed_now is not None)
        for original in sorted(self.with_money if cancelled else arrived, key=lambda each: each.attempt_id):
            concerned = [each for each in self.payments if original.payment_id in (None, each.payment_id)]
            refund = automatic_refund_worker._begin(batch, concerned, original)
            if refund is not None:
                self.attempts[refund.attempt_id] = refund
        for payoff in automatic_refund_worker.owing(batch):
            asked = sum(
                each.amount
                for each in self.attempts.values()
                if each.refund_due_of == payoff.attempt_id and not _never_heard_of(each)
            )
            begun = automatic_refund_worker.begin_due(batch, payoff, asked, self.with_money)
            self.attempts |= {each.attempt_id: each for each in begun}

    def attempt(self) -> None:
        """Somebody pays an instalment, or a part of it."""
        payment = self.random.choice(self.payments)
        part = self.random.randint(1, max(1, payment.amount_due))
        asked = AttemptPayment(
            attempt_id=uuid7(),
            payment_id=payment.payment_id,
            payment_method=METHOD,
            amount=self.random.choice([None, part]),
        )
        batch = self._batch()
        command_handlers.attempt_payment(batch, _command(), asked)
        self._done(batch)

    def pay_off(self) -> None:
        """Somebody pays all that is left, as of today or as it was quoted."""
        batch = self._batch()
        asked = PayOffLease(
            attempt_id=uuid7(),
            lease_id=self.lease_id,
            payment_method=METHOD,
            quote_id=self.random.choice([None, *list(self.quotes)[-2:]]),
        )
        command_handlers.pay_off_lease(batch, _command(), asked)
        self._done(batch)

    def quote(self) -> None:
        """Somebody asks what it costs to pay the lease off, some days ahead."""
        as_of = self.day + timedelta(days=self.random.choice([0, 10, 60]))
        asked = QuotePayoff(quote_id=uuid7(), lease_id=self.lease_id, as_of=as_of)
        batch = self._batch()
        quote_commands.quote_payoff(batch, _command(), asked)
        self._done(batch)

    def pay_ahead(self) -> None:
        """Somebody pays the last instalments at once, and of the first almost all: credits for a payoff."""
        for payment in reversed(self.payments):
            part = 1 if payment.number == 1 else 0
            asked = AttemptPayment(
                attempt_id=uuid7(),
                payment_id=payment.payment_id,
                payment_method=METHOD,
                amount=max(1, payment.amount_due - part),
            )
            batch = self._batch()
            command_handlers.attempt_payment(batch, _command(), asked)
            self._done(batch)
            if payment.in_flight == asked.attempt_id:
                self.end(self.attempts[asked.attempt_id])

    def pay_off_ahead(self) -> None:
        """Paid ahead, and paid off at once."""
        self.pay_ahead()
        self.pay_off()
        self.answer()

    def pay_off_late(self) -> None:
        """Quoted, then late, then paid off by that quote."""
        self.quote()
        self.run()
        self.run()
        self.pay_off()
        self.answer()

    def change_autopay(self) -> None:
        """Somebody turns autopay on or off, perhaps with another method."""
        asked = SetAutopay(
            lease_id=self.lease_id,
            autopay=self.random.random() < 0.8,
            payment_method=self.random.choice([None, METHOD, "pm_other"]),
        )
        batch = self._batch()
        autopay_commands.set_autopay(batch, _command(), asked)
        self._done(batch)

    def refund(self) -> Outcome | None:
        """Somebody gives money back."""
        if not self.with_money:
            return None
        original = self.random.choice(self.with_money)
        amount = self.random.choice([None, self.random.randint(1, original.left)])
        batch = self._batch()
        reason = self.random.choice(["broken", "broken", "refund_due"])
        asked = RefundAttempt(attempt_id=uuid7(), refunds=original.attempt_id, amount=amount, reason=reason)
        outcome = command_handlers.refund_attempt(batch, _command(), asked)
        self._done(batch)
        return outcome

    def charge_back(self) -> Outcome | None:
        """An issuer takes money back."""
        if not self.with_money:
            return None
        original = self.random.choice(self.with_money)
        amount = self.random.choice([original.left, self.random.randint(1, original.left)])
        batch = self._batch()
        asked = RecordChargeback(
            notice_id=uuid7(), attempt_id=original.attempt_id, amount=amount, reason="fraudulent"
        )
        outcome = refund_commands.record_chargeback(batch, _command(), asked)
        self._done(batch)
        return outcome

    def answer(self) -> None:
        """The gateway says something of an attempt."""
        if self.in_flight:
            self.end(self.random.choice(self.in_flight))

    def end(self, attempt: Attempt, *, final: bool = False) -> None:
        """The gateway says something of this one; `final`: how it ended."""
        reference = f"ch_{attempt.attempt_id}"
        code = self.random.choice(["insufficient_funds", "lost_card"])
        said: list[ChargeResult | None] = [Charged(reference=reference)] * 5
        said.append(Declined(code=code, reference=reference))
        said.append(None if attempt.status == "unknown" else NotReached(reason="refused"))
        if not final:
            said.append(NoAnswer(reason="timeout"))
        result = self.random.choice(said)
        batch = self._batch()
        if attempt.status == "unknown" and isinstance(result, NoAnswer):
            keep_asking(batch, attempt)
        else:
            settle(batch, attempt, result)
        self._done(batch)

    def run(self) -> None:
        """Days pass, and collections run, if they have something to do here."""
        self.day += timedelta(days=self.random.choice([0, 1, 1, 3, 10, 31]))
        account = self.account
        if account.next_look_on is None or account.next_look_on > self.day:
            return
        open_ones = [each for each in self.payments if each.open]
        reached = [each for each in open_ones if each.due_date <= self.day]
        later = [each.due_date for each in open_ones if each.due_date > self.day]
        run = Run(
            run_id=run_id_of(self.day),
            as_of=self.day,
            status="running",
            command_id=uuid7(),
            traceparent=None,
            started_at=NOW,
            completed_at=None,
            counts=Counts(),
        )
        batch = self._batch()
        work_through(batch, run, account, reached, min(later, default=None))
        self._done(batch)

    def payment_hears(self) -> None:
        """The payment service hears the next event of the lease service."""
        if not self.to_payment:
            return
        event = self.to_payment.pop(0)
        batch = self._batch()
        how = closing.HOW.get(event.type)
        if how is not None:
            closing.forget(self.account)
            closing.cancel_open(self.payments)
            self.account.closed = how
        self._done(batch, how)

    # the lease service

    def close(self) -> None:
        """Somebody cancels the lease or charges it off, if it lets them."""
        asked: dict[str, Any] = {"lease_id": self.lease_id, "reason": "returned unused"}
        change: leases.Change
        try:
            if self.random.random() < 0.5:
                change, told = lease_closing.cancel(
                    self.lease, CancelLease(**asked), NOW, collected=self.heard_of_money
                )
                data = leases.encode(told)
            else:
                change, given_up = lease_closing.charge_off(self.lease, ChargeOffLease(**asked), NOW)
                data = leases.encode(given_up)
        except lease_closing.Refused:
            return
        batch = LeaseBatch({self.lease_id: self.lease})
        batch.record(self.lease, change.type, data, _command(), NOW)
        self.to_payment += batch.events
        self.told += batch.events

    def lease_hears(self) -> None:
        """The lease service hears the next events of the payment service."""
        for _ in range(min(len(self.to_lease), self.random.randint(1, 5))):
            event = self.to_lease.pop(0)
            assert event.sequence == self.lease.payment_sequence + 1
            batch = LeaseBatch({self.lease_id: self.lease})
            event_handlers.apply(batch, self.lease, event, NOW)
            self.heard_of_money |= event.type in MONEY_CAME_IN
            assert self.lease.balance >= 0
            assert self.lease.amount_paid >= 0
            self.to_payment += batch.events
            self.told += batch.events

    def come_to_rest(self) -> None:
        """All is heard, and every attempt has ended."""
        while self.to_lease or self.to_payment or self.in_flight:
            self.lease_hears()
            self.payment_hears()
            if self.in_flight:
                self.end(self.random.choice(self.in_flight), final=True)


def live(random: Random) -> Lives:
    """A life of up to 60 steps, at rest; half of them may be closed on the way."""
    lives = Lives(random)
    steps = [lives.attempt] * 4 + [lives.answer] * 6 + [lives.pay_off] + [lives.refund] * 2
    steps += [lives.change_autopay]
    steps += [lives.charge_back] + [lives.run] * 3 + [lives.lease_hears] * 4 + [lives.payment_hears] * 4
    steps += [lives.quote, lives.pay_ahead]
    steps += [lives.close] * random.randint(0, 1)
    if random.random() < 0.2:
        lives.pay_off_ahead()
    steps += [lives.pay_off_late]
    for _ in range(random.randint(5, 60)):
        random.choice(steps)()
    lives.come_to_rest()
    return lives


def _never_heard_of(attempt: Attempt) -> bool:
    return attempt.decline is not None and attempt.decline.code == NO_RECORD


def _command() -> Command:
    return Command(command_id=uuid7(), type="Test", submitted_at=NOW, data=msgspec.Raw(b"{}"))


def raws(lives: Lives) -> list[bytes]:
    """The exact bytes of all that was told, in order."""
    return [encode(event) for event in lives.told]
