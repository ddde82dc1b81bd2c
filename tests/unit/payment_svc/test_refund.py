"""Refunds and chargebacks as attempts: what may be begun, what becomes of them, and what is told."""

import json
from datetime import date
from typing import Any

import msgspec
import pytest

from common.kernel.clock import rfc3339
from common.messaging.envelope import Command, Event, Outcome
from payment_svc.application import command_handlers, refund_commands
from payment_svc.application.gateway import Charged, ChargeResult, Declined, NoAnswer, NotReached
from payment_svc.application.settlement import settle
from payment_svc.application.unit_of_work import Batch
from payment_svc.contracts.commands import RecordChargeback, RefundAttempt
from payment_svc.domain import attempt as attempts
from payment_svc.domain import collection_rules, lease_closing, refund
from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import Account, Attempt, Payment, Refused
from tests.support.builders.payments import LEASE, NOW, collected, payment


def account() -> Account:
    return Account(
        lease_id=LEASE,
        currency="USD",
        principal=2000,
        annual_rate="0.12",
        day_count="30/360",
        start_date=date(2026, 12, 1),
    )


def payments() -> list[Payment]:
    """Two instalments: 1,045 with a fee of 25 on 1 January, 1,010 on 1 March."""
    return [
        payment(1, date(2027, 1, 1), Allocation(principal=1000, interest=20, fees=25), 1000),
        payment(2, date(2027, 3, 1), Allocation(principal=1000, interest=10), 0),
    ]


def paid(amount: int = 1045) -> tuple[Batch, Attempt]:
    """Instalment 1 was paid, by attempt a1."""
    its = payments()
    attempts.collect(its[0], amount)
    batch = Batch({LEASE: account()}, its, NOW)
    batch.originals["a1"] = collected("a1", amount, its[0])
    return batch, batch.originals["a1"]


def paid_off() -> tuple[Batch, Attempt]:
    """The whole lease was paid off on its first day, by attempt p1."""
    of, its = account(), payments()
    attempt = attempts.start_payoff(of, its, "p1", "c0", "pm_card_ok", date(2026, 12, 1), NOW)
    attempt.status, attempt.gateway_reference = "succeeded", "ch_p1"
    attempts.settle_payoff(of, its, attempt)
    batch = Batch({LEASE: of}, its, NOW)
    batch.originals["p1"] = attempt
    return batch, attempt


def command(type_: str, number: int = 1) -> Command:
    return Command(command_id=f"c{number}", type=type_, submitted_at=NOW, data=msgspec.Raw(b"{}"))


def ask(batch: Batch, refunds: str = "a1", amount: int | None = None, number: int = 1) -> Outcome:
    asked = RefundAttempt(attempt_id=f"r{number}", refunds=refunds, amount=amount, reason="broken")
    return command_handlers.refund_attempt(batch, command("RefundAttempt", number), asked)


def made(batch: Batch, result: ChargeResult, refunds: str = "a1", amount: int | None = None) -> Outcome:
    """A refund that was begun and then answered."""
    assert ask(batch, refunds, amount).status == "pending"
    return settle(batch, batch.started[-1], result)


def data(event: Event) -> Any:
    return json.loads(bytes(event.data))


def types(batch: Batch) -> list[str]:
    return [event.type for event in batch.events]


def test_start() -> None:
    """A refund is an attempt of its own; the instalment is taken until it is settled."""
    batch, _ = paid()
    outcome = ask(batch, amount=45)
    assert (outcome.status, outcome.location) == ("pending", "/api/v1/attempts/r1")
    [begun] = batch.started
    assert (begun.attempt_id, begun.kind, begun.amount, begun.refunds) == ("r1", "refund", 45, "a1")
    assert (begun.status, begun.payment_id, begun.payment_method) == ("started", "p1", "pm_card_ok")
    assert batch.payments["p1"].in_flight == "r1"
    assert batch.payments["p1"].attempts == 0  # it is no try to collect
    assert types(batch) == ["payment.attempt_started"]
    assert data(batch.events[0])["kind"] == "refund"
    assert ask(paid()[0]).status == "pending"
    assert paid()[1].left == 1045


@pytest.mark.parametrize(("amount", "status"), [(1046, 422), (1045, 0), (1, 0)])
def test_at_most_what_is_left(amount: int, status: int) -> None:
    """More than was collected is 422 on the amount."""
    outcome = ask(paid()[0], amount=amount)
    assert outcome.status == ("rejected" if status else "pending")
    if status:
        assert json.loads(bytes(outcome.body))["errors"][0]["pointer"] == "/amount"


def test_what_cannot_be_given_back() -> None:
    """Unknown attempts are 404; those without money, refunds, and what is in flight are 409."""
    batch, original = paid()
    assert ask(batch, "nobody").http_status == 404
    for status in ("started", "declined", "failed", "unknown"):
        original.status = status  # type: ignore[assignment]
        assert ask(batch).http_status == 409
    original.status = "succeeded"
    batch.payments["p1"].in_flight = "x"
    assert ask(batch).http_status == 409
    batch.payments["p1"].in_flight = None
    batch.accounts[LEASE].payoff_in_flight = "x"
    assert ask(batch).http_status == 409
    batch.accounts[LEASE].payoff_in_flight = None
    original.refunds = "a0"
    assert ask(batch).http_status == 409
    original.refunds = None
    original.refunded = 1045
    assert ask(batch).http_status == 409
    assert ask(batch, amount=1).http_status == 422
    assert batch.started == []
    assert batch.events == []


def test_nothing_begins_while_a_refund_is_in_flight() -> None:
    """Neither another refund, nor an attempt on the instalment, nor a payoff."""
    batch, original = paid(100)
    ask(batch, amount=45)
    assert ask(batch, amount=10, number=2).http_status == 409
    of, its = batch.accounts[LEASE], batch.payments_of(LEASE)
    with pytest.raises(Refused):
        attempts.start(of, its[0], "a2", "c2", "pm", None, NOW)
    with pytest.raises(Refused):
        attempts.start_payoff(of, its, "a2", "c2", "pm", NOW.date(), NOW)
    with pytest.raises(Refused):
        refund.charge_back(of, its[:1], original, "b1", "c3", "dp", 5, "fraudulent", NOW)
    batch, _ = paid_off()
    ask(batch, "p1", 5)
    assert batch.accounts[LEASE].payoff_in_flight == "r1"
    assert ask(batch, "p1", 5, number=2).http_status == 409


def test_money_given_back() -> None:
    """201 with the refund; one event says what was undone, and the instalment is open again."""
    batch, original = paid()
    outcome = made(batch, Charged(reference="re_1"), amount=1010)
    assert (outcome.http_status, outcome.location) == (201, "/api/v1/attempts/r1")
    assert types(batch) == ["payment.attempt_started", "payment.refunded"]
    told = data(batch.events[1])
    assert (told["kind"], told["attempt_id"], told["refunded_attempt_id"]) == ("refund", "r1", "a1")
    assert (told["gateway_reference"], told["reason"], told["interest_owed_again"]) == ("re_1", "broken", 0)
    assert told["allocation"] == {"late_fees": 0, "fees": 0, "interest": 10, "principal": 1000}
    assert told["instalments"] == [
        {
            "number": 1,
            "payment_id": "p1",
            "status": "scheduled",
            "amount": 1045,
            "amount_paid": 35,
            "amount_due": 1010,
            "autopay_stopped": None,  # there is no autopay
        }
    ]
    shown = json.loads(bytes(outcome.body))
    assert (shown["kind"], shown["refunds"], shown["reason"]) == ("refund", "a1", "broken")
    assert (shown["payment"]["status"], shown["payment"]["amount_due"]) == ("scheduled", 1010)
    assert (original.refunded, original.left) == (1010, 35)
    assert batch.taken_back == {"a1": original}
    assert (batch.payments["p1"].in_flight, batch.payments["p1"].paid.total) == (None, 35)


def test_a_payoff_given_back_in_parts() -> None:
    """`payment` is null; the whole of it makes what it had saved owed again."""
    batch, original = paid_off()
    outcome = made(batch, Charged(reference="re_1"), "p1", 1000)
    shown = json.loads(bytes(outcome.body))
    assert (shown["kind"], shown["payment"], shown["payment_id"]) == ("refund", None, None)
    assert batch.accounts[LEASE].payoff_standing == "p1"
    assert batch.accounts[LEASE].payoff_in_flight is None
    made(batch, Charged(reference="re_2"), "p1")
    assert (original.left, batch.accounts[LEASE].payoff_standing) == (0, None)
    assert data(batch.events[-1])["interest_owed_again"] == 30
    assert data(batch.events[-1])["amount"] == 1025
    assert [each.owed for each in batch.payments_of(LEASE)] == [each.owed for each in payments()]
    assert sum(each.amount_due for each in batch.payments_of(LEASE)) == 1045 + 1010


@pytest.mark.parametrize("payoff", [False, True])
@pytest.mark.parametrize(
    ("result", "type_", "http_status", "status"),
    [
        (Declined(code="refund_exceeds_charge", reference="re_1"), "payment.declined", 402, "declined"),
        (NotReached(reason="refused"), "payment.failed", 502, "failed"),
        (NoAnswer(reason="timeout"), "payment.unknown", 202, "unknown"),
    ],
)
def test_nothing_given_back(
    payoff: bool, result: ChargeResult, type_: str, http_status: int, status: str
) -> None:
    """As for any attempt; nothing is undone, and only what is unknown stays in flight."""
    batch, original = paid_off() if payoff else paid()
    before = [(each.owed, each.paid, each.status) for each in batch.payments_of(LEASE)]
    outcome = made(batch, result, original.attempt_id)
    assert (outcome.http_status, batch.started[0].status) == (http_status, status)
    assert types(batch) == ["payment.attempt_started", type_]
    assert data(batch.events[1])["kind"] == "refund"
    assert [(each.owed, each.paid, each.status) for each in batch.payments_of(LEASE)] == before
    assert original.refunded == 0
    again = ask(batch, original.attempt_id, number=2)
    assert again.http_status == (409 if status == "unknown" else 202)


def test_an_unknown_refund_is_resolved() -> None:
    """First what was learnt, then what moved the money, caused by it."""
    batch, original = paid()
    made(batch, NoAnswer(reason="timeout"), amount=45)
    settle(batch, batch.started[0], Charged(reference="re_1"))
    assert types(batch)[1:] == ["payment.unknown", "payment.resolved", "payment.refunded"]
    assert batch.events[3].causationid == batch.events[2].id
    assert original.refunded == 45


def record(batch: Batch, number: int = 1, **changes: Any) -> Outcome:
    notice = {"notice_id": "dp_1", "gateway_reference": "ch_a1", "amount": 45, "reason": "fraudulent"}
    asked = RecordChargeback(**notice | changes)  # type: ignore[arg-type]
    return refund_commands.record_chargeback(batch, command("RecordChargeback", number), asked)


def test_a_chargeback() -> None:
    """It undoes as a refund does, and is an attempt that has succeeded."""
    batch, original = paid()
    outcome = record(batch)
    [attempt] = batch.started
    assert (attempt.kind, attempt.status, attempt.refunds) == ("chargeback", "succeeded", "a1")
    assert (attempt.settled_at, attempt.gateway_reference, attempt.notice_id) == (NOW, "ch_a1", "dp_1")
    assert batch.settled == [attempt]
    assert types(batch) == ["payment.charged_back"]
    told = data(batch.events[0])
    assert (told["kind"], told["refunded_attempt_id"], told["reason"]) == ("chargeback", "a1", "fraudulent")
    assert original.refunded == 45
    shown = json.loads(bytes(outcome.body))
    assert (outcome.http_status, shown["kind"], shown["payment"]["amount_due"]) == (201, "chargeback", 45)


def test_a_chargeback_told_of_twice() -> None:
    """The second notice of it changes nothing, and gets the same answer."""
    batch, original = paid()
    first = record(batch)
    again = record(batch, number=2, amount=50)
    assert (again.http_status, again.body, again.command_id) == (201, first.body, "c2")
    assert (original.refunded, len(batch.events)) == (45, 1)
    record(batch, number=3, notice_id="dp_2")
    assert original.refunded == 90


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"gateway_reference": "ch_other"}, 404),
        ({"gateway_reference": None}, 404),
        ({"attempt_id": "a2"}, 404),
        ({"attempt_id": "a1"}, 201),
        ({"attempt_id": "a1", "gateway_reference": None}, 201),
        ({"amount": 1046}, 422),
        ({"amount": 1045}, 201),
    ],
)
def test_which_chargebacks_are_recorded(
    changes: dict[str, Any], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What does not fit the books is refused, and logged as an error."""
    batch, original = paid()
    assert record(batch, **changes).http_status == status
    assert (original.refunded > 0) == (status == 201)
    assert ("chargeback.refused" in "".join(capsys.readouterr())) == (status != 201)


def test_a_chargeback_of_a_payoff() -> None:
    """Named by the reference of the charge, it re-opens what the payoff had settled."""
    batch, _ = paid_off()
    outcome = record(batch, gateway_reference="ch_p1", amount=500)
    assert json.loads(bytes(outcome.body))["payment"] is None
    told = data(batch.events[0])
    assert [(each["number"], each["amount_due"]) for each in told["instalments"]] == [(2, 500)]


@pytest.mark.parametrize("amount", [1000, None])
@pytest.mark.parametrize("chargeback", [False, True])
def test_money_of_a_payoff_is_not_taken_again_by_itself(amount: int | None, chargeback: bool) -> None:
    """What was due (it is 1 February) is not charged by autopay again; what falls due later is, then."""
    batch, original = paid_off()
    of = batch.accounts[LEASE]
    of.autopay, of.payment_method = True, "pm_card_ok"
    if chargeback:
        record(batch, gateway_reference="ch_p1", amount=amount or original.left)
    else:
        made(batch, Charged(reference="re_1"), "p1", amount)
    opened = [each for each in batch.payments_of(LEASE) if each.open]
    assert len(opened) == (1 if amount else 2)
    for day in (date(2027, 1, 1), date(2027, 3, 1), date(2027, 3, 20)):
        reached = [each for each in opened if each.due_date <= day]
        decided = collection_rules.decide(of, reached, None, day)
        assert [each.attempt for each in decided.instalments] == [each.number == 2 for each in reached]
    stop = {"reason": "money_taken_back", "since": rfc3339(NOW), "attempt_id": batch.started[-1].attempt_id}
    told = {each["number"]: each["autopay_stopped"] for each in data(batch.events[-1])["instalments"]}
    assert told == ({2: None} if amount else {1: stop, 2: None})


def closed(batch: Batch) -> None:
    """The lease is charged off."""
    lease_closing.cancel_open(batch.payments_of(LEASE))
    batch.accounts[LEASE].closed = "charged_off"


def shown(batch: Batch) -> list[tuple[str, int, int]]:
    return [(each.status, each.paid.total, each.amount_due) for each in batch.payments_of(LEASE)]


def test_a_payoff_of_a_closed_lease_given_back() -> None:
    """What it had put on the instalments is taken off them, part by part; nothing is owed again."""
    batch, original = paid_off()
    made(batch, Charged(reference="re_1"), "p1", 400)  # re-opens the lease, which is charged off then
    closed(batch)
    assert shown(batch) == [("cancelled", 0, 0), ("cancelled", 600, 0)]
    for amount, expected in [(300, [0, 300]), (500, [825, 0]), (None, [0, 0])]:
        made(batch, Charged(reference="re_2"), "p1", amount)
        told = data(batch.events[-1])
        assert told["interest_owed_again"] == 0
        assert shown(batch) == [("cancelled", paid, 0) for paid in expected]
        assert {each["status"] for each in told["instalments"]} == {"cancelled"}
    undone = [data(each)["allocation"] for each in batch.events if each.type == "payment.refunded"]
    assert original.payoff is not None
    for part in ("late_fees", "fees", "interest", "principal"):
        assert sum(each[part] for each in undone) == getattr(original.payoff.allocation, part)
    assert batch.accounts[LEASE].payoff_standing is None


def test_a_payoff_that_came_after_the_closing_given_back() -> None:
    """It has put nothing on any instalment; in the end it is undone as what it was for, part by part."""
    of, its = account(), payments()
    its[1].paid = Allocation(interest=10)  # paid ahead: the payoff gives it back as credit
    attempt = attempts.start_payoff(of, its, "p1", "c0", "pm_card_ok", date(2026, 12, 1), NOW)
    batch = Batch({LEASE: of}, its, NOW)
    closed(batch)
    settle(batch, attempt, Charged(reference="ch_p1"))
    assert attempt.after_closing
    assert attempt.payoff is not None
    assert attempt.payoff.allocation.interest == -10
    batch.originals["p1"] = attempt
    for amount in (700, 900, None):
        made(batch, Charged(reference="re_1"), "p1", amount)
        assert shown(batch) == [("cancelled", 0, 0), ("cancelled", 10, 0)]
        told = data(batch.events[-1])
        assert (told["instalments"], told["interest_owed_again"]) == ([], 0)
        if amount:
            assert min(told["allocation"].values()) >= 0
    undone = [data(each)["allocation"] for each in batch.events if each.type == "payment.refunded"]
    for part in ("late_fees", "fees", "interest", "principal"):
        assert sum(each[part] for each in undone) == getattr(attempt.payoff.allocation, part)


def test_a_chargeback_in_one_batch_with_the_notice_that_settles_a_payoff() -> None:
    """The payoff stands from that moment on; what is charged back of an earlier payment is owed again."""
    batch, _ = paid()
    of, its = batch.accounts[LEASE], batch.payments_of(LEASE)
    payoff = attempts.start_payoff(of, its, "p1", "c0", "pm_card_ok", date(2027, 1, 1), NOW)
    batch.noted["p1"] = payoff
    settle(batch, payoff, Charged(reference="ch_p1"))
    assert record(batch).http_status == 201
    assert shown(batch) == [("scheduled", 1000, 45), ("cancelled", 0, 0)]
