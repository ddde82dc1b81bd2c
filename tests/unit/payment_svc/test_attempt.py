"""Attempts and payoffs: what may be begun, and what the gateway's answer makes of it. Pure."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from common.messaging.envelope import Event, Outcome
from common.web import read_your_writes
from payment_svc.application.gateway import Charged, ChargeResult, Declined, NoAnswer, NotReached
from payment_svc.application.settlement import keep_asking, put_off, settle
from payment_svc.application.unit_of_work import Batch
from payment_svc.domain import attempt as domain
from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import ASK_AFTER, REPEAT_WITHIN, Account, Attempt, Payment, Refused

LEASE = "01890a5d-ac96-774b-8bce-b302099a8057"
NOW = datetime(2027, 2, 1, 8, 0, tzinfo=UTC)
TODAY = date(2027, 2, 1)


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
    """Two instalments: 1,020 with a fee of 25 on 1 January, 1,010 on 1 March."""
    return [
        payment(1, date(2027, 1, 1), Allocation(principal=1000, interest=20, fees=25), 1000),
        payment(2, date(2027, 3, 1), Allocation(principal=1000, interest=10), 0),
    ]


def payment(number: int, due: date, owed: Allocation, left: int) -> Payment:
    return Payment(
        payment_id=f"p{number}",
        lease_id=LEASE,
        number=number,
        due_date=due,
        owed=owed,
        paid=Allocation(),
        principal_balance=left,
        status="scheduled",
        in_flight=None,
        attempts=0,
        next_retry_at=None,
        last_attempt_id=None,
    )


def start(of: Account, what: Payment, amount: int | None = None) -> Attempt:
    return domain.start(of, what, "a1", "c1", "pm_card_ok", amount, NOW)


def start_payoff(of: Account, what: list[Payment], today: date = TODAY) -> Attempt:
    return domain.start_payoff(of, what, "a1", "c1", "pm_card_ok", today, NOW)


def settled(
    result: ChargeResult, *, amount: int | None = None, payoff: bool = False, unknown: bool = False
) -> tuple[Batch, Attempt, Outcome]:
    """An attempt that was begun and then answered."""
    of, both = account(), payments()
    attempt = start_payoff(of, both) if payoff else start(of, both[0], amount)
    if unknown:
        attempt.status = "unknown"
        attempt.next_check_at = NOW
    batch = Batch({LEASE: of}, both, NOW)
    return batch, attempt, settle(batch, attempt, result)


def data(event: Event) -> Any:
    return json.loads(bytes(event.data))


def test_start() -> None:
    """The whole of what is due, or a part; the payment is taken until it is settled."""
    of, [first, _] = account(), payments()
    attempt = start(of, first)
    assert (attempt.amount, attempt.currency, attempt.kind, attempt.status) == (
        1045,
        "USD",
        "instalment",
        "started",
    )
    assert (first.in_flight, first.last_attempt_id, first.attempts) == ("a1", "a1", 1)
    assert (first.shown_status, first.status) == ("processing", "scheduled")
    assert start(account(), payments()[0], 1).amount == 1
    assert start(account(), payments()[0], 1045).amount == 1045


def test_what_cannot_be_started() -> None:
    """More than is due is 422; what is in flight, paid or cancelled is 409, and nothing is changed by it."""
    of, [first, second] = account(), payments()
    with pytest.raises(Refused) as caught:
        start(of, first, 1046)
    assert (caught.value.status, caught.value.pointer) == (422, "/amount")
    assert (first.attempts, first.in_flight) == (0, None)
    start(of, first)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            start(of, first)
        assert (caught.value.status, first.attempts) == (409, 1)
    for status in ("paid", "cancelled"):
        second.status = status
        with pytest.raises(Refused, match=status) as caught:
            start(of, second)
        assert caught.value.status == 409
    of.payoff_in_flight = "x"
    with pytest.raises(Refused, match="payoff"):
        start(of, payments()[1])


def test_collect_in_parts() -> None:
    """Fees first, then interest, then principal; the last cent makes it paid."""
    first = payments()[0]
    parts = [domain.collect(first, amount) for amount in (30, 20, 994, 1)]
    assert parts[0] == Allocation(fees=25, interest=5)
    assert parts[1] == Allocation(interest=15, principal=5)
    assert (first.status, first.amount_due) == ("paid", 0)
    assert first.paid == first.owed
    with pytest.raises(ValueError, match="amount"):
        domain.collect(first, 1)


def test_success() -> None:
    """Money moved: 201, one event that says it all, a token that reads to it."""
    batch, attempt, outcome = settled(Charged(reference="ch_1"))
    assert (attempt.status, attempt.gateway_reference, attempt.settled_at) == ("succeeded", "ch_1", NOW)
    assert (outcome.http_status, outcome.status, outcome.location) == (
        201,
        "succeeded",
        "/api/v1/attempts/a1",
    )
    [event] = batch.events
    assert (event.type, event.subject, event.sequence) == ("payment.succeeded", LEASE, 1)
    assert (event.correlationid, event.causationid) == ("c1", "c1")
    assert data(event)["allocation"] == {"late_fees": 0, "fees": 25, "interest": 20, "principal": 1000}
    assert (data(event)["amount_paid"], data(event)["amount_due"], data(event)["payment_status"]) == (
        1045,
        0,
        "paid",
    )
    shown = json.loads(bytes(outcome.body))
    assert (shown["status"], shown["payment"]["status"], shown["payment"]["amount_due"]) == (
        "succeeded",
        "paid",
        0,
    )
    assert outcome.token is not None
    assert read_your_writes.read_token(outcome.token) == read_your_writes.Position("/payment-svc", 1, LEASE)
    assert set(batch.touched_payments) == {"p1"}


def test_partial_success() -> None:
    """A part moved: the payment is open again, with the rest due."""
    batch, _, outcome = settled(Charged(reference="ch_1"), amount=45)
    shown = json.loads(bytes(outcome.body))["payment"]
    assert (shown["status"], shown["amount_paid"], shown["amount_due"]) == ("scheduled", 45, 1000)
    assert data(batch.events[0])["payment_status"] == "scheduled"
    assert start(batch.accounts[LEASE], batch.payments["p1"]).amount == 1000


@pytest.mark.parametrize("payoff", [False, True])
def test_decline(payoff: bool) -> None:
    """The issuer said no: 402 with the decline and the attempt; nothing moved, and it can be tried again."""
    batch, attempt, outcome = settled(Declined(code="lost_card", reference="ch_2"), payoff=payoff)
    assert (attempt.status, outcome.http_status, outcome.status) == ("declined", 402, "rejected")
    shown = json.loads(bytes(outcome.body))
    assert (shown["status"], shown["attempt_id"], shown["decline"]["class"]) == (402, "a1", "hard")
    assert [event.type for event in batch.events] == ["payoff.declined" if payoff else "payment.declined"]
    assert batch.accounts[LEASE].payoff_in_flight is None
    assert all(each.paid == Allocation() and each.in_flight is None for each in batch.payments.values())
    start(batch.accounts[LEASE], batch.payments["p1"])


@pytest.mark.parametrize("payoff", [False, True])
def test_not_reached(payoff: bool) -> None:
    """Certainly nothing happened: 502, and it may be tried again."""
    batch, attempt, outcome = settled(NotReached(reason="refused"), payoff=payoff)
    assert (attempt.status, attempt.settled_at, outcome.http_status) == ("failed", NOW, 502)
    assert [event.type for event in batch.events] == ["payment.failed"]
    assert data(batch.events[0])["reason"] == "refused"
    assert json.loads(bytes(outcome.body))["attempt_id"] == "a1"
    start(batch.accounts[LEASE], batch.payments["p1"])


@pytest.mark.parametrize("payoff", [False, True])
def test_no_answer(payoff: bool) -> None:
    """Nobody knows: 202, the command is pending, the payment stays taken, and the gateway is asked later."""
    batch, attempt, outcome = settled(NoAnswer(reason="timeout"), payoff=payoff)
    assert (outcome.status, outcome.has_answer) == ("pending", True)
    assert (attempt.status, attempt.settled_at, outcome.http_status) == ("unknown", None, 202)
    assert attempt.next_check_at == NOW + ASK_AFTER[0]
    assert [event.type for event in batch.events] == ["payment.unknown"]
    with pytest.raises(Refused) as caught:
        start(batch.accounts[LEASE], batch.payments["p1"])
    assert caught.value.status == 409


@pytest.mark.parametrize("payoff", [False, True])
@pytest.mark.parametrize("result", [Charged(reference="ch_1"), Declined(code="lost_card", reference="ch_1")])
def test_resolved(payoff: bool, result: Charged | Declined) -> None:
    """Asked about an unknown one: first what was learnt, then what moves the money, caused by it."""
    batch, attempt, _ = settled(result, payoff=payoff, unknown=True)
    kind = "payoff" if payoff else "payment"
    outcome = "succeeded" if isinstance(result, Charged) else "declined"
    assert [event.type for event in batch.events] == ["payment.resolved", f"{kind}.{outcome}"]
    first, second = batch.events
    assert data(first)["outcome"] == outcome
    assert (second.causationid, second.correlationid) == (first.id, "c1")
    assert [event.sequence for event in batch.events] == [1, 2]
    assert (attempt.status, attempt.next_check_at) == (outcome, None)


def test_asking_again_and_again() -> None:
    """The pauses grow, and the last one repeats."""
    of, both = account(), payments()
    attempt = start(of, both[0])
    batch = Batch({LEASE: of}, both, NOW)
    settle(batch, attempt, NoAnswer(reason="timeout"))
    waited: list[timedelta] = []
    for _ in range(6):
        assert attempt.next_check_at is not None
        waited.append(attempt.next_check_at - NOW)
        keep_asking(batch, attempt)
    assert waited == [*ASK_AFTER, ASK_AFTER[-1], ASK_AFTER[-1]]
    assert waited == sorted(waited)
    assert len(batch.events) == 1  # only the first time is news


def test_asked_in_vain() -> None:
    """A look-up that was not answered is as if it had not been made: it does not make the pauses grow."""
    of, both = account(), payments()
    attempt = start(of, both[0])
    batch = Batch({LEASE: of}, both, NOW)
    settle(batch, attempt, NoAnswer(reason="timeout"))
    for _ in range(2):
        keep_asking(batch, attempt)
    for _ in range(5):
        keep_asking(batch, attempt, answered=False)
        assert (attempt.checks, attempt.next_check_at) == (2, NOW + ASK_AFTER[0])
    keep_asking(batch, attempt)
    assert (attempt.checks, attempt.next_check_at) == (3, NOW + ASK_AFTER[3])


def test_held_back_here() -> None:
    """What was not even sent is made again soon, however often that happens; what was sent in vain later."""
    of, both = account(), payments()
    attempt = start(of, both[0])
    attempt.next_check_at = NOW
    batch = Batch({LEASE: of}, both, NOW)
    for _ in range(4):
        put_off(batch, attempt, called=False)
        assert (attempt.failures, attempt.next_check_at) == (1, NOW + ASK_AFTER[0])
    put_off(batch, attempt)
    assert (attempt.failures, attempt.next_check_at) == (2, NOW + ASK_AFTER[1])
    assert batch.put_off == {attempt.attempt_id: NOW + ASK_AFTER[1]}


def test_payoff() -> None:
    """All that is left as of today: due instalments become paid, later ones cancelled."""
    batch, attempt, outcome = settled(Charged(reference="ch_1"), payoff=True)
    assert attempt.payoff is not None
    # instalment 1 in full (1,045), the principal of 2, and 1,000 at 12 % for 30 days of 360
    assert attempt.amount == 1045 + 1000 + 10
    [event] = batch.events
    told = data(event)
    assert (event.type, told["amount"], told["interest_saved"], told["payment_id"]) == (
        "payoff.succeeded",
        2055,
        0,
        None,
    )
    assert sum(told["allocation"].values()) == 2055
    assert [(each["number"], each["payment_id"], each["status"]) for each in told["instalments"]] == [
        (1, "p1", "paid"),
        (2, "p2", "cancelled"),
    ]
    assert [each.status for each in batch.payments_of(LEASE)] == ["paid", "cancelled"]
    assert all(each.amount_due == 0 for each in batch.payments.values())
    assert batch.accounts[LEASE].payoff_in_flight is None
    shown = json.loads(bytes(outcome.body))
    assert (outcome.http_status, shown["kind"], shown["payment"]) == (201, "payoff", None)
    assert shown["breakdown"]["principal"] == 2000


def test_payoff_on_the_first_day() -> None:
    """No day has passed: no interest is owed, and all of it is saved."""
    of, both = account(), payments()
    attempt = start_payoff(of, both, date(2026, 12, 1))
    assert attempt.payoff is not None
    assert (attempt.amount, attempt.payoff.interest_saved) == (2025, 30)


def test_payoffs_that_cannot_be_started() -> None:
    """In flight or nothing left: 409; before the lease starts: 422; nothing is changed by it."""
    of, both = account(), payments()
    with pytest.raises(Refused) as caught:
        start_payoff(of, both, date(2026, 11, 30))
    assert (caught.value.status, of.payoff_in_flight) == (422, None)
    start(of, both[0])
    with pytest.raises(Refused) as caught:
        start_payoff(of, both)
    assert caught.value.status == 409
    of, both = account(), payments()
    start_payoff(of, both)
    with pytest.raises(Refused) as caught:
        start_payoff(of, both)
    assert caught.value.status == 409
    with pytest.raises(Refused) as caught:
        start(of, both[1])
    assert caught.value.status == 409
    of, both = account(), payments()
    for each in both:
        each.status = "paid"
    with pytest.raises(Refused, match="Nothing is left"):
        start_payoff(of, both)


def test_repeated_only_while_its_key_is_known() -> None:
    """Gateways forget keys after a day: what may have been sent so long ago is not sent again."""
    attempt = start(account(), payments()[0])
    assert timedelta(hours=24) > REPEAT_WITHIN
    assert domain.may_repeat(attempt, NOW)
    assert domain.may_repeat(attempt, NOW + REPEAT_WITHIN)
    assert not domain.may_repeat(attempt, NOW + REPEAT_WITHIN + timedelta(seconds=1))


@pytest.mark.parametrize("payoff", [False, True])
def test_never_made(payoff: bool) -> None:
    """No record of it a day after it was sent: it ends as a decline, told of as what was not found."""
    of, both = account(), payments()
    attempt = start_payoff(of, both) if payoff else start(of, both[0])
    batch = Batch({LEASE: of}, both, NOW)
    settle(batch, attempt, NoAnswer(reason="timeout"))
    settle(batch, attempt, None)
    assert [event.type for event in batch.events[1:]] == [
        "payment.resolved",
        "payoff.declined" if payoff else "payment.declined",
    ]
    assert data(batch.events[1])["outcome"] == "not_found"
    assert batch.events[2].causationid == batch.events[1].id
    decline = data(batch.events[2])["decline"]
    assert (decline["code"], decline["class"], decline["advice"]) == ("no_record", "soft", "retry_later")
    assert (attempt.status, attempt.gateway_reference, attempt.next_check_at) == ("declined", None, None)
    assert (both[0].in_flight, of.payoff_in_flight) == (None, None)


def test_when_no_record_says_that_it_was_never_made() -> None:
    """A day after it was made for the last time, not before."""
    attempt = start(account(), payments()[0])
    day = domain.NO_RECORD_AFTER
    assert not domain.never_made(attempt, NOW + day - timedelta(seconds=1))
    assert domain.never_made(attempt, NOW + day)
    attempt.taken_up_at = NOW + timedelta(hours=5)
    assert not domain.never_made(attempt, NOW + day)
    assert domain.never_made(attempt, NOW + day + timedelta(hours=5))


def test_made_again_and_again() -> None:
    """An attempt that was put off waits longer each time; money for a closed lease has times of its own."""
    attempt = start(account(), payments()[0])
    attempt.next_check_at = NOW
    waits = []
    for _ in range(5):
        domain.put_off(attempt, NOW)
        waits.append(attempt.next_check_at - NOW)
    assert waits == [*ASK_AFTER, ASK_AFTER[-1]]
    assert (attempt.status, attempt.failures) == ("started", 5)
    attempt.next_check_at = None
    domain.put_off(attempt, NOW)
    assert attempt.next_check_at is None
