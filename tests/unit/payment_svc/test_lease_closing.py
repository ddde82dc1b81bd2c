"""The payments of a lease that was closed: nothing more is begun, and what was in flight ends as it must."""

import json
from typing import Any

import pytest

from common.messaging.envelope import Outcome
from payment_svc.application.gateway import Charged, ChargeResult, Declined, NoAnswer, NotReached
from payment_svc.application.settlement import settle
from payment_svc.application.unit_of_work import Batch
from payment_svc.domain import lease_closing
from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import Attempt, Closed, Refused
from tests.unit.payment_svc.test_attempt import LEASE, NOW, account, data, payments, start, start_payoff


def in_flight(*, payoff: bool = False, amount: int | None = None) -> tuple[Batch, Attempt]:
    """An attempt on the first instalment, or a payoff, amid which the lease is closed."""
    of, both = account(), payments()
    attempt = start_payoff(of, both) if payoff else start(of, both[0], amount)
    of.closed = "charged_off"
    assert lease_closing.cancel_open(both) == both
    return Batch({LEASE: of}, both, NOW), attempt


def shown(outcome: Outcome) -> Any:
    return json.loads(bytes(outcome.body))


def test_open_instalments_are_cancelled() -> None:
    """Those that are paid stay so, and what was paid on the others stays paid; nothing is due."""
    first, second = payments()
    first.status, first.paid = "paid", first.owed
    second.paid = Allocation(interest=10, principal=90)
    assert lease_closing.cancel_open([first, second]) == [second]
    assert (first.status, second.status) == ("paid", "cancelled")
    assert (second.paid.total, second.amount_due) == (100, 0)
    assert lease_closing.cancel_open([first, second]) == []


@pytest.mark.parametrize(("how", "words"), [("cancelled", "cancelled"), ("charged_off", "charged off")])
def test_nothing_more_is_begun(how: Closed, words: str) -> None:
    """409 with the reason, for an instalment and for the whole lease, and nothing is changed by it."""
    of, both = account(), payments()
    of.closed = how
    lease_closing.cancel_open(both)
    for begin in (lambda: start(of, both[0]), lambda: start_payoff(of, both)):
        with pytest.raises(Refused, match=f"has been {words}") as caught:
            begin()
        assert caught.value.status == 409
    assert (both[0].attempts, both[0].in_flight, of.payoff_in_flight) == (0, None, None)


@pytest.mark.parametrize("amount", [None, 45])
def test_success(amount: int | None) -> None:
    """The money is recorded, all of it or a part; the instalment stays cancelled, and nothing is due."""
    batch, attempt = in_flight(amount=amount)
    first = batch.payments["p1"]
    assert (first.shown_status, first.status) == ("processing", "cancelled")
    outcome = settle(batch, attempt, Charged(reference="ch_1"))
    assert (attempt.status, outcome.http_status) == ("succeeded", 201)
    assert (first.status, first.shown_status, first.paid.total) == ("cancelled", "cancelled", amount or 1045)
    told = data(batch.events[0])
    assert (told["payment_status"], told["amount_due"], told["amount_paid"]) == (
        "cancelled",
        0,
        amount or 1045,
    )
    assert sum(told["allocation"].values()) == attempt.amount
    view = shown(outcome)["payment"]
    assert (view["status"], view["amount_due"], view["amount_paid"]) == ("cancelled", 0, amount or 1045)


@pytest.mark.parametrize(
    ("result", "status"),
    [(Declined(code="lost_card", reference="ch_2"), "declined"), (NotReached(reason="refused"), "failed")],
)
@pytest.mark.parametrize("payoff", [False, True])
def test_no_money(payoff: bool, result: ChargeResult, status: str) -> None:
    """A decline is a decline: nothing is in flight any longer, and the instalments stay cancelled."""
    batch, attempt = in_flight(payoff=payoff)
    settle(batch, attempt, result)
    assert attempt.status == status
    assert batch.accounts[LEASE].payoff_in_flight is None
    assert {each.shown_status for each in batch.payments.values()} == {"cancelled"}
    with pytest.raises(Refused, match="charged off"):
        start(batch.accounts[LEASE], batch.payments["p1"])


def test_nobody_knows() -> None:
    """It stays in flight until the gateway has been asked, and then counts."""
    batch, attempt = in_flight()
    settle(batch, attempt, NoAnswer(reason="timeout"))
    assert batch.payments["p1"].shown_status == "processing"
    settle(batch, attempt, Charged(reference="ch_1"))
    assert [event.type for event in batch.events] == [
        "payment.unknown",
        "payment.resolved",
        "payment.succeeded",
    ]
    assert batch.payments["p1"].shown_status == "cancelled"


def test_a_payoff_succeeds() -> None:
    """Its money is told of, but it settles no instalment and saves no interest: nothing was owed."""
    batch, attempt = in_flight(payoff=True)
    outcome = settle(batch, attempt, Charged(reference="ch_1"))
    told = data(batch.events[0])
    assert (batch.events[0].type, told["amount"], told["interest_saved"], told["instalments"]) == (
        "payoff.succeeded",
        2055,
        0,
        [],
    )
    assert sum(told["allocation"].values()) == 2055
    assert {(each.status, each.paid.total) for each in batch.payments.values()} == {("cancelled", 0)}
    assert (outcome.http_status, shown(outcome)["status"]) == (201, "succeeded")
    assert batch.accounts[LEASE].payoff_in_flight is None
