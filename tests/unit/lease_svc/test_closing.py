"""Closing a lease before it is paid: when it may be, and what is left of it."""

import json
from typing import Any, get_args

import msgspec
import pytest

from common.messaging.envelope import Command
from lease_svc.application import rejections
from lease_svc.contracts.commands import CancelLease, ChargeOffLease
from lease_svc.contracts.consumed_events import (
    ChangedInstalment,
    LateFeeAssessed,
    MoneyTakenBack,
    PayoffSucceeded,
)
from lease_svc.contracts.values import Status
from lease_svc.domain import closing
from lease_svc.domain.lease import Lease
from tests.unit.lease_svc.test_lease import LATER, LEASE, amounts, create, parts, payment

WHY = "returned unused"


def close(lease: Lease, how: str, *, collected: bool = False) -> tuple[Any, Any]:
    if how == "cancelled":
        return closing.cancel(lease, CancelLease(lease_id=LEASE, reason=WHY), LATER, collected=collected)
    return closing.charge_off(lease, ChargeOffLease(lease_id=LEASE, reason=WHY), LATER)


def answered(refused: closing.Refused, lease: Lease) -> tuple[int, str, str]:
    command = Command(command_id=LEASE, type="CancelLease", submitted_at=LATER, data=msgspec.Raw(b"{}"))
    outcome = rejections.refused(command, refused, lease)
    body = json.loads(bytes(outcome.body))
    assert body["status"] == outcome.http_status
    return outcome.http_status, body["type"], body["detail"]


def test_every_code_is_answered() -> None:
    """The table has each code of the rules, and no other than those of the commands themselves."""
    rules = set(get_args(closing.Code))
    assert set(rejections.REJECTIONS) - rules == {"unknown_lease", "no_schedule"}
    assert rules < set(rejections.REJECTIONS)


def test_cancelling() -> None:
    """Nothing is owed any longer and nothing falls due; the line of history says why."""
    lease = create()
    change, event = close(lease, "cancelled")
    assert (lease.status, lease.balance, lease.next_due_date, lease.version) == ("cancelled", 0, None, 2)
    assert (lease.amount_paid, lease.payments_made, lease.updated_at) == (0, 0, LATER)
    assert (change.type, change.status_before, change.status_after) == (
        "lease.cancelled",
        "active",
        "cancelled",
    )
    assert (change.version, change.balance) == (2, 0)
    assert json.loads(change.data)["reason"] == event.reason == WHY
    assert (event.balance, event.currency, event.payment_sequence) == (130442, "USD", 0)


def test_charging_off() -> None:
    """What was paid stays paid; what was left is the loss."""
    lease = create()
    lease.pay(payment(1, 13162), b"{}", LATER)
    lease.payment_sequence = 2
    change, event = close(lease, "charged_off")
    assert (lease.status, lease.balance, lease.next_due_date) == ("charged_off", 0, None)
    assert (lease.amount_paid, lease.payments_made) == (13162, 1)
    assert (event.amount, event.payment_sequence) == (130442 - 13162, 2)
    assert (change.type, change.version, change.balance) == ("lease.charged_off", 3, 0)


def test_the_event_says_what_the_balance_was_made_of() -> None:
    """By what was collected, given back and assessed, part by part; together it is the balance."""
    lease = create()
    assert lease.left == parts(120000, 7942, 2500)
    lease.pay(payment(1, 13162, parts(9462, 1200, 2500)), b"{}", LATER)
    late_fee = LateFeeAssessed(number=2, amount=1500)
    lease.assess_late_fee(late_fee, b"{}", LATER)
    lease.pay(payment(2, 2600, parts(0, 1100, 0, 1500)), b"{}", LATER)
    back = ChangedInstalment(number=1, status="late", amount=13162, amount_paid=3000, amount_due=10162)
    taken = MoneyTakenBack(attempt_id="r", amount=10162, allocation=parts(9462, 700), instalments=[back])
    lease.take_back("payment.refunded", taken, b"{}", LATER)
    _, event = close(lease, "charged_off")
    assert event.left == parts(120000, 7942 - 1200 - 1100 + 700, 0, 0)
    assert event.amount == 120000 + 6342 == 130442 + 1500 - 13162 - 2600 + 10162


def test_a_payoff_leaves_nothing() -> None:
    """Nor does what it saved; given back whole, all of it is left again."""
    lease = create()
    lease.pay(payment(1, 13162, parts(9462, 1200, 2500)), b"{}", LATER)
    money = parts(110538, 100)
    payoff = PayoffSucceeded(
        attempt_id="b", amount=110638, allocation=money, interest_saved=6642, instalments=[]
    )
    lease.pay_off(payoff, b"{}", LATER)
    assert lease.left == parts(0)
    lease.balance += 110638 + 6642
    taken = MoneyTakenBack(attempt_id="r", amount=110638, allocation=money, instalments=[])
    lease.take_back("payment.refunded", taken, b"{}", LATER)
    assert lease.left == parts(110538, 6742)


@pytest.mark.parametrize("how", ["cancelled", "charged_off"])
@pytest.mark.parametrize("status", ["active", "delinquent"])
def test_open_leases_can_be_closed(status: Status, how: str) -> None:
    """Delinquent or not, as long as no money was collected."""
    lease = create()
    lease.status = status
    assert close(lease, how)[0].status_before == status


@pytest.mark.parametrize("how", ["cancelled", "charged_off"])
@pytest.mark.parametrize(
    ("status", "words"),
    [("paid_off", "paid off"), ("cancelled", "cancelled"), ("charged_off", "charged off")],
)
def test_closed_leases_cannot(status: Status, words: str, how: str) -> None:
    """Refused with what the lease is, and nothing is changed; the client reads it in words."""
    lease = create()
    lease.status = status
    with pytest.raises(closing.Refused) as caught:
        close(lease, how)
    code = "not_cancellable" if how == "cancelled" else "not_chargeable_off"
    assert (caught.value.code, caught.value.status) == (code, status)
    assert (lease.version, lease.status, lease.balance) == (1, status, 130442)
    assert answered(caught.value, lease) == (
        409, "/problems/state-conflict", f"This lease is {words}; it cannot be {how.replace('_', ' ')}."
    )  # fmt: skip


def test_no_cancelling_after_money() -> None:
    """One cent collected is enough; charging off still goes."""
    lease = create()
    lease.pay(payment(1, 1), b"{}", LATER)
    with pytest.raises(closing.Refused) as caught:
        close(lease, "cancelled")
    assert caught.value.code == "money_collected"
    assert answered(caught.value, lease)[2].startswith("Money has been collected")
    assert (lease.status, lease.version) == ("active", 2)
    assert close(lease, "charged_off")[1].amount == 130441


def test_no_cancelling_after_money_that_was_given_back() -> None:
    """Nothing of it is left, but there was some: the lease has not been as if it had never been."""
    lease = create()
    assert lease.amount_paid == 0
    with pytest.raises(closing.Refused, match="money_collected"):
        close(lease, "cancelled", collected=True)
    assert (lease.status, lease.version) == ("active", 1)


@pytest.mark.parametrize("how", ["cancelled", "charged_off"])
def test_money_that_was_in_flight(how: str) -> None:
    """It is counted as paid; balance, status and next due date stay, and the lease is not paid off by it."""
    lease = create()
    close(lease, how)
    for number, amount in enumerate(amounts(lease), 1):
        [change] = lease.pay(payment(number, amount), b'{"x":1}', LATER)
        assert (change.type, change.status_before, change.status_after) == ("payment.succeeded", how, how)
        assert (change.balance, change.data, change.version) == (0, b'{"x":1}', number + 2)
    assert (lease.status, lease.balance, lease.next_due_date, lease.amount_paid) == (how, 0, None, 130442)


def test_a_payoff_that_was_in_flight() -> None:
    """The same, whether or not the payment service knew that nothing was left to be paid off."""
    for saved in (0, 6742):
        lease = create()
        close(lease, "charged_off")
        payoff = PayoffSucceeded(
            attempt_id="b", amount=123700, allocation=parts(123700), interest_saved=saved, instalments=[]
        )
        [change] = lease.pay_off(payoff, b"{}", LATER)
        assert (change.type, change.status_after, change.balance) == ("payoff.succeeded", "charged_off", 0)
        assert (lease.status, lease.balance, lease.amount_paid) == ("charged_off", 0, 123700)
