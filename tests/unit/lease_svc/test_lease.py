"""The lease: from its creation to the last instalment, by numbers worked out by hand."""

from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kernel.ids import payment_id
from lease_svc.application import representations
from lease_svc.contracts.commands import CreateLease
from lease_svc.contracts.consumed_events import (
    Autopay,
    ChangedInstalment,
    LateFeeAssessed,
    MoneyTakenBack,
    PaymentSucceeded,
    PayoffSucceeded,
    SettledInstalment,
    Waived,
)
from lease_svc.contracts.events import Contract, Instalment, LeaseCreated
from lease_svc.contracts.values import Allocation
from lease_svc.domain import instalments, lease_factory
from lease_svc.domain.lease import Lease
from lease_svc.domain.schedule import ScheduleError
from lease_svc.entrypoints.http.requests import NewLease, rules

LEASE = "01890a5d-ac96-774b-8bce-b302099a8057"
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
LATER = datetime(2027, 1, 1, 8, 0, tzinfo=UTC)

TERMS: dict[str, Any] = {
    "customer_id": "cus-42",
    "currency": "USD",
    "principal": 120000,
    "annual_rate": "0.1200",
    "term": 12,
    "frequency": "monthly",
    "start_date": "2026-12-01",
    "fees": [{"code": "origination", "amount": 2500}],
    "metadata": {"store": "17"},
}


def terms(**changes: Any) -> NewLease:
    return msgspec.convert(TERMS | changes, NewLease)


def create(**changes: Any) -> Lease:
    return lease_factory.create(CreateLease(lease_id=LEASE, terms=terms(**changes)), NOW)[0]


def parts(principal: int, interest: int = 0, fees: int = 0, late_fees: int = 0) -> Allocation:
    return Allocation(principal=principal, interest=interest, fees=fees, late_fees=late_fees)


def payment(number: int, amount: int, allocation: Allocation | None = None) -> PaymentSucceeded:
    allocation = allocation or parts(amount)
    return PaymentSucceeded(attempt_id="a", number=number, amount=amount, allocation=allocation)


def paid_off_early(amount: int, interest_saved: int) -> PayoffSucceeded:
    """On the first day of the second period: instalment 1 was paid, all others are cancelled."""
    return PayoffSucceeded(
        attempt_id="b",
        amount=amount,
        allocation=parts(amount),
        interest_saved=interest_saved,
        instalments=[
            SettledInstalment(number=number, status="cancelled", amount_paid=0) for number in range(2, 13)
        ],
    )


def taken_back(amount: int, *changed: ChangedInstalment) -> MoneyTakenBack:
    return MoneyTakenBack(attempt_id="r", amount=amount, allocation=parts(amount), instalments=list(changed))


def changed(number: int, amount: int, amount_paid: int) -> ChangedInstalment:
    return ChangedInstalment(
        number=number,
        status="scheduled",
        amount=amount,
        amount_paid=amount_paid,
        amount_due=amount - amount_paid,
    )


def amounts(lease: Lease) -> list[int]:
    return [row.amount for row in msgspec.json.decode(lease.schedule, type=list[Instalment])]


def test_a_new_lease() -> None:
    """The contract's own example: 1,200.00 at 12 % over twelve months with a fee of 25.00."""
    lease, change = lease_factory.create(CreateLease(lease_id=LEASE, terms=terms()), NOW)
    contract = msgspec.json.decode(lease.contract, type=Contract)
    assert (contract.instalment, contract.total_interest, contract.total_fees) == (10662, 7942, 2500)
    assert contract.total_payable == lease.balance == 130442 == sum(amounts(lease))
    assert (contract.first_due_date, contract.maturity_date) == (date(2027, 1, 1), date(2027, 12, 1))
    assert (lease.status, lease.version, lease.amount_paid, lease.payments_made) == ("active", 1, 0, 0)
    assert lease.next_due_date == date(2027, 1, 1)
    assert (lease.event_sequence, lease.payment_sequence) == (0, 0)  # nothing is published yet
    assert (change.type, change.version, change.status_before, change.status_after) == (
        "lease.created",
        1,
        None,
        "active",
    )
    rows = msgspec.json.decode(lease.schedule, type=list[Instalment])
    assert [row.payment_id for row in rows] == [payment_id(LEASE, number) for number in range(1, 13)]
    assert msgspec.to_builtins(rows[0]) | {"payment_id": ""} == {
        "number": 1,
        "payment_id": "",
        "due_date": "2027-01-01",
        "amount": 13162,
        "principal": 9462,
        "interest": 1200,
        "fees": 2500,
        "principal_balance": 110538,
    }


def test_paying_it_down() -> None:
    """Instalment by instalment: balance, next due date, history; the last one pays it off."""
    lease = create()
    left = 130442
    for number, amount in enumerate(amounts(lease), 1):
        before = lease.version
        changes = lease.pay(payment(number, amount), b'{"x":1}', LATER)
        left -= amount
        assert (lease.balance, lease.amount_paid, lease.payments_made) == (left, 130442 - left, number)
        assert [change.version for change in changes] == list(range(before + 1, lease.version + 1))
        assert (changes[0].type, changes[0].data, changes[0].balance) == (
            "payment.succeeded",
            b'{"x":1}',
            left,
        )
        if number < 12:
            assert len(changes) == 1
            assert lease.next_due_date == date(2027, number + 1, 1)
    assert (lease.status, lease.next_due_date, lease.balance, lease.version) == ("paid_off", None, 0, 14)
    assert [(change.type, change.status_before, change.status_after) for change in changes] == [
        ("payment.succeeded", "active", "active"),
        ("lease.paid_off", "active", "paid_off"),
    ]
    event = lease.paid_off("a", "payment.succeeded")
    assert (event.amount_paid, event.currency, event.cause, event.attempt_id) == (
        130442,
        "USD",
        "payment",
        "a",
    )
    assert (lease.created_at, lease.updated_at) == (NOW, LATER)


def test_paying_in_parts_and_out_of_order() -> None:
    """A partial payment pays no instalment; the next due one is the first that is not paid in full."""
    lease = create()
    lease.pay(payment(2, amounts(lease)[1]), b"{}", LATER)
    assert (lease.payments_made, lease.next_due_date) == (1, date(2027, 1, 1))
    lease.pay(payment(1, 1), b"{}", LATER)
    assert (lease.payments_made, lease.next_due_date) == (1, date(2027, 1, 1))
    lease.pay(payment(1, 13161), b"{}", LATER)
    assert (lease.payments_made, lease.next_due_date) == (2, date(2027, 3, 1))
    assert lease.paid[:3] == [13162, 10662, 0]


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 20_000)), max_size=40))
def test_the_balance_is_what_is_not_paid(tries: list[tuple[int, int]]) -> None:
    """After any payments that fit: balance = sum of (amount - paid), and nothing is lost or made."""
    lease = create()
    due = amounts(lease)
    for number, amount in tries:
        fits = min(amount, due[number - 1] - lease.paid[number - 1])
        if fits:
            lease.pay(payment(number, fits), b"{}", LATER)
    assert lease.balance == sum(due) - sum(lease.paid)
    assert lease.amount_paid == sum(lease.paid)
    assert lease.payments_made == sum(1 for row, paid in zip(due, lease.paid, strict=True) if row == paid)
    assert (lease.status == "paid_off") == (lease.balance == 0)


def test_paying_it_off_early() -> None:
    """All at once: the interest that is saved is owed no longer, and the lease is paid off."""
    lease = create()
    lease.pay(payment(1, 13162), b"{}", LATER)
    payoff = paid_off_early(amount=110538, interest_saved=117280 - 110538)
    changes = lease.pay_off(payoff, b'{"y":2}', LATER)
    assert (lease.balance, lease.status, lease.next_due_date) == (0, "paid_off", None)
    assert lease.amount_paid == 13162 + 110538
    assert [change.type for change in changes] == ["payoff.succeeded", "lease.paid_off"]
    event = lease.paid_off("b", "payoff.succeeded")
    assert (event.cause, event.amount_paid) == ("payoff", 13162 + 110538)


def test_a_payoff_that_waives_a_late_fee() -> None:
    """The instalment asks for it no longer, and nothing is left; given back whole, it is owed again."""
    lease = create()
    fee = LateFeeAssessed(number=1, amount=1500)
    lease.assess_late_fee(fee, b"{}", LATER)
    payoff = PayoffSucceeded(
        attempt_id="b",
        amount=122500,
        allocation=parts(120000, fees=2500),
        interest_saved=7942,
        waived=Waived(late_fees=1500),
        instalments=[
            SettledInstalment(
                number=number,
                status="paid" if number == 1 else "cancelled",
                amount_paid=13162 if number == 1 else 0,
                late_fees_waived=1500 if number == 1 else 0,
            )
            for number in range(1, 13)
        ],
    )
    lease.pay_off(payoff, b"{}", LATER)
    assert (lease.status, lease.balance, lease.left) == ("paid_off", 0, parts(0))
    assert instalments.now(lease.schedule, lease.amended)[0].amount == 13162
    again = [changed(1, 14662, 0), *(changed(n, amounts(lease)[n - 1], 0) for n in range(2, 13))]
    taken = MoneyTakenBack(
        attempt_id="r",
        amount=122500,
        allocation=payoff.allocation,
        instalments=again,
        late_fees_owed_again=1500,
    )
    lease.take_back("payment.refunded", taken, b"{}", LATER)
    assert (lease.status, lease.balance, lease.left.late_fees) == ("active", 130442 + 1500, 1500)
    assert lease.left.interest == 7942


def test_a_payoff_below_zero() -> None:
    """What goes back to the customer was no part of the balance: the lease is paid off and stays so."""
    lease = create(fees=[])
    for row in msgspec.json.decode(lease.schedule, type=list[Instalment]):
        left = 1 if row.number == 1 else 0
        money = parts(row.principal - left, row.interest)
        lease.pay(payment(row.number, row.amount - left, money), b"{}", LATER)
    assert (lease.status, lease.balance, lease.left) == ("active", 1, parts(1))
    payoff = PayoffSucceeded(
        attempt_id="b",
        amount=0,
        allocation=parts(1, interest=-1),
        interest_saved=7942,
        refund_due=7941,
        instalments=[SettledInstalment(number=1, status="cancelled", amount_paid=10661)],
    )
    lease.pay_off(payoff, b"{}", LATER)
    assert (lease.status, lease.balance) == ("paid_off", 0)
    due = MoneyTakenBack(attempt_id="r", amount=7941, allocation=parts(0, interest=7941), instalments=[])
    changes, reopened = lease.take_back("payment.refunded", due, b"{}", LATER)
    assert (len(changes), reopened, lease.status, lease.balance) == (1, False, "paid_off", 0)
    assert lease.amount_paid == 120_000


def test_money_given_back_reopens_it() -> None:
    """An instalment that was paid is owed again, next of all; paid once more, the lease is paid off again."""
    lease = create()
    for number, amount in enumerate(amounts(lease), 1):
        lease.pay(payment(number, amount), b"{}", LATER)
    assert (lease.status, lease.payments_made) == ("paid_off", 12)
    back = taken_back(700, changed(3, 10662, 9962))
    changes, reopened = lease.take_back("payment.refunded", back, b'{"z":3}', LATER)
    assert reopened
    assert [(each.type, each.status_after, each.balance) for each in changes] == [
        ("payment.refunded", "paid_off", 700),
        ("lease.reopened", "active", 700),
    ]
    assert (lease.status, lease.balance, lease.amount_paid) == ("active", 700, 130442 - 700)
    assert (lease.next_due_date, lease.payments_made, lease.amended) == (date(2027, 3, 1), 11, None)
    event = lease.reopened("r", "payment.refunded")
    assert (event.balance, event.cause, event.currency) == (700, "refund", "USD")
    assert lease.reopened("r", "payment.charged_back").cause == "chargeback"
    lease.pay(payment(3, 700), b"{}", LATER)
    assert (lease.status, lease.balance, lease.payments_made) == ("paid_off", 0, 12)


def test_an_early_payoff_given_back() -> None:
    """In part: the last instalment asks for less than the schedule; whole: all is as it was before."""
    lease = create()
    lease.pay(payment(1, 13162), b"{}", LATER)
    before = (lease.balance, lease.next_due_date, lease.payments_made, lease.amended, list(lease.paid))
    lease.pay_off(paid_off_early(110538, 117280 - 110538), b"{}", LATER)
    assert (lease.payments_made, lease.next_due_date) == (1, None)
    _, reopened = lease.take_back(
        "payment.refunded", taken_back(500, changed(12, 10500, 10000)), b"{}", LATER
    )
    assert (reopened, lease.status, lease.balance) == (True, "active", 500)
    assert (lease.next_due_date, lease.payments_made) == (date(2027, 12, 1), 1)
    all_of_them = [changed(number, amounts(lease)[number - 1], 0) for number in range(2, 13)]
    _, reopened = lease.take_back("payment.charged_back", taken_back(110038, *all_of_them), b"{}", LATER)
    assert not reopened
    assert (
        lease.balance, lease.next_due_date, lease.payments_made, lease.amended, list(lease.paid)
    ) == before  # fmt: skip
    assert (lease.status, lease.amount_paid) == ("active", 13162)


def test_as_json() -> None:
    """The view is the summary with the schedule; the event is the contract with the schedule."""
    lease = create(payment_method="pm_card_ok", autopay=True, late_fee={"grace_days": 5, "amount": 1500})
    view = msgspec.json.decode(representations.view(lease), type=representations.LeaseView)
    summary = msgspec.json.decode(representations.summary(lease), type=representations.LeaseSummary)
    assert (view.lease_id, view.balance, len(view.schedule)) == (LEASE, 130442, 12)
    assert (summary.metadata, summary.created_at) == ({"store": "17"}, NOW)
    assert b"2026-11-23T08:00:00.000000Z" in representations.summary(lease)
    event = msgspec.json.decode(representations.created_data(lease), type=LeaseCreated)
    assert (event.lease_id, event.autopay, event.schedule) == (LEASE, True, view.schedule)


def test_autopay_as_it_is_now() -> None:
    """Method, stop and version change; the contract, and what was published of it, stay what was agreed."""
    lease = create(payment_method="pm_card_ok", autopay=True)
    agreed, shown = lease.contract, msgspec.json.decode(representations.view(lease))
    assert shown["autopay_stopped"] is None
    stop = {"reason": "hard_decline", "since": "2026-12-01T08:00:00.000000Z", "attempt_id": "a1"}
    for now in (
        {"autopay": True, "payment_method": "pm_card_ok", "autopay_stopped": stop},
        {"autopay": False, "payment_method": "pm_new", "autopay_stopped": None},
    ):
        changed = msgspec.convert(now, Autopay)
        [change] = lease.change_autopay(changed, b"{}", LATER)
        view = msgspec.json.decode(representations.view(lease))
        times = {"version": lease.version, "updated_at": view["updated_at"]}
        assert view == shown | now | times
        assert (change.type, change.version, change.balance) == (
            "lease.autopay_changed", lease.version, lease.balance
        )  # fmt: skip
    assert (lease.version, lease.contract) == (3, agreed)


def test_terms_that_make_no_schedule() -> None:
    """What only the schedule can know: the worker's 422."""
    with pytest.raises(ScheduleError) as caught:
        create(principal=5, term=12, annual_rate="0", fees=[])
    assert [each.field for each in caught.value.violations] == ["term"]


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({}, set()),
        ({"currency": "XXX"}, {"/currency"}),
        ({"currency": "XAU"}, {"/currency"}),
        ({"annual_rate": "10"}, set()),
        ({"annual_rate": "10.00000001"}, {"/annual_rate"}),
        ({"annual_rate": "99"}, {"/annual_rate"}),
        ({"autopay": True}, {"/payment_method"}),
        ({"autopay": True, "payment_method": "pm"}, set()),
        ({"start_date": "1899-12-31"}, {"/start_date"}),
        ({"start_date": "9999-12-31"}, {"/start_date"}),
        ({"start_date": "2199-12-31"}, {"/start_date"}),
        ({"first_due_date": "2026-12-01"}, {"/first_due_date"}),
        ({"first_due_date": "2027-03-12"}, {"/first_due_date"}),
        ({"first_due_date": "2027-03-11"}, set()),
        ({"first_due_date": "9999-12-31"}, {"/first_due_date"}),
        ({"currency": "XXX", "annual_rate": "11", "autopay": True, "start_date": "1800-01-01"},
         {"/currency", "/annual_rate", "/payment_method", "/start_date"}),
    ],
)  # fmt: skip
def test_rules(changes: dict[str, Any], pointers: set[str]) -> None:
    """What the types cannot say is said all at once."""
    found = rules(msgspec.structs.asdict(terms(**changes)))
    assert {error.pointer for error in found} == pointers


def test_rules_of_some_fields() -> None:
    """Fields whose types are wrong are left out: the rules of the others still speak."""
    right = msgspec.structs.asdict(terms(currency="XXX", annual_rate="11"))
    for name in list(right):
        some = {key: value for key, value in right.items() if key != name}
        assert {error.pointer for error in rules(some)} == {"/currency", "/annual_rate"} - {f"/{name}"}
    assert rules({}) == []


def late_fee(number: int, amount: int) -> LateFeeAssessed:
    return LateFeeAssessed(number=number, amount=amount)


def test_a_late_fee_is_owed_beside_the_schedule() -> None:
    """The balance grows, the instalment is paid only with the fee; schedule and total stay as agreed."""
    lease = create(fees=[])
    agreed, before = lease.schedule, lease.balance
    first, second, *_ = amounts(lease)
    (change,) = lease.assess_late_fee(late_fee(1, 1500), b"{}", LATER)
    assert (change.type, change.balance, change.status_after) == (
        "lease.late_fee_assessed",
        before + 1500,
        "active",
    )
    lease.pay(payment(1, first), b"{}", LATER)
    assert (lease.payments_made, lease.next_due_date) == (0, date(2027, 1, 1))
    lease.pay(payment(1, 1500), b"{}", LATER)
    assert (lease.payments_made, lease.next_due_date) == (1, date(2027, 2, 1))
    lease.pay(payment(2, second), b"{}", LATER)
    lease.assess_late_fee(late_fee(3, 1), b"{}", LATER)
    asked = [each.amount for each in instalments.now(lease.schedule, lease.amended)]
    fees = [after - before for after, before in zip(asked, amounts(lease), strict=True)]
    assert fees == [1500, 0, 1, *[0] * 9]
    assert lease.balance == sum(amounts(lease)) + 1501 - lease.amount_paid
    assert lease.schedule == agreed


@pytest.mark.parametrize("status", ["cancelled", "charged_off"])
def test_a_late_fee_on_a_closed_lease_is_not_owed(status: str) -> None:
    """The payment service had not learned that it was closed: it shows in the history and moves nothing."""
    lease = create(fees=[])
    lease.status, lease.balance = status, 0  # type: ignore[assignment]
    (change,) = lease.assess_late_fee(late_fee(1, 1500), b"{}", LATER)
    assert (change.type, change.balance, change.status_after) == ("lease.late_fee_assessed", 0, status)
    assert lease.turn("lease.delinquent", "active", "delinquent", b"{}", LATER) == []
    assert (lease.status, lease.balance) == (status, 0)


def test_a_late_fee_that_was_paid_and_given_back() -> None:
    """The instalment asks for its late fee again, and the lease that it had paid off is active."""
    lease = create(term=1, fees=[])
    lease.assess_late_fee(late_fee(1, 1500), b"{}", LATER)
    owed = lease.balance
    lease.pay(payment(1, owed), b"{}", LATER)
    assert (lease.status, lease.balance) == ("paid_off", 0)
    back = taken_back(2000, changed(1, owed, owed - 2000))
    changes, reopened = lease.take_back("payment.refunded", back, b"{}", LATER)
    assert reopened
    assert [(each.type, each.status_after) for each in changes][-1] == ("lease.reopened", "active")
    assert (lease.status, lease.balance, lease.amount_paid) == ("active", 2000, owed - 2000)
    lease.pay(payment(1, 2000), b"{}", LATER)
    assert (lease.status, lease.balance, lease.payments_made) == ("paid_off", 0, 1)


def test_delinquent_and_cured() -> None:
    """Both change an ordinary lease only: one that is paid off stays so, without a line in its history."""
    lease = create(term=1, fees=[])
    assert lease.turn("lease.cured", "delinquent", "active", b"{}", LATER) == []
    (change,) = lease.turn("lease.delinquent", "active", "delinquent", b"{}", LATER)
    assert (change.status_before, change.status_after, lease.status) == ("active", "delinquent", "delinquent")
    assert [each.status_after for each in lease.pay(payment(1, lease.balance), b"{}", LATER)] == [
        "delinquent",
        "paid_off",
    ]
    assert lease.turn("lease.cured", "delinquent", "active", b"{}", LATER) == []
    assert lease.status == "paid_off"
