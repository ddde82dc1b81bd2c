"""Money taken back, in any order and in any parts: right to the cent, and undone completely in the end."""

from datetime import date
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lease_svc.domain import schedule
from payment_svc.domain import attempt as attempts
from payment_svc.domain import payoff as payoffs
from payment_svc.domain import refund, refund_allocation
from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import Account, Attempt, Payment
from payment_svc.domain.payoff import Payoff
from tests.support.builders.payments import LEASE, NOW, collected, payment

randoms = st.integers(0, 2**63).map(Random)
START = date(2026, 12, 1)


def parts(money: Allocation) -> tuple[int, ...]:
    return money.late_fees, money.fees, money.interest, money.principal


class Books:
    """A lease, what was collected on it and taken back, and a balance kept by other means than the code's."""

    def __init__(self, principal: int, annual_rate: str, term: int) -> None:
        self.account = Account(
            lease_id=LEASE,
            currency="USD",
            principal=principal,
            annual_rate=annual_rate,
            day_count="30/360",
            start_date=START,
        )
        terms = schedule.Terms(
            currency="USD", principal=principal, annual_rate=annual_rate, term=term, frequency="monthly",
            day_count="30/360", start_date=START, first_due_date=None, fees=2500,
        )  # fmt: skip
        self.payments = [
            payment(
                row.number,
                row.due_date,
                Allocation(fees=row.fees, interest=row.interest, principal=row.principal),
                row.principal_balance,
            )
            for row in schedule.build(terms).rows
        ]
        self.asked = [each.owed for each in self.payments]
        self.balance = sum(each.owed.total for each in self.payments)
        self.attempts: list[Attempt] = []
        self.waived: dict[str, int] = {}  # late fees, by payoff, as long as they are not owed again
        self.due = 0  # to the customer, by the last payoff
        self.given: list[refund.Given] = []  # of that
        self.kept = Allocation()  # collected and not taken back, by what it was for

    def open_ones(self) -> list[Payment]:
        return [each for each in self.payments if each.status not in ("paid", "cancelled")]

    def late_fee(self, random: Random) -> None:
        one = random.choice(self.open_ones())
        one.owed += Allocation(late_fees=1500)
        self.asked[one.number - 1] += Allocation(late_fees=1500)
        self.balance += 1500

    def pay(self, random: Random) -> None:
        one = random.choice(self.open_ones())
        amount = random.choice([one.amount_due, random.randint(1, one.amount_due)])
        self.kept += attempts.collect(one, amount)
        self.balance -= amount
        self.attempts.append(collected(f"a{len(self.attempts)}", amount, one))

    def pay_off(self, day: date) -> Payoff:
        attempt_id = f"p{len(self.attempts)}"
        attempt = attempts.start_payoff(self.account, self.payments, attempt_id, "c", "pm", day, NOW)
        attempt.status = "succeeded"
        attempts.settle_payoff(self.account, self.payments, attempt)
        assert attempt.payoff is not None
        assert self.open_ones() == []
        self.balance -= attempt.amount + attempt.payoff.interest_saved - attempt.refund_due
        assert self.balance == 0
        self.kept += attempt.payoff.allocation
        self.attempts.append(attempt)
        self.due = attempt.refund_due
        self.given = []
        return attempt.payoff

    def quoted(self, day: date, random: Random) -> Payoff:
        """Paid off for what it cost before late fees were assessed, which are waived."""
        attempt = attempts.start_payoff(self.account, self.payments, "q", "c", "pm", day, NOW)
        self.account.payoff_in_flight = None
        balance = self.balance
        for _ in range(random.randint(1, 3)):
            self.late_fee(random)
        attempt.attempt_id, attempt.status = f"p{len(self.attempts)}", "succeeded"
        attempts.settle_payoff(self.account, self.payments, attempt)
        assert attempt.payoff is not None
        assert attempt.late_fees_waived == self.balance - balance
        assert self.open_ones() == []
        self.balance = 0
        self.kept += attempt.payoff.allocation
        self.waived[attempt.attempt_id] = attempt.late_fees_waived
        self.attempts.append(attempt)
        self.due, self.given = attempt.refund_due, []
        return attempt.payoff

    def give(self, attempt: Attempt, amount: int) -> None:
        """A part of what the payoff that stands owes to the customer goes back, of this money."""
        before = [(each.owed, each.paid, each.status) for each in self.payments]
        undone = refund.give_due(attempt, amount)
        assert [(each.owed, each.paid, each.status) for each in self.payments] == before
        self.kept -= undone.allocation
        self.given.append(refund.Given(attempt, amount))

    def take_back(self, attempt: Attempt, amount: int) -> refund_allocation.Reversal:
        standing = self.account.payoff_standing
        [payoff] = [each.payoff for each in self.attempts if each.attempt_id == standing] or [None]
        due = sum(each.amount_due for each in self.payments)
        undoes = payoff is not None and payoff.of_nothing
        before = {each.number: (each.owed, each.paid, each.status, each.moved) for each in self.payments}
        undone = refund.take_back(self.account, self.payments, attempt, amount, payoff, self.given)
        changed = {
            each.number
            for each in self.payments
            if before[each.number] != (each.owed, each.paid, each.status, each.moved)
        }
        assert [each.number for each in undone.changed] == sorted(changed)
        assert undone.allocation.total == amount
        assert min(undone.allocation.late_fees, undone.allocation.fees, undone.allocation.principal) >= 0
        assert undone.allocation.interest >= 0 or attempt.kind == "payoff" or undoes
        saved = attempt.payoff.interest_saved if attempt.payoff and not attempt.left else 0
        fees = 0 if attempt.left else self.waived.pop(attempt.attempt_id, 0)
        if undoes:
            given = sum(each.amount for each in self.given)
            lapsed = self.due - given
            saved += payoff.interest_saved - self.due
            fees += self.waived.pop(standing, 0)
            self.not_owed_again(given)
            assert (undone.refund_lapsed, self.account.payoff_standing) == (lapsed, None)
        assert (undone.interest_owed_again, undone.late_fees_owed_again) == (saved, fees)
        assert sum(each.amount_due for each in self.payments) == due + amount + saved + fees
        self.balance += amount + saved + fees
        self.kept -= undone.allocation
        return undone

    def not_owed_again(self, given: int) -> None:
        """What was given back as unearned is interest that nobody asks for any longer."""
        left = sum(self.asked, Allocation()) - Allocation(interest=given)
        self.asked = [
            msgspec.structs.replace(asked, interest=each.owed.interest)
            for asked, each in zip(self.asked, self.payments, strict=True)
        ]
        assert sum(self.asked, Allocation()) == left

    def check(self) -> None:
        """No part of an instalment is negative or paid beyond what is owed; the balance is what is due."""
        for one in self.payments:
            assert all(0 <= paid <= owed for paid, owed in zip(parts(one.paid), parts(one.owed), strict=True))
            assert (one.status == "paid") == (one.paid == one.owed and one.status != "cancelled")
        assert sum(each.amount_due for each in self.payments) == self.balance
        assert self.kept.total == sum(each.left for each in self.attempts)
        asked, open_ones = sum(self.asked, Allocation()), self.open_ones()
        asked -= Allocation(late_fees=sum(self.waived.values()))
        left = sum((each.owed - each.paid for each in open_ones), Allocation())
        for part in ("principal", "fees", "late_fees"):  # what events tell of is what receivables are made of
            assert getattr(asked, part) - getattr(self.kept, part) == getattr(left, part), part

    def refundable(self) -> list[Attempt]:
        return [each for each in self.attempts if each.left]


def books(random: Random) -> Books:
    return Books(random.randint(2000, 300_000), random.choice(["0", "0.12", "1.5"]), random.randint(1, 8))


def step(its: Books, random: Random) -> None:
    standing = [each for each in its.attempts if each.attempt_id == its.account.payoff_standing]
    left = its.due - sum(each.amount for each in its.given) if standing and standing[0].refund_due else 0
    if left and its.refundable() and random.random() < 0.5:
        attempt = random.choice(its.refundable())
        its.give(attempt, random.randint(1, min(left, attempt.left)))
    elif its.refundable() and random.random() < 0.45:
        attempt = random.choice(its.refundable())
        its.take_back(attempt, random.choice([attempt.left, random.randint(1, attempt.left)]))
    elif its.open_ones() and random.random() < 0.75:
        its.pay(random)
    elif its.open_ones() and random.random() < 0.2:
        its.late_fee(random)
    elif its.open_ones():
        day = date(2026 + random.randint(0, 1), 12, random.randint(1, 28))
        if random.random() < 0.3:
            its.quoted(day, random)
        else:
            its.pay_off(day)


@settings(max_examples=400)
@given(randoms)
def test_any_life_adds_up_to_the_cent(random: Random) -> None:
    """Payments, payoffs, late fees and takings back in any order; once all is taken back, all is owed again.

    By what the money was for as well: what was undone is, part by part, what had been collected.
    """
    its = books(random)
    for _ in range(random.randint(1, 25)):
        step(its, random)
        its.check()
    while its.refundable():
        attempt = random.choice(its.refundable())
        its.take_back(attempt, random.randint(1, attempt.left))
        its.check()
    assert its.kept.total == 0
    assert its.account.payoff_standing is None
    assert its.waived == {}
    assert [each.owed for each in its.payments] == its.asked
    assert {(each.paid, each.status) for each in its.payments} == {(Allocation(), "scheduled")}
    assert its.kept == Allocation()


@given(randoms)
def test_parts_undo_what_the_whole_does(random: Random) -> None:
    """A payoff taken back in parts leaves exactly what taking it back at once does: all as it was before."""
    its = books(random)
    for _ in range(random.randint(0, 6)):
        if its.open_ones():
            its.pay(random)
    if not its.open_ones():
        return
    before = [(each.owed, each.paid, each.status) for each in its.payments]
    payoff = its.pay_off(date(2026 + random.randint(0, 1), 12, random.randint(1, 28)))
    attempt = its.attempts[-1]
    undone = Allocation()
    while attempt.left:
        undone += its.take_back(attempt, random.randint(1, attempt.left)).allocation
        its.check()
        if attempt.left:  # exactly what was taken back is open, and paying it costs no more
            assert (
                sum(each.amount_due for each in its.payments)
                - (
                    sum(owed.total - paid.total for owed, paid, _ in before)
                    - payoff.amount
                    - payoff.interest_saved
                )
                == attempt.refunded
            )
    if payoff.amount:
        assert [(each.owed, each.paid, each.status) for each in its.payments] == before
        assert undone == payoff.allocation
        assert its.account.payoff_standing is None


def paid_ahead(its: Books, left: int) -> None:
    """All instalments are paid on the first day, the last one first; of the first one so much is left."""
    for one in reversed(its.payments):
        amount = one.amount_due - (left if one.number == 1 else 0)
        if amount:
            its.kept += attempts.collect(one, amount)
            its.balance -= amount
            its.attempts.append(collected(f"a{one.number}", amount, one))


@settings(max_examples=200)
@given(randoms)
def test_a_payoff_of_nothing_stands_until_money_is_taken_back(random: Random) -> None:
    """What it owes goes back in any parts of any money; then a cent is taken back, and it has never been.

    The lease asks for what the schedule says but for that interest, and as much money is on it as is here.
    """
    its = Books(random.randint(2000, 300_000), random.choice(["0.12", "1.5"]), random.randint(2, 8))
    paid_ahead(its, random.randint(1, 3000))
    if not its.open_ones() or its.pay_off(START).amount:
        return
    for _ in range(random.randint(0, 4)):
        left = its.due - sum(each.amount for each in its.given)
        if left:
            attempt = random.choice(its.refundable())
            its.give(attempt, random.randint(1, min(left, attempt.left)))
            its.check()
    attempt = random.choice(its.refundable())
    its.take_back(attempt, random.randint(1, attempt.left))
    its.check()
    assert [each.owed for each in its.payments] == its.asked
    money = {each.number: each.left for each in its.attempts}
    assert [each.paid.total for each in its.payments] == [
        money.get(each.number, 0) + each.moved for each in its.payments
    ]
    assert sum(each.moved for each in its.payments) == 0


@pytest.mark.parametrize(
    ("given", "interest", "moved"),
    [
        ({}, [2000, 1010], [0, 0]),
        ({1: 1000}, [1000, 1010], [0, 0]),
        ({0: 3009}, [1, 0], [-1999, 1999]),  # of number 2: more than its interest
        ({1: 3009}, [0, 1], [1009, -1009]),
        ({0: 500, 1: 2509}, [0, 1], [509, -509]),
    ],
)
def test_undoing_a_payoff_of_nothing_by_hand(
    given: dict[int, int], interest: list[int], moved: list[int]
) -> None:
    """100,000 at 24 % in two: number 2 is paid, number 1 but for a cent; 3009 are due back. 100 are taken.

    Had the payoff never been, 101 would be owed: that cent and the 100. So it is, whatever was given back of
    the 3009: that stays with the customer and is not owed again. What was not is due back no longer.
    """
    its = Books(100_000, "0.24", 2)
    its.payments[0].owed -= Allocation(fees=2500)
    its.asked[0], its.balance = its.payments[0].owed, its.balance - 2500
    paid_ahead(its, 1)
    assert its.pay_off(START).refund_due == 3009
    for place, amount in given.items():
        its.give(its.attempts[place], amount)
    undone = its.take_back(its.attempts[0], 100)
    its.check()
    assert its.balance == 101
    assert (undone.refund_lapsed, undone.interest_owed_again) == (3009 - sum(given.values()), 1)
    assert undone.allocation == Allocation(principal=101, interest=-1)
    assert {each.status for each in its.payments} == {"scheduled"}
    assert [each.owed.interest for each in its.payments] == interest
    assert [each.paid.interest for each in its.payments] == interest
    assert [each.moved for each in its.payments] == moved
    assert sum(each.paid.total for each in its.payments) == sum(each.left for each in its.attempts)
    for attempt in its.attempts[:2]:  # and all the rest can be taken back, wherever it is
        its.take_back(attempt, attempt.left)
        its.check()
    assert [each.paid.total for each in its.payments] == [each.moved for each in its.payments] == [0, 0]


def test_principal_first() -> None:
    """The order of allocation, the other way round; and no more than there is."""
    credit = Allocation(interest=-30, principal=100)
    assert refund_allocation.principal_first(credit, 69) == Allocation(principal=69)
    assert refund_allocation.principal_first(credit, 70) == credit
    paid = Allocation(late_fees=15, fees=25, interest=20, principal=100)
    assert refund_allocation.principal_first(paid, 100) == Allocation(principal=100)
    assert refund_allocation.principal_first(paid, 119) == Allocation(principal=100, interest=19)
    assert refund_allocation.principal_first(paid, 150) == Allocation(
        principal=100, interest=20, fees=25, late_fees=5
    )
    assert refund_allocation.principal_first(paid, 160) == paid
    for amount in (-1, 161):
        with pytest.raises(ValueError, match="0 to 160"):
            refund_allocation.principal_first(paid, amount)


def test_a_payoff_by_hand() -> None:
    """Two instalments of 1,020 and 1,010, paid off on the first day: 30 of interest are saved.

    The first 900 come back on the second instalment; it asks for its principal only. The next 200 take the
    last 100 of it and 100 of the first. The rest brings both back as they were, interest included.
    """
    its = Books(2000, "0", 2)
    one, two = its.payments
    one.owed, two.owed = Allocation(interest=20, principal=1000), Allocation(interest=10, principal=1000)
    its.asked, its.balance = [one.owed, two.owed], 2030
    assert its.pay_off(START).interest_saved == 30
    [attempt] = its.attempts

    def now() -> list[tuple[str, int, int]]:
        return [(each.status, each.owed.total, each.paid.total) for each in its.payments]

    its.take_back(attempt, 900)
    assert now() == [("cancelled", 1020, 0), ("scheduled", 1000, 100)]
    its.take_back(attempt, 200)
    assert now() == [("scheduled", 1000, 900), ("scheduled", 1000, 0)]
    assert its.take_back(attempt, 900).interest_owed_again == 30
    assert now() == [("scheduled", 1020, 0), ("scheduled", 1010, 0)]


def test_an_earlier_payment_of_an_instalment_that_a_payoff_cancelled() -> None:
    """It is owed again, and neither more nor less; the payoff can be taken back all the same."""
    its = Books(2000, "0", 2)
    its.kept += attempts.collect(its.payments[1], 300)
    its.attempts.append(collected("a0", 300, its.payments[1]))
    its.balance -= 300
    its.pay_off(START)
    assert its.payments[1].status == "cancelled"
    its.take_back(its.attempts[0], 300)
    assert (its.payments[1].status, its.payments[1].amount_due, its.payments[0].status) == (
        "scheduled", 300, "cancelled",
    )  # fmt: skip
    its.take_back(its.attempts[1], its.attempts[1].left)
    assert [each.amount_due for each in its.payments] == [3500, 1000]


def test_paying_again_what_was_taken_back_of_a_payoff() -> None:
    """A second payoff costs what is open: interest is neither charged nor credited twice."""
    its = Books(120_000, "0.12", 12)
    its.kept += attempts.collect(its.payments[8], its.payments[8].amount_due)  # paid ahead, with its interest
    its.attempts.append(collected("a0", its.payments[8].paid.total, its.payments[8]))
    its.balance -= its.payments[8].paid.total
    first = its.pay_off(date(2027, 2, 16))
    assert first.breakdown.credits == its.payments[8].paid.interest > 0
    its.take_back(its.attempts[1], 5)
    again = its.pay_off(date(2027, 5, 20))
    assert (again.amount, again.interest_saved, again.formula) == (5, 0, payoffs.REST)
    assert its.account.payoff_standing == its.attempts[1].attempt_id
    its.take_back(its.attempts[1], its.attempts[1].left)
    assert its.account.payoff_standing is None
    its.check()


def test_credits_of_a_payoff_after_an_earlier_payment_was_taken_back() -> None:
    """What a due instalment owed its credit to is gone by then: other parts come back, and so it is told."""
    its = Books(5000, "5", 2)
    for number, amount in ((0, 2053), (1, 3451)):
        its.kept += attempts.collect(its.payments[number], amount)
        its.attempts.append(collected(f"a{number}", amount, its.payments[number]))
        its.balance -= amount
    assert its.pay_off(date(2027, 1, 15)).breakdown.credits > 0
    its.take_back(its.attempts[0], 2053)
    its.take_back(its.attempts[2], its.attempts[2].left)
    its.check()


def test_a_credit_beyond_interest_undone_after_another_refund() -> None:
    """The credit had paid principal and a fee; an earlier refund took other parts, and the sums are right."""
    its = Books(2000, "0", 2)
    one, two = its.payments
    one.owed, two.owed = Allocation(fees=600, principal=400), Allocation(interest=500, principal=1000)
    its.asked, its.balance = [one.owed, two.owed], 2500
    for paid, amount in ((one, 100), (two, 1500)):
        its.kept += attempts.collect(paid, amount)
        its.attempts.append(collected(f"a{paid.number}", amount, paid))
        its.balance -= amount
    payoff = its.pay_off(one.due_date)
    assert (payoff.amount, payoff.breakdown.credits) == (400, 500)
    for attempt in its.attempts:
        its.take_back(attempt, attempt.left)
        its.check()
    assert its.kept == Allocation()
