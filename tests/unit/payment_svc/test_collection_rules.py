"""What a collection run decides for a lease: by hand, and for any lease and any days. Pure."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kernel.clock import rfc3339
from common.messaging.envelope import Event
from payment_svc.application.collection_run import Counts, Run, run_id_of, work_through
from payment_svc.application.gateway import Charged, ChargeResult, Declined, NoAnswer, NotReached
from payment_svc.application.settlement import settle
from payment_svc.application.unit_of_work import Batch
from payment_svc.domain import attempt as domain
from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import Account, Attempt, Payment
from payment_svc.domain.collection_rules import MAX_ATTEMPTS, beyond_grace, decide, status_on

LEASE = "01890a5d-ac96-774b-8bce-b302099a8057"
NOW = datetime(2027, 1, 1, tzinfo=UTC)
DUE = date(2027, 1, 1)
SOFT, HARD = Declined(code="do_not_honor", reference="r"), Declined(code="lost_card", reference="r")
OK = Charged(reference="r")


class Lease:
    """A lease with monthly instalments of 100 from 1 January 2027 on, and runs of collections over it."""

    def __init__(self, *, term: int = 1, autopay: bool = True, grace: int = 5, late_fee: int = 15) -> None:
        self.account = Account(
            lease_id=LEASE,
            currency="USD",
            principal=100 * term,
            annual_rate="0",
            day_count="30/360",
            start_date=date(2026, 12, 1),
            payment_method="pm_card",
            autopay=autopay,
            grace_days=grace,
            late_fee=late_fee,
            next_look_on=DUE,
        )
        self.payments = [
            Payment(
                payment_id=f"p{number}",
                lease_id=LEASE,
                number=number,
                due_date=date(2027, number, 1),
                owed=Allocation(principal=100),
                paid=Allocation(),
                principal_balance=100 * (term - number),
                status="scheduled",
                in_flight=None,
                attempts=0,
                next_retry_at=None,
                last_attempt_id=None,
            )
            for number in range(1, term + 1)
        ]
        self.told: list[str] = []
        self.events: list[Event] = []
        self.amounts: list[int] = []  # of the attempts, in order
        self.attempt_ids: list[str] = []
        self.started: list[Attempt] = []  # by the last run

    def run(self, as_of: date, *answers: ChargeResult) -> Counts | None:
        """A run that looks where it has to, also again; its attempts end with these answers, in order.

        The last of them may not have an end yet, where there is no answer for it.
        """
        counts = None
        left = list(answers)
        started: list[Attempt] = []
        while self.has_to_look(as_of):
            found = self.look(as_of)
            for attempt in self.started if left else []:
                self.answer(attempt, left.pop(0))
            started += self.started
            names = Counts.__struct_fields__
            before = counts or Counts()
            counts = Counts(**{name: getattr(before, name) + getattr(found, name) for name in names})
        assert not left
        self.started = started
        return counts

    def has_to_look(self, as_of: date) -> bool:
        """Whether a run of that day has something to do here."""
        account = self.account
        if account.next_look_on is None or account.next_look_on > as_of:
            return False
        return account.collected_as_of is None or account.collected_as_of <= as_of

    def look(self, as_of: date) -> Counts:
        """It looks once, whether it has to or not; its attempts have no end yet."""
        batch = self.batch()
        open_ones = [payment for payment in self.payments if payment.open]
        reached = [payment for payment in open_ones if payment.due_date <= as_of]
        later = [payment.due_date for payment in open_ones if payment.due_date > as_of]
        counts = work_through(batch, run_of(as_of), self.account, reached, min(later, default=None))
        self.amounts += [attempt.amount for attempt in batch.started]
        self.attempt_ids += [attempt.attempt_id for attempt in batch.started]
        self.started = batch.started
        self._told(batch)
        return counts

    def answer(self, attempt: Attempt, result: ChargeResult) -> None:
        """What became of an attempt."""
        batch = self.batch()
        assert (settle(batch, attempt, result) is None) == (attempt.run_id is not None)
        self._told(batch)

    def _told(self, batch: Batch) -> None:
        self.events += batch.events
        self.told += [event.type for event in batch.events]

    def fields(self, type_: str, *names: str) -> list[tuple[Any, ...]]:
        """These fields of all events of a type, in order."""
        data = [json.loads(bytes(event.data)) for event in self.events if event.type == type_]
        return [tuple(each[name] for name in names) for each in data]

    def stopped(self, number: int = 1) -> str | None:
        """Why no run tries an instalment, whatever stops the lease."""
        stop = self.payments[number - 1].autopay_stopped
        return None if stop is None else stop.reason

    def pay(self, index: int, amount: int | None = None) -> None:
        """Somebody pays an instalment by hand."""
        self.answer(domain.start(self.account, self.payments[index], "a", "c", "pm_other", amount, NOW), OK)

    def batch(self) -> Batch:
        return Batch({LEASE: self.account}, self.payments, datetime(2027, 1, 1, tzinfo=UTC))


def run_of(as_of: date) -> Run:
    return Run(
        run_id=run_id_of(as_of),
        as_of=as_of,
        status="running",
        command_id="c",
        traceparent=None,
        started_at=datetime(2027, 1, 1, tzinfo=UTC),
        completed_at=None,
        counts=Counts(),
    )


def day(number: int) -> date:
    """So many days after the first due date."""
    return DUE + timedelta(days=number)


def test_due_then_late() -> None:
    """An instalment is due on its day and late after it; the lease is looked at on the days that matter."""
    lease = Lease(autopay=False)
    assert lease.run(day(-1)) is None
    assert lease.run(DUE) == Counts(leases=1, due=1)
    assert (lease.payments[0].status, lease.account.next_look_on) == ("due", day(1))
    assert lease.run(day(1)) == Counts(leases=1)
    assert (lease.payments[0].status, lease.account.next_look_on) == ("late", day(6))


def test_late_fee_and_delinquency_come_after_the_grace() -> None:
    """Five days of grace: on the sixth day the fee is owed and the lease delinquent; then nothing more."""
    lease = Lease(autopay=False)
    lease.run(DUE)
    for number in range(1, 6):
        lease.run(day(number))
    assert lease.told == []
    assert lease.run(day(6)) == Counts(leases=1, late_fees=1, delinquent=1)
    assert lease.told == ["lease.late_fee_assessed", "lease.delinquent"]
    assert (lease.payments[0].owed.late_fees, lease.payments[0].amount_due) == (15, 115)
    assert lease.account.next_look_on is None


def test_without_a_late_fee_the_grace_is_zero_days() -> None:
    """The lease is delinquent the day after the due date, and there is no fee."""
    lease = Lease(autopay=False, grace=0, late_fee=0)
    lease.run(DUE)
    assert lease.run(day(1)) == Counts(leases=1, delinquent=1)
    assert lease.told == ["lease.delinquent"]


def test_cured_by_the_last_payment_that_was_late() -> None:
    """In the payment's transaction, not by a run; not while another instalment is late beyond the grace."""
    lease = Lease(term=3, autopay=False)
    lease.run(date(2027, 2, 10))
    assert (lease.told.count("lease.late_fee_assessed"), lease.told.count("lease.delinquent")) == (2, 1)
    lease.pay(0)
    assert (lease.account.delinquent, lease.told.count("lease.cured")) == (True, 0)
    lease.pay(1, amount=100)  # of 115
    assert lease.account.delinquent
    lease.pay(1)
    assert lease.told[-2:] == ["payment.succeeded", "lease.cured"]
    assert lease.fields("lease.cured", "as_of") == [("2027-02-10",)]
    assert not lease.account.delinquent
    lease.run(date(2027, 2, 10))
    lease.run(date(2027, 2, 11))
    assert lease.told.count("lease.cured") == 1
    assert lease.account.next_look_on == date(2027, 3, 1)


def test_a_new_method_does_not_let_a_cent_cure() -> None:
    """An instalment that is late stays so until it is paid, though the new method has not tried it yet."""
    lease = Lease(term=3, autopay=False, grace=0, late_fee=0)
    lease.run(day(1))
    assert lease.account.delinquent
    lease.account.autopay = True
    lease.pay(2, amount=1)
    assert (lease.account.delinquent, lease.told.count("lease.cured")) == (True, 0)
    lease.pay(0)
    assert (lease.account.delinquent, lease.told[-1]) == (False, "lease.cured")


def test_look_ups_begin_with_the_first_pause_however_often_it_was_made() -> None:
    """What was made again in vain is no look-up: an attempt that becomes unknown is asked about after 5 s."""
    lease = Lease(autopay=False)
    attempt = domain.start(lease.account, lease.payments[0], "a", "c", "pm_card", None, NOW)
    attempt.checks = 3
    batch = lease.batch()
    settle(batch, attempt, NoAnswer(reason="timeout"))
    assert attempt.next_check_at is not None
    assert attempt.next_check_at - batch.now == domain.ASK_AFTER[0]


def test_cured_by_a_runs_own_payment() -> None:
    """Delinquent, then a retry succeeds: cured with it, and the attempt says so for the run's count."""
    lease = Lease(grace=0, late_fee=0)
    lease.run(DUE, SOFT)
    lease.run(day(1), SOFT)
    assert lease.account.delinquent
    lease.run(day(3), OK)
    assert not lease.account.delinquent
    assert lease.told[-2:] == ["payment.succeeded", "lease.cured"]
    assert lease.started[0].cured


def test_cured_by_a_payoff_and_by_what_is_resolved() -> None:
    """Whoever pays: with the payoff's own event, or when an unknown attempt turns out to have paid."""
    by_payoff, resolved = Lease(autopay=False), Lease(autopay=False)
    for lease in (by_payoff, resolved):
        lease.run(day(6))
        assert lease.account.delinquent
    payoff = domain.start_payoff(by_payoff.account, by_payoff.payments, "x", "c", "pm_card", day(6), NOW)
    by_payoff.answer(payoff, OK)
    assert by_payoff.told[-2:] == ["payoff.succeeded", "lease.cured"]
    by_hand = domain.start(resolved.account, resolved.payments[0], "a", "c", "pm_card", None, NOW)
    resolved.answer(by_hand, NoAnswer(reason="timeout"))
    assert resolved.account.delinquent
    resolved.answer(by_hand, OK)
    assert resolved.told[-3:] == ["payment.resolved", "payment.succeeded", "lease.cured"]
    assert not by_payoff.account.delinquent | resolved.account.delinquent


def test_not_cured_while_the_rest_that_is_late_is_under_way() -> None:
    """What is in flight is not paid yet; its end cures, or does not."""
    lease = Lease(term=2, autopay=False)
    lease.run(date(2027, 2, 10))
    second = domain.start(lease.account, lease.payments[1], "b", "c", "pm_card", None, NOW)
    lease.pay(0)
    assert lease.account.delinquent
    lease.answer(second, OK)
    assert lease.told[-1] == "lease.cured"


def test_what_was_paid_before_cures_came_with_the_payment() -> None:
    """A lease that is delinquent for nothing any more is cured by the run that finds it, uncounted."""
    lease = Lease(autopay=False)
    lease.run(day(6))
    lease.payments[0].paid, lease.payments[0].status = lease.payments[0].owed, "paid"
    lease.account.next_look_on = day(6)
    assert lease.run(day(7)) == Counts(leases=1)
    assert (lease.told[-1], lease.account.delinquent) == ("lease.cured", False)


def test_a_late_run_charges_and_fines_nobody_who_pays() -> None:
    """Autopay, a good card, five days of grace, a fee of 1500; the first run comes seven days late."""
    lease = Lease(late_fee=1_500)
    counts = lease.run(day(7), OK)
    assert counts == Counts(leases=1, due=1, attempted=1)
    assert lease.amounts == [100]
    assert lease.told == ["payment.attempt_started", "payment.succeeded"]
    assert lease.run(day(8)) is None


def test_a_back_dated_lease_pays_no_fee_where_its_card_was_never_tried() -> None:
    """Six past instalments are collected at once by the first run, as they were agreed."""
    lease = Lease(term=6)
    counts = lease.run(date(2027, 6, 20), *[OK] * 6)
    assert counts == Counts(leases=1, due=6, attempted=6)
    assert lease.amounts == [100] * 6
    assert not {"lease.late_fee_assessed", "lease.delinquent"} & set(lease.told)


def test_a_lost_card_is_charged_once_however_many_instalments_are_due() -> None:
    """Six past instalments: the oldest is tried, the method is stopped, and no other was tried beside it."""
    lease = Lease(term=6)
    counts = lease.run(date(2027, 6, 20), HARD)
    assert counts is not None
    assert (counts.attempted, lease.amounts) == (1, [100])
    assert lease.fields("payment.attempt_started", "number") == [(1,)]
    assert lease.account.autopay_stopped is not None
    assert (counts.late_fees, counts.delinquent) == (0, 0)  # the grace of all begins with that attempt
    lease.run(date(2027, 6, 25))
    assert not {"lease.late_fee_assessed", "lease.delinquent"} & set(lease.told)
    assert lease.run(date(2027, 6, 26)) == Counts(leases=1, late_fees=6, delinquent=1)


def test_after_a_soft_decline_the_others_are_tried_once_each() -> None:
    """No money for one today may be enough for a smaller one; each has its retry on the next day."""
    lease = Lease(term=3)
    lease.run(date(2027, 3, 20), SOFT, OK, SOFT)
    assert lease.fields("payment.attempt_started", "number") == [(1,), (2,), (3,)]
    assert [payment.status for payment in lease.payments] == ["late", "paid", "late"]
    lease.run(date(2027, 3, 21), OK, HARD)
    assert [payment.status for payment in lease.payments] == ["paid", "paid", "late"]


def test_the_others_wait_for_what_is_unknown_and_nothing_follows() -> None:
    """Nobody knows whether that card works; its end has the same day's run go on with the next one."""
    lease = Lease(term=3, grace=2)
    last = date(2027, 3, 20)
    lease.run(last, NoAnswer(reason="timeout"))
    [unknown] = lease.started
    for number in range(1, 9):
        assert lease.run(last + timedelta(days=number)) == Counts(leases=1)
    lease.answer(unknown, OK)
    lease.run(last + timedelta(days=8), OK, OK)
    assert [payment.status for payment in lease.payments] == ["paid"] * 3
    assert not {"lease.late_fee_assessed", "lease.delinquent"} & set(lease.told)


def test_an_attempt_by_hand_on_one_holds_the_others() -> None:
    """It may be of the same card: what it finds is waited for."""
    lease = Lease(term=2)
    by_hand = domain.start(lease.account, lease.payments[1], "a", "c", "pm_card", None, NOW)
    assert lease.run(date(2027, 2, 10)) == Counts(leases=1, due=2)
    lease.answer(by_hand, HARD)
    counts = lease.run(date(2027, 2, 10))
    assert counts is not None
    assert (counts.attempted, counts.late_fees) == (0, 2)


def test_the_grace_of_autopay_counts_from_the_first_attempt() -> None:
    """First tried seven days late and declined: five more days are forgiven, then fee and delinquency."""
    lease = Lease()
    consequences = {}
    for number in range(7, 20):
        due = number in (7, 8, 10, 12)
        counts = lease.run(day(number), *([SOFT] if due else []))
        if counts is not None and counts.late_fees + counts.delinquent:
            consequences[number] = (counts.late_fees, counts.delinquent)
    assert consequences == {13: (1, 1)}


def test_consequences_follow_the_attempts_of_the_same_run() -> None:
    """The retry comes on a day on which the grace is over: paid, nothing follows; declined, both do."""
    for answer, expected in ((OK, Counts(leases=1, attempted=1)), (SOFT, None)):
        lease = Lease(grace=2)
        lease.run(DUE, SOFT)
        lease.run(day(1), SOFT)
        counts = lease.run(day(3), answer)
        assert counts == (expected or Counts(leases=1, attempted=1, late_fees=1, delinquent=1))
        assert lease.amounts == [100, 100, 100]
        assert lease.has_to_look(day(3)) is False


def test_a_method_that_is_stopped_leaves_its_first_day_in_force() -> None:
    """Tried four days late and declined for good: the grace has begun on that day, and goes on."""
    lease = Lease()
    lease.run(day(4), HARD)
    for number in range(5, 10):
        counts = lease.run(day(number))
        assert counts is None or not counts.late_fees + counts.delinquent
    assert lease.run(day(10)) == Counts(leases=1, late_fees=1, delinquent=1)


def test_nobody_is_fined_for_an_outage_of_the_gateway() -> None:
    """A card that was never reached was not tried: the grace begins when it is."""
    lease = Lease(grace=2)
    for number in range(8):
        counts = lease.run(day(number), NotReached(reason="refused"))
        assert counts is not None
        assert (counts.attempted, counts.late_fees, counts.delinquent) == (1, 0, 0)
    lease.run(day(8), SOFT)
    assert lease.payments[0].first_tried_on == day(8)
    assert lease.run(day(9), SOFT) == Counts(leases=1, attempted=1)
    assert lease.run(day(11), SOFT) == Counts(leases=1, attempted=1, late_fees=1, delinquent=1)


def test_the_same_day_again_does_what_has_become_possible() -> None:
    """Nothing twice; what waited for an attempt by hand follows its end, as of the same day."""
    lease = Lease(autopay=False)
    by_hand = domain.start(lease.account, lease.payments[0], "a", "c", "pm_card", None, NOW)
    assert lease.run(day(6)) == Counts(leases=1, due=1)
    assert lease.run(day(6)) is None
    lease.answer(by_hand, SOFT)
    assert lease.run(day(5)) is None  # the lease's day is later
    assert lease.run(day(6)) == Counts(late_fees=1, delinquent=1)
    assert lease.run(day(6)) is None


@pytest.mark.parametrize(
    ("as_of", "statuses"),
    [
        (None, ["scheduled", "scheduled", "scheduled"]),
        (date(2027, 1, 1), ["due", "scheduled", "scheduled"]),
        (date(2027, 2, 1), ["late", "due", "scheduled"]),
        (date(2028, 2, 1), ["late", "late", "late"]),
    ],
)
def test_the_leases_day_says_what_an_instalment_is(as_of: date | None, statuses: list[str]) -> None:
    """Before its due date, on it, after it; before any run, scheduled."""
    lease = Lease(term=3)
    assert [status_on(payment, as_of) for payment in lease.payments] == statuses


def test_autopay_that_succeeds() -> None:
    """One attempt on the due date, for all that is due; afterwards there is nothing to look at."""
    lease = Lease()
    assert lease.run(DUE, OK) == Counts(leases=1, due=1, attempted=1)
    assert lease.payments[0].status == "paid"
    assert lease.amounts == [100]
    assert lease.account.next_look_on is None


def test_soft_declines_are_tried_again_on_days_1_3_and_5() -> None:
    """Four attempts in all, then never again; each decline but the last says when the next try is."""
    lease = Lease()
    tried = []
    for number in range(20):
        counts = lease.run(day(number), *([SOFT] if number in (0, 1, 3, 5) else []))
        if counts is not None and counts.attempted:
            tried.append(number)
    assert tried == [0, 1, 3, 5]
    assert lease.told.count("payment.retry_scheduled") == 3
    assert lease.stopped() == "last_decline"
    assert lease.payments[0].next_retry_at is None


def test_a_late_run_shifts_no_retry_before_the_next_day() -> None:
    """Days count from the first try; a run that comes late tries once, and the next try is a day later."""
    lease = Lease()
    lease.run(day(0), SOFT)
    lease.run(day(10), SOFT)
    retry_at = lease.payments[0].next_retry_at
    assert retry_at is not None
    assert retry_at.date() == day(11)


def test_a_hard_decline_stops_the_method() -> None:
    """A dead card is charged once, and no more for any instalment of the lease, until a method is named."""
    lease = Lease(term=3)
    lease.run(DUE, HARD)
    for number in range(1, 100):
        counts = lease.run(day(number))
        assert counts is None or counts.attempted == 0
    assert len(lease.amounts) == 1
    stop = lease.account.autopay_stopped
    assert stop is not None
    assert (stop.reason, stop.attempt_id) == ("hard_decline", lease.attempt_ids[0])
    assert lease.account.autopay
    assert lease.told.count("lease.autopay_changed") == 1
    told = lease.fields("lease.autopay_changed", "autopay", "payment_method", "autopay_stopped", "reason")
    assert told == [(True, "pm_card", msgspec.to_builtins(stop), "hard_decline")]


def test_not_reached_is_tried_the_next_day_and_does_not_count() -> None:
    """Nothing went to the issuer, so four declines are still to come."""
    lease = Lease()
    for number in range(6):
        assert (counts := lease.run(day(number), NotReached(reason="x"))) is not None
        assert counts.attempted == 1
    assert lease.payments[0].autopay_declines == 0


WRONG = NotReached(reason="Stripe cannot take 1 of KWD", outage=False)


def test_what_the_gateway_will_not_take_is_not_tried_for_ever() -> None:
    """Four tries, on as many days; the last one says that autopay is over, and why."""
    lease = Lease()
    tried = []
    for number in range(20):
        counts = lease.run(day(number), *([WRONG] if number < MAX_ATTEMPTS else []))
        if counts is not None and counts.attempted:
            tried.append(number)
    assert tried == [0, 1, 2, 3]
    assert lease.stopped() == "cannot_be_made"
    assert lease.fields("payment.failed", "autopay_over") == [(None,)] * 3 + [("cannot_be_made",)]


def test_every_decision_of_a_run_says_why() -> None:
    """Its attempts name the run, its day, and whether it is the first try; by hand they name none."""
    lease = Lease()
    lease.run(DUE, SOFT)
    lease.run(day(1), HARD)
    started = lease.fields("payment.attempt_started", "run_id", "as_of", "reason")
    assert started == [
        (run_id_of(DUE), str(DUE), "due"),
        (run_id_of(day(1)), str(day(1)), "retry"),
    ]
    assert lease.fields("payment.declined", "autopay_over") == [(None,), (None,)]
    assert lease.fields("lease.autopay_changed", "reason") == [("hard_decline",)]
    last = Lease()
    for number in (0, 1, 3, 5):
        last.run(day(number), SOFT)
    assert last.fields("payment.declined", "autopay_over") == [(None,)] * 3 + [("last_decline",)]


@pytest.mark.parametrize(
    ("autopay", "method", "stops"),
    [(True, "pm_card", True), (True, "pm_other", False), (False, "pm_card", False)],
)
@pytest.mark.parametrize("payoff", [False, True])
def test_a_hard_decline_by_hand_stops_the_method(
    autopay: bool, method: str, stops: bool, payoff: bool
) -> None:
    """It does where the card is the one that autopay charges, whatever it was to pay; told once."""
    lease = Lease(autopay=autopay)
    for _ in range(2):
        if payoff:
            by_hand = domain.start_payoff(lease.account, lease.payments, "a", "c", method, DUE, NOW)
        else:
            by_hand = domain.start(lease.account, lease.payments[0], "a", "c", method, None, NOW)
        lease.answer(by_hand, HARD)
    stopped = lease.fields("lease.autopay_changed", "autopay_stopped")
    stop = {"reason": "hard_decline", "since": rfc3339(NOW), "attempt_id": "a"}
    assert stopped == ([(stop,)] if stops else [])
    assert lease.look(DUE).attempted == (autopay and not stops)


def test_unknown_holds_back_all_consequences() -> None:
    """No second attempt, fee or delinquency while the first is unknown; its end has the lease looked at."""
    lease = Lease()
    lease.run(DUE, NoAnswer(reason="timeout"))
    attempt = lease.started[0]
    for number in range(1, 8):
        assert (counts := lease.run(day(number))) is not None
        assert counts == Counts(leases=1)
    lease.answer(attempt, SOFT)
    # Its first retry and the end of its grace are past: both, on the day that was the last.
    assert lease.run(day(7), SOFT) == Counts(attempted=1, late_fees=1, delinquent=1)
    assert lease.amounts == [100, 100]
    assert lease.run(day(8), OK) == Counts(leases=1, attempted=1)
    assert lease.amounts == [100, 100, 115]
    assert (lease.payments[0].status, lease.told[-1]) == ("paid", "lease.cured")


def test_unknown_that_has_paid_has_no_consequences() -> None:
    """However late the gateway says so."""
    lease = Lease()
    lease.run(DUE, NoAnswer(reason="timeout"))
    attempt = lease.started[0]
    lease.run(day(30))
    lease.answer(attempt, OK)
    assert lease.payments[0].status == "paid"
    assert lease.amounts == [100]
    assert not {"lease.late_fee_assessed", "lease.delinquent"} & set(lease.told)


def test_a_late_fee_of_before_that_came_during_an_attempt_is_collected_by_the_next() -> None:
    """Runs did that once: the attempt was for less than is owed now, so the rest is taken the day after."""
    lease = Lease()
    lease.run(DUE, NoAnswer(reason="timeout"))
    attempt = lease.started[0]
    lease.run(day(6))
    lease.payments[0].owed = Allocation(principal=100, late_fees=15)
    lease.answer(attempt, OK)
    assert (lease.payments[0].status, lease.payments[0].amount_due) == ("late", 15)
    assert lease.run(day(7), OK) is not None
    assert lease.amounts == [100, 15]
    assert lease.payments[0].status == "paid"


def test_a_payoff_under_way_holds_up_attempts_and_consequences() -> None:
    """Its amount was reckoned without the fee; where it moves nothing, they follow."""
    lease = Lease(autopay=False)
    payoff = domain.start_payoff(lease.account, lease.payments, "x", "c", "pm_card", day(6), NOW)
    assert lease.run(day(6)) == Counts(leases=1, due=1)
    lease.answer(payoff, SOFT)
    assert lease.run(day(6)) == Counts(late_fees=1, delinquent=1)


def test_a_hard_decline_by_hand_holds_the_next_run_where_the_card_is_the_same() -> None:
    """The lease's own card is dead, whoever found out; another card's decline says nothing of it."""
    for method, attempted in (("pm_other", 1), ("pm_card", 0)):
        lease = Lease()
        by_hand = domain.start(lease.account, lease.payments[0], "a", "c", method, None, NOW)
        batch = lease.batch()
        assert settle(batch, by_hand, HARD) is not None
        assert "payment.retry_scheduled" not in [event.type for event in batch.events]
        assert lease.look(DUE).attempted == attempted


def test_a_decline_by_hand_moves_no_retry() -> None:
    """Neither its day nor the count of autopay's own tries."""
    lease = Lease()
    lease.run(DUE, SOFT)
    retry_at = lease.payments[0].next_retry_at
    by_hand = domain.start(lease.account, lease.payments[0], "a", "c", "pm_card", None, NOW)
    settle(lease.batch(), by_hand, SOFT)
    assert lease.payments[0].next_retry_at == retry_at is not None
    assert lease.payments[0].autopay_declines == 1


def test_an_attempt_by_hand_under_way_is_waited_for() -> None:
    """The run of the next day looks again."""
    lease = Lease()
    by_hand = domain.start(lease.account, lease.payments[0], "a", "c", "pm_card", 40, NOW)
    assert lease.run(DUE) == Counts(leases=1, due=1)
    assert lease.account.next_look_on == day(1)
    settle(lease.batch(), by_hand, OK)
    assert lease.payments[0].status == "due"
    lease.run(day(1), OK)
    assert lease.amounts == [60]


def test_a_cancelled_instalment_is_left_alone() -> None:
    """Whatever it was when it was cancelled; a lease without open instalments is not looked at again."""
    lease = Lease(term=2)
    lease.run(DUE, SOFT)
    for payment in lease.payments:
        payment.status = "cancelled"
    assert lease.run(day(1)) == Counts(leases=1)
    assert lease.account.next_look_on is None
    assert not lease.account.delinquent


def test_a_days_run_has_one_id() -> None:
    """A UUIDv7 of the day's first millisecond: nobody has to be asked for it."""
    assert run_id_of(date(1970, 1, 1)) == "00000000-0000-7000-8000-000000000000"
    assert run_id_of(DUE) == "01a2ce8b-d400-7000-8000-000000000000"
    assert len({run_id_of(day(number)) for number in range(400)}) == 400


ANSWERS = st.sampled_from([OK, SOFT, SOFT, HARD, NotReached(reason="x"), NoAnswer(reason="x")])
DAYS = st.lists(st.integers(-5, 120), min_size=1, max_size=40)


@given(days=DAYS, data=st.data(), grace=st.integers(0, 40), term=st.integers(1, 4), autopay=st.booleans())
def test_any_days(days: list[int], data: st.DataObject, grace: int, term: int, autopay: bool) -> None:
    """Runs on any days in any order, with any answers.

    Deciding twice changes nothing; a late fee once at most; four declined attempts at most; one attempt of a
    lease at a time, and a hard decline is the last; nothing is collected twice; and a lease with something to
    do is never forgotten.
    """
    lease = Lease(term=term, grace=grace, autopay=autopay)
    for number in days:
        collected = lease.account.collected_as_of
        if collected is not None and day(number) < collected:
            assert lease.run(day(number)) is None
            continue
        expected = lease.account.next_look_on
        _forgets_nothing(lease, day(number))
        lease.run(day(number))
        if lease.account.collected_as_of != day(number):
            assert expected is None or expected > day(number)
            continue
        tried: list[str | None] = []
        while lease.started:  # one at a time, until nothing has waited for its end
            [attempt] = lease.started
            assert not any(each.in_flight not in (None, attempt.attempt_id) for each in lease.payments)
            tried.append(attempt.payment_id)
            answer = data.draw(ANSWERS)
            lease.answer(attempt, answer)
            lease.run(day(number))
            assert not lease.started or not (isinstance(answer, NoAnswer) or answer is HARD)
        assert len(tried) == len(set(tried))
        again = decide(lease.account, _reached(lease, day(number)), None, day(number))
        assert not any(each.attempt or each.late_fee or each.newly_due for each in again.instalments)
        assert not again.delinquent
    for payment in lease.payments:
        assert payment.owed.late_fees in (0, 15)
        assert payment.autopay_declines <= MAX_ATTEMPTS
        assert payment.paid.total <= payment.owed.total
    assert lease.told.count("lease.late_fee_assessed") <= term
    assert lease.told.count("lease.delinquent") - lease.told.count("lease.cured") in (0, 1)


def _reached(lease: Lease, as_of: date) -> list[Payment]:
    return [payment for payment in lease.payments if payment.open and payment.due_date <= as_of]


def _forgets_nothing(lease: Lease, as_of: date) -> None:
    """Where no run is to look by this day, a run that looked all the same would find nothing to do."""
    if lease.account.next_look_on is not None and lease.account.next_look_on <= as_of:
        return
    found = decide(lease.account, _reached(lease, as_of), None, as_of)
    assert not any(
        each.attempt or each.late_fee or each.status != each.payment.status for each in found.instalments
    )
    assert not found.delinquent


@pytest.mark.parametrize("days_late", [5, 6])
def test_the_grace_is_days_that_are_still_forgiven(days_late: int) -> None:
    """With five days of grace the fifth day is still in time, the sixth is not."""
    lease = Lease(autopay=False)
    assert beyond_grace(lease.account, lease.payments[0], day(days_late)) == (days_late > 5)
