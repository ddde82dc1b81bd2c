"""What stops autopay, what does not, and how it is taken up again. Pure."""

import json
from datetime import UTC, date, datetime, time
from typing import Any

import msgspec
import pytest

from common.kernel.clock import rfc3339
from common.messaging.envelope import Command, Event, Outcome
from payment_svc.application import autopay_commands, command_handlers, refund_commands
from payment_svc.application.collection_run import Counts, Run, run_id_of, work_through
from payment_svc.application.gateway import Charged, ChargeResult, Declined, NoAnswer
from payment_svc.application.representations import payment_view
from payment_svc.application.settlement import settle
from payment_svc.application.unit_of_work import Batch
from payment_svc.contracts.commands import (
    AttemptPayment,
    PayOffLease,
    RecordChargeback,
    RefundAttempt,
    SetAutopay,
)
from payment_svc.contracts.events import AutopayStop
from payment_svc.domain import lease_closing
from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import Account, Attempt
from tests.support.builders.payments import LEASE, payment

DUE = date(2027, 1, 10)
OK = Charged(reference="ch")
SOFT, HARD = Declined(code="do_not_honor", reference="r"), Declined(code="lost_card", reference="r")


class Life:
    """A lease of 1,000 a month from 10 January 2027 on, autopay by pm_1; late fee 150 after two days."""

    def __init__(self, *, term: int = 1, on: bool = True, method: str | None = "pm_1") -> None:
        self.account = Account(
            lease_id=LEASE,
            currency="USD",
            principal=1_000 * term,
            annual_rate="0",
            day_count="30/360",
            start_date=date(2026, 12, 10),
            payment_method=method,
            autopay=on,
            grace_days=2,
            late_fee=150,
            next_look_on=DUE,
        )
        self.payments = [
            payment(number, date(2027, number, 10), Allocation(principal=1_000), 1_000 * (term - number))
            for number in range(1, term + 1)
        ]
        self.day = date(2027, 1, 2)
        self.events: list[Event] = []
        self.attempts: dict[str, Attempt] = {}

    def batch(self) -> Batch:
        """What a command or an answer finds today."""
        batch = Batch({LEASE: self.account}, self.payments, datetime.combine(self.day, time(8), UTC))
        batch.originals = self.attempts
        return batch

    def done(self, batch: Batch) -> None:
        """What it has brought about."""
        self.attempts |= {each.attempt_id: each for each in batch.started}
        self.events += batch.events

    def answer(self, attempt_id: str, said: ChargeResult) -> None:
        """The gateway says how an attempt ended."""
        batch = self.batch()
        settle(batch, self.attempts[attempt_id], said)
        self.done(batch)

    def pay(self, amount: int | None = None, said: ChargeResult = OK, method: str = "pm_2") -> str:
        """Somebody pays instalment 1, or a part of it."""
        attempt_id = f"a{len(self.attempts)}"
        asked = AttemptPayment(attempt_id=attempt_id, payment_id="p1", payment_method=method, amount=amount)
        batch = self.batch()
        command_handlers.attempt_payment(batch, _command(), asked)
        self.done(batch)
        self.answer(attempt_id, said)
        return attempt_id

    def pay_off(self) -> str:
        """Somebody pays all that is left."""
        batch = self.batch()
        asked = PayOffLease(attempt_id="payoff", lease_id=LEASE, payment_method="pm_2")
        command_handlers.pay_off_lease(batch, _command(), asked)
        self.done(batch)
        self.answer("payoff", OK)
        return "payoff"

    def take_back(self, attempt_id: str, amount: int, *, chargeback: bool = False) -> None:
        """A part of what an attempt has collected goes back."""
        batch = self.batch()
        if chargeback:
            notice = RecordChargeback(notice_id="n", attempt_id=attempt_id, amount=amount, reason="fraud")
            refund_commands.record_chargeback(batch, _command(), notice)
            self.done(batch)
            return
        name = f"r{len(self.attempts)}"
        asked = RefundAttempt(attempt_id=name, refunds=attempt_id, amount=amount, reason="broken")
        command_handlers.refund_attempt(batch, _command(), asked)
        self.done(batch)
        self.answer(name, Charged(reference="re"))

    def run(self, day: date, *answers: ChargeResult) -> list[str]:
        """Collections of a day, as often as they have something to do.

        Its attempts end so, in order; the last may stay in flight. Gives by which methods they were made.
        """
        self.day = day
        left, methods = list(answers), []
        while self.account.next_look_on is not None and self.account.next_look_on <= day:
            started = self.look(day)
            methods += [attempt.payment_method for attempt in started]
            for attempt in started if left else []:
                self.answer(attempt.attempt_id, left.pop(0))
        assert not left
        return methods

    def look(self, day: date) -> list[Attempt]:
        """A run works through the lease once; gives the attempts that it has started."""
        batch = self.batch()
        reached = [each for each in self.payments if each.open and each.due_date <= day]
        later = [each.due_date for each in self.payments if each.open and each.due_date > day]
        run = Run(
            run_id=run_id_of(day),
            as_of=day,
            status="running",
            command_id="c",
            traceparent=None,
            started_at=batch.now,
            completed_at=None,
            counts=Counts(),
        )
        work_through(batch, run, self.account, reached, min(later, default=None))
        self.done(batch)
        return batch.started

    def ask(self, on: bool = True, method: str | None = None) -> Outcome:
        """Somebody changes autopay."""
        batch = self.batch()
        outcome = autopay_commands.set_autopay(
            batch, _command(), SetAutopay(lease_id=LEASE, autopay=on, payment_method=method)
        )
        self.done(batch)
        return outcome

    def told(self, type_: str) -> list[Any]:
        """The data of all events of a type."""
        return [json.loads(bytes(event.data)) for event in self.events if event.type == type_]

    def shown(self, number: int = 1) -> Any:
        """An instalment as clients see it."""
        return msgspec.to_builtins(payment_view(self.payments[number - 1], self.account))

    def why(self, number: int = 1) -> str | None:
        """Why autopay collects nothing of an instalment, as clients see it."""
        stop = self.shown(number)["autopay_stopped"]
        return stop and stop["reason"]


def _command() -> Command:
    return Command(command_id="c", type="Any", submitted_at=datetime.now(UTC), data=msgspec.Raw(b"{}"))


def problem(outcome: Outcome) -> tuple[int | None, list[str]]:
    """Status, and the fields that are wrong."""
    body = json.loads(bytes(outcome.body))
    return outcome.http_status, [each["pointer"] for each in body.get("errors", [])]


def test_a_lost_card_is_charged_once_and_then_another_is_named() -> None:
    """Two due days, one charge; with a new method the next run tries both, also that of the same day."""
    life = Life(term=2)
    assert life.run(DUE, HARD) == ["pm_1"]
    assert life.run(date(2027, 2, 10)) == []
    assert [life.why(number) for number in (1, 2)] == ["hard_decline", "hard_decline"]
    outcome = life.ask(method="pm_new")
    assert (outcome.http_status, outcome.token is not None) == (200, True)
    assert json.loads(bytes(outcome.body)) == {
        "lease_id": LEASE,
        "autopay": True,
        "payment_method": "pm_new",
        "autopay_stopped": None,
    }
    told = life.told("lease.autopay_changed")[-1]
    assert (told["reason"], [each["number"] for each in told["instalments"]]) == ("requested", [1])
    assert life.run(date(2027, 2, 10), OK, OK) == ["pm_new", "pm_new"]
    assert [each.status for each in life.payments] == ["paid", "paid"]


def test_what_the_lease_is_stopped_by_is_shown_and_told() -> None:
    """`autopay` stays true; the event names the attempt, the payments show it, and no retry is announced."""
    life = Life(term=2)
    life.run(DUE, SOFT)
    assert life.shown()["next_retry_at"] == "2027-01-11T00:00:00.000000Z"
    lost = life.pay(said=HARD, method="pm_1")
    stop = {"reason": "hard_decline", "since": rfc3339(life.batch().now), "attempt_id": lost}
    [told] = life.told("lease.autopay_changed")
    assert (told["autopay"], told["payment_method"], told["autopay_stopped"]) == (True, "pm_1", stop)
    assert (told["reason"], told["instalments"]) == ("hard_decline", [])
    assert [life.shown(number)["autopay_stopped"] for number in (1, 2)] == [stop, stop]
    assert life.shown()["next_retry_at"] is None
    declined, changed = life.events[-2:]
    assert (changed.causationid, changed.sequence) == (declined.id, declined.sequence + 1)


def test_a_new_method_begins_a_new_series_of_four() -> None:
    """Four declines use the series up; another method has four of its own, its days count from its first."""
    life = Life()
    days = [life.run(date(2027, 1, number), SOFT) for number in (10, 11, 13, 15)]
    assert (days, life.why()) == ([["pm_1"]] * 4, "last_decline")
    assert life.run(date(2027, 1, 20)) == []
    life.ask(method="pm_new")
    tried = [
        number for number in range(20, 31) if life.run(date(2027, 1, number), *[SOFT] * _tries(life, number))
    ]
    assert tried == [20, 21, 23, 25]
    assert life.why() == "last_decline"


def _tries(life: Life, number: int) -> int:
    """Whether the run of this day of January tries instalment 1."""
    retry_at = life.payments[0].next_retry_at
    fresh = life.payments[0].autopay_since is None
    return int(
        life.why() is None and (fresh or (retry_at is not None and retry_at.date() <= date(2027, 1, number)))
    )


def test_an_attempt_by_the_old_method_ends_after_the_change() -> None:
    """Whatever becomes of it, it neither counts for the new series nor stops the new method."""
    for said in (SOFT, HARD):
        life = Life()
        life.run(DUE, NoAnswer(reason="timeout"))
        [attempt_id] = life.attempts
        life.ask(method="pm_new")
        life.answer(attempt_id, said)
        assert (life.account.autopay_stopped, life.payments[0].autopay_declines) == (None, 0)
        assert life.run(date(2027, 1, 11), OK) == ["pm_new"]


def test_the_method_known_is_taken_up_again_where_it_is_not_stopped() -> None:
    """After the last soft decline no method has to be named; after a hard one it has, and may be the same."""
    life = Life()
    for number in (10, 11, 13, 15):
        life.run(date(2027, 1, number), SOFT)
    assert life.ask().http_status == 200
    assert life.run(date(2027, 1, 16), HARD) == ["pm_1"]
    assert problem(life.ask()) == (422, ["/payment_method"])
    assert life.ask(method="pm_1").http_status == 200
    assert life.run(date(2027, 1, 17), OK) == ["pm_1"]


def test_off_and_on() -> None:
    """Off, nothing is tried and nothing is shown as stopped; on again, what was tried before begins anew."""
    life = Life()
    life.run(DUE, SOFT)
    life.ask(on=False)
    assert (life.run(date(2027, 1, 12)), life.shown()["next_retry_at"], life.why()) == ([], None, None)
    life.ask()
    assert life.run(date(2027, 1, 13), OK) == ["pm_1"]


def test_off_frees_no_stopped_method() -> None:
    """Turning it off and on again is no way to charge a lost card."""
    life = Life()
    life.run(DUE, HARD)
    assert json.loads(bytes(life.ask(on=False).body))["autopay_stopped"]["reason"] == "hard_decline"
    assert problem(life.ask()) == (422, ["/payment_method"])
    assert json.loads(bytes(life.ask(on=False, method="pm_new").body))["autopay_stopped"] is None


def test_what_changes_nothing_is_not_told() -> None:
    """The same again is 200 and no event, and moves no retry."""
    life = Life()
    life.run(DUE, SOFT)
    for method in (None, "pm_1"):
        outcome = life.ask(method=method)
        assert (outcome.http_status, life.told("lease.autopay_changed")) == (200, [])
    assert life.shown()["next_retry_at"] == "2027-01-11T00:00:00.000000Z"


def test_refusals() -> None:
    """404 for no lease, 409 for one that is closed or paid off, 422 where no method is known."""
    life = Life(on=False, method=None)
    unknown = autopay_commands.set_autopay(
        Batch({}, [], life.batch().now), _command(), SetAutopay(lease_id="x", autopay=True)
    )
    assert problem(unknown) == (404, [])
    assert problem(life.ask()) == (422, ["/payment_method"])
    assert life.ask(on=False).http_status == 200
    assert life.ask(method="pm_1").http_status == 200
    life.pay()
    assert problem(life.ask(method="pm_1")) == (409, [])
    for how in lease_closing.HOW.values():
        closed = Life()
        closed.account.closed = how
        assert problem(closed.ask(on=False)) == (409, [])


def test_a_part_paid_early_and_refunded_is_collected_when_due() -> None:
    """Pay 100 early, refund it: autopay takes all of the instalment on its due date, without a late fee."""
    life = Life()
    life.take_back(life.pay(100), 100)
    [told] = life.told("payment.refunded")
    assert (told["instalments"][0]["autopay_stopped"], life.why()) == (None, None)
    for number in range(3, 20):
        life.run(date(2027, 1, number), *([OK] if number == 10 else []))
    assert (life.payments[0].status, life.payments[0].paid.total) == ("paid", 1_000)
    assert life.told("lease.late_fee_assessed") == []


@pytest.mark.parametrize("chargeback", [False, True])
def test_an_announced_retry_goes_on(chargeback: bool) -> None:
    """Part of an instalment is paid by hand between two tries, and goes back: the retry comes on its day."""
    life = Life()
    life.run(DUE, SOFT)
    life.take_back(life.pay(100), 60, chargeback=chargeback)
    assert (life.shown()["next_retry_at"], life.why()) == ("2027-01-11T00:00:00.000000Z", None)
    assert life.run(date(2027, 1, 11), OK) == ["pm_1"]
    assert life.payments[0].status == "paid"


@pytest.mark.parametrize("chargeback", [False, True])
def test_money_that_had_paid_what_is_due_is_not_taken_again(chargeback: bool) -> None:
    """Autopay stops for that instalment alone; event and payment say so, and POST …/autopay takes it up."""
    life = Life(term=2)
    life.run(DUE, OK)
    [paid_by] = life.attempts
    life.day = date(2027, 1, 12)
    life.take_back(paid_by, 300, chargeback=chargeback)
    back = list(life.attempts)[-1]
    stop = {"reason": "money_taken_back", "since": rfc3339(life.batch().now), "attempt_id": back}
    told = life.told("payment.charged_back" if chargeback else "payment.refunded")[0]
    assert [each["autopay_stopped"] for each in told["instalments"]] == [stop]
    assert (life.shown()["autopay_stopped"], life.why(2)) == (stop, None)
    assert life.run(date(2027, 1, 20)) == []
    life.ask()
    assert life.run(date(2027, 1, 20), OK) == ["pm_1"]
    assert (life.payments[0].status, life.run(date(2027, 2, 10), OK)) == ("paid", ["pm_1"])


def test_what_was_paid_in_full_and_falls_due_later_is_collected_then() -> None:
    """Paid early by hand, all of it given back before the due date: it is collected as agreed."""
    life = Life()
    life.take_back(life.pay(), 1_000)
    assert (life.why(), life.run(DUE, OK)) == (None, ["pm_1"])


def test_the_rest_of_money_whose_first_part_went_back_early() -> None:
    """A part goes back before the due date and stops nothing; the rest goes back on it and stops it."""
    life = Life()
    paid_by = life.pay()
    life.take_back(paid_by, 400)
    assert life.why() is None
    life.day = DUE
    life.take_back(paid_by, 600)
    assert (life.why(), life.run(DUE)) == ("money_taken_back", [])


def test_the_day_of_a_reversal_is_the_leases_where_that_is_later() -> None:
    """A run for a day to come has found it due: money given back today is not taken by the next."""
    life = Life()
    life.run(DUE, OK)
    life.day = date(2027, 1, 2)
    life.take_back(next(iter(life.attempts)), 1_000)
    assert life.why() == "money_taken_back"


def test_a_payoff_given_back_stops_what_is_due() -> None:
    """It had paid every open instalment in full: the one that is due is stopped, the others go on."""
    life = Life(term=3)
    life.day = date(2027, 1, 15)
    life.take_back(life.pay_off(), 3_000)
    assert [life.why(number) for number in (1, 2, 3)] == ["money_taken_back", None, None]
    assert life.run(date(2027, 2, 10), OK) == ["pm_1"]


def test_nothing_is_stopped_where_there_is_no_autopay() -> None:
    """A refund and a hard decline by hand say nothing of autopay on a lease without it."""
    life = Life(on=False)
    life.day = date(2027, 1, 15)
    life.take_back(life.pay(), 1_000)
    life.pay(said=HARD, method="pm_1")
    assert (life.why(), life.account.autopay_stopped, life.told("lease.autopay_changed")) == (None, None, [])


def test_a_method_that_was_declined_for_good_before_that_stopped_methods() -> None:
    """An instalment of an earlier version knows: the next run stops the method and charges nothing."""
    life = Life(term=2)
    stop = AutopayStop(reason="hard_decline", since="2026-12-10T08:00:00.000000Z", attempt_id="old")
    life.payments[0].autopay_stopped = stop
    assert life.run(date(2027, 2, 10)) == []
    [told] = life.told("lease.autopay_changed")
    assert (told["reason"], told["autopay_stopped"]) == ("hard_decline", msgspec.to_builtins(stop))
    life.ask(method="pm_new")
    assert life.run(date(2027, 2, 11), OK, OK) == ["pm_new", "pm_new"]
