"""Double entry: each event by hand, and whole lives at random: debits = credits, no receivable below zero."""

from collections.abc import Iterable
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_svc.accounting.account_balances import Books, Posting, post, postings, trial_balance
from ledger_svc.accounting.journal import Booking, book
from ledger_svc.accounting.totals import EMPTY, add
from ledger_svc.contracts import envelope
from ledger_svc.event_types import registry
from ledger_svc.event_types.basics.accounts import CHART
from ledger_svc.log.recorded_closings import Recorded
from tests.support.builders.event_mixes import causal, random_life
from tests.support.builders.events import LEASES, PAYMENTS, Life, allocation

randoms = st.randoms(use_true_random=False)


def bookings(raws: Iterable[bytes]) -> list[dict[str, int]]:
    """What each event books: debits positive."""
    recorded, found = Recorded(), []
    for event in map(envelope.decode, raws):
        booking = book(event, registry.data_of(event), recorded.of(event))
        recorded.note(event)
        found.append(booking.amounts if booking else {})
    return found


def balances(raws: Iterable[bytes]) -> dict[str, int]:
    """What all of them leave on the accounts; those without a balance are missing."""
    left: dict[str, int] = {}
    for amounts in bookings(raws):
        for account, amount in amounts.items():
            left[account] = left.get(account, 0) + amount
    return {account: amount for account, amount in left.items() if amount}


def two_instalments() -> Life:
    """100,000 in two: 2,500 of fees and 1,000 of interest with the first, 500 of interest with the second."""
    life = Life(term=2, principal=100_000)
    life.create()
    return life


def said(life: Life, last: int = 1) -> dict[str, int]:
    """What the last of its events books, or the one that many before the end."""
    return bookings(life.raws)[-last]


def test_a_lease_is_created() -> None:
    """Principal and fees are owed from now on; interest is not, before it is collected."""
    assert said(two_instalments()) == {
        "receivable:principal": 100_000,
        "receivable:fees": 2_500,
        "funding": -100_000,
        "income:fees": -2_500,
    }


def test_payments_in_part() -> None:
    """Fees first, then interest, then principal: each part goes where it belongs."""
    life = two_instalments()
    life.be_late(1, fee=700)  # two events
    assert said(life, 2) == {"receivable:fees": 700, "income:late_fees": -700}
    life.succeed(life.start(1, 3_000))
    assert said(life) == {"cash": 3_000, "receivable:fees": -3_000}
    life.succeed(life.start(1, 700))
    assert said(life) == {"cash": 700, "receivable:fees": -200, "income:interest": -500}
    life.succeed(life.start(1, 600))
    assert said(life) == {"cash": 600, "income:interest": -500, "receivable:principal": -100}


def test_refunds_and_chargebacks_reverse_what_was_collected() -> None:
    """By their own allocation: principal first."""
    life = two_instalments()
    paying = life.start(1)
    life.succeed(paying)
    life.refund(paying, 50_200)
    assert said(life) == {"cash": -50_200, "receivable:principal": 50_000, "income:interest": 200}
    life.refund(paying, 3_300, "chargeback")
    assert said(life) == {"cash": -3_300, "receivable:fees": 2_500, "income:interest": 800}
    assert balances(life.raws) == balances(life.raws[:1])


def test_an_early_payoff() -> None:
    """Interest that is saved is booked nowhere, for it never was; given back whole, all is as before."""
    life = two_instalments()
    life.due = 1
    life.succeed(life.start(2, 400))  # of interest, ahead of time
    before = balances(life.raws)
    payoff = life.start(None)
    life.succeed(payoff)  # and the lease is paid off
    assert payoff["amount"] == 100_000 + 2_500 + 1_000 - 400
    assert said(life, 2) == {
        "cash": 103_100,
        "receivable:fees": -2_500,
        "income:interest": -600,
        "receivable:principal": -100_000,
    }
    assert "receivable:principal" not in balances(life.raws)
    life.refund(payoff, payoff["amount"])
    assert balances(life.raws) == before


def test_a_payoff_of_nothing() -> None:
    """Interest paid ahead pays all that was left: no cash moves, income turns into principal."""
    life = two_instalments()
    payoff = life.start(1) | {"kind": "payoff", "number": None, "payment_id": None, "amount": 0}
    more = {"as_of": "2027-01-01", "interest_saved": 300, "gateway_reference": None, "instalments": []}
    life.emit(PAYMENTS, "payoff.succeeded", payoff | more | {"allocation": allocation((0, 0, -250, 250))})
    assert said(life) == {"income:interest": 250, "receivable:principal": -250}


def test_a_payoff_below_zero() -> None:
    """Interest paid ahead and not earned is no income: it pays what is open, the rest is the customer's.

    What goes back of that is no income and settles nothing. When other money is taken back, the receivables
    are there again, and what has not gone back is due no longer.
    """
    life = two_instalments()
    before = len(life.raws)
    about = life.start(2, 900)
    life.succeed(about)
    payoff = life.start(1) | {"kind": "payoff", "number": None, "payment_id": None, "amount": 0}
    more = {"as_of": "2027-01-01", "interest_saved": 850, "refund_due": 600, "gateway_reference": None}
    more |= {"instalments": [], "allocation": allocation((0, 0, -250, 250))}
    life.emit(PAYMENTS, "payoff.succeeded", payoff | more)
    assert said(life) == {
        "income:interest": 850,
        "receivable:principal": -250,
        "payable:refunds": -600,
    }
    back = about | {"kind": "refund", "amount": 400, "reason": "refund_due"}
    taken = {"instalments": [], "interest_owed_again": 0, "refund_due_of": payoff["attempt_id"]}
    life.emit(PAYMENTS, "payment.refunded", back | taken | {"allocation": allocation((0, 0, 400, 0))})
    assert said(life) == {"payable:refunds": 400, "cash": -400}
    lost = about | {"kind": "chargeback", "amount": 100, "reason": "fraudulent"}
    row = {"number": 1, "status": "scheduled", "amount": 1, "amount_paid": 0}
    taken = {"instalments": [row], "interest_owed_again": 650, "refund_lapsed": 200}
    life.emit(PAYMENTS, "payment.charged_back", lost | taken | {"allocation": allocation((0, 0, -650, 750))})
    assert said(life) == {
        "cash": -100,
        "receivable:principal": 750,
        "payable:refunds": 200,
        "income:interest": -850,
    }
    assert "payable:refunds" not in balances(life.raws[before:])


def test_a_payoff_that_waives_a_late_fee() -> None:
    """It is income no longer and is owed no longer; when all of the payoff is taken back it is, again."""
    life = two_instalments()
    life.be_late(1, fee=700)
    payoff = life.start(1) | {"kind": "payoff", "number": None, "payment_id": None, "amount": 5}
    more = {"as_of": "2027-01-01", "interest_saved": 0, "gateway_reference": "ch_1", "instalments": []}
    more |= {"allocation": allocation((0, 0, 0, 5)), "waived": {"late_fees": 700}}
    life.emit(PAYMENTS, "payoff.succeeded", payoff | more)
    assert said(life) == {
        "cash": 5,
        "receivable:principal": -5,
        "income:late_fees": 700,
        "receivable:fees": -700,
    }
    back = payoff | {"kind": "refund", "reason": "broken", "allocation": allocation((0, 0, 0, 5))}
    row = {"number": 1, "status": "late", "amount": 705, "amount_paid": 0}
    taken = {"instalments": [row], "interest_owed_again": 0, "late_fees_owed_again": 700}
    life.emit(PAYMENTS, "payment.refunded", back | taken)
    assert said(life) == {
        "cash": -5,
        "receivable:principal": 5,
        "income:late_fees": -700,
        "receivable:fees": 700,
    }


@pytest.mark.parametrize("paid", [0, 1, 2_800])
def test_a_charge_off(paid: int) -> None:
    """What is left of the receivables is a loss; interest that was never booked is none."""
    life = two_instalments()
    life.be_late(2, fee=900)
    if paid:
        life.succeed(life.start(1, paid))
    life.close()
    fees = 2_500 + 900 - min(paid, 2_500)
    assert said(life) == {
        "loss:charge_off": 100_000 + fees,
        "receivable:principal": -100_000,
        "receivable:fees": -fees,
    }


def test_a_cancellation() -> None:
    """It reverses the creation, and late fees that were assessed meanwhile: nothing is left of the lease."""
    life = two_instalments()
    life.be_late(1, fee=700)
    life.close("cancelled")
    assert said(life) == {
        "funding": 100_000,
        "income:fees": 2_500,
        "income:late_fees": 700,
        "receivable:principal": -100_000,
        "receivable:fees": -3_200,
    }
    assert balances(life.raws) == {}


@pytest.mark.parametrize("closing_first", [False, True])
def test_a_charge_off_that_crosses_a_payment(closing_first: bool) -> None:
    """The payment lowers the loss, by what it would have paid off; its interest is income all the same."""
    life = two_instalments()
    life.succeed(life.start(1, 4_000))
    life.close(unseen=1)
    if closing_first:
        life.raws[-2:] = reversed(life.raws[-2:])
        assert said(life) == {"cash": 4_000, "loss:charge_off": -3_000, "income:interest": -1_000}
    else:
        assert said(life) == {"loss:charge_off": 99_500, "receivable:principal": -99_500}
    assert balances(life.raws) == {
        "cash": 4_000,
        "loss:charge_off": 102_500 - 3_000,
        "income:interest": -1_000,
        "income:fees": -2_500,
        "funding": -100_000,
    }


def test_money_for_a_lease_that_was_charged_off() -> None:
    """It lowers the loss until it has gone back; what was paid before and is charged back adds to it."""
    life = two_instalments()
    before, late = life.start(1, 3_000), life.start(2)
    life.succeed(before)
    life.close()
    life.learn()
    life.succeed(late)
    assert said(life) == {"cash": 50_500, "income:interest": -500, "loss:charge_off": -50_000}
    life.refund(late, 50_500)
    assert said(life) == {"cash": -50_500, "income:interest": 500, "loss:charge_off": 50_000}
    life.refund(before, 3_000, "chargeback")
    assert said(life) == {"cash": -3_000, "income:interest": 500, "loss:charge_off": 2_500}


@pytest.mark.parametrize("closing_first", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_money_for_a_lease_that_was_cancelled(closing_first: bool, whole: bool) -> None:
    """It is the customer's from the moment on that both are known, and nothing is left when it went back."""
    life = two_instalments()
    life.due = 1
    paying = life.start(None) if whole else life.start(1, 4_000)
    life.close("cancelled")
    life.succeed(paying)
    life.raws.append(life.raws.pop(2))
    if closing_first:
        life.raws[-2:] = reversed(life.raws[-2:])
        assert said(life) == {"cash": paying["amount"], "payable:customers": -paying["amount"]}
    assert balances(life.raws) == {"cash": paying["amount"], "payable:customers": -paying["amount"]}
    life.learn()
    life.refund(paying, paying["amount"])
    assert said(life) == {"cash": -paying["amount"], "payable:customers": paying["amount"]}
    assert balances(life.raws) == {}


@pytest.mark.parametrize("closing_first", [False, True])
@pytest.mark.parametrize("how", ["cancelled", "charged_off"])
def test_a_late_fee_that_crosses_a_closing(how: str, closing_first: bool) -> None:
    """Of a cancelled lease it is none; of one charged off it is income, and lost at once."""
    life = two_instalments()
    life.be_late(1, fee=700)  # two events
    life.close(how, unseen=2)
    if closing_first:
        life.raws.insert(1, life.raws.pop())
        lost = {"loss:charge_off": 700, "income:late_fees": -700}
        assert bookings(life.raws)[2] == ({} if how == "cancelled" else lost)
    left = balances(life.raws)
    assert left.get("receivable:fees", 0) == 0
    assert left.get("income:late_fees", 0) == (0 if how == "cancelled" else -700)
    assert left.get("loss:charge_off", 0) == (0 if how == "cancelled" else 103_200)


def test_what_moves_no_money_books_nothing() -> None:
    """Attempts, declines, quotes, delinquency, and what the lease service makes of payments."""
    life = two_instalments()
    lost = life.start(1)
    life.lose_sight(lost)
    life.decline(lost)
    life.fail(life.start(1))
    life.quote()
    life.decline(life.start(None))
    life.be_late(1, fee=0)
    life.be_cured()
    about = {"lease_id": life.lease_id, "currency": "USD"}
    life.emit(LEASES, "lease.paid_off", about | {"amount_paid": 5, "cause": "payment"})
    life.emit(LEASES, "lease.reopened", about | {"balance": 5, "cause": "refund"})
    assert len(life.raws) == 15
    assert bookings(life.raws)[1:] == [{}] * 14


@pytest.mark.parametrize(("how", "against"), [("charged_off", "loss:charge_off"), ("cancelled", "funding")])
def test_a_closing_that_does_not_say_what_was_left(how: str, against: str) -> None:
    """As older ones did not: the receivable stays and suspense shows that somebody has to clear it."""
    life = two_instalments()
    amount = {"balance" if how == "cancelled" else "amount": 104_000, "payment_sequence": 0}
    about = {"lease_id": life.lease_id, "currency": "USD", "reason": "x"}
    life.emit(LEASES, f"lease.{how}", about | amount)
    assert said(life) == {against: 104_000, "suspense": -104_000}


def test_an_amount_that_its_parts_do_not_explain() -> None:
    """The rest is in suspense: the books balance, and it shows."""
    life = two_instalments()
    wrong = {"amount_paid": 9, "amount_due": 0, "payment_status": "paid", "gateway_reference": "ch"}
    parts = {"allocation": allocation((0, 4, 3, 0))}
    life.emit(PAYMENTS, "payment.succeeded", life.start(1, 9) | wrong | parts)
    assert said(life) == {"cash": 9, "receivable:fees": -4, "income:interest": -3, "suspense": -2}


def test_postings_of_a_booking() -> None:
    """Debits first, no amount is negative or 0, in the order of the chart."""
    lines = postings(Booking("JPY", {"income:interest": 5, "receivable:principal": -25, "cash": 20}))
    assert lines == [
        Posting(account="cash", side="debit", amount=20, currency="JPY"),
        Posting(account="income:interest", side="debit", amount=5, currency="JPY"),
        Posting(account="receivable:principal", side="credit", amount=25, currency="JPY"),
    ]


def test_every_account_of_the_table_is_in_the_chart() -> None:
    """And each currency has a trial balance of its own."""
    assert {account for each in registry.TYPES.values() for account, *_ in each.lines} <= set(CHART)
    books: Books = {}
    for booking in (Booking("USD", {"cash": 7, "funding": -7}), Booking("JPY", {"cash": -2, "funding": 2})):
        books = post(books, booking)
    shown = trial_balance(books)
    assert list(shown) == ["JPY", "USD"]
    usd = msgspec.to_builtins(shown["USD"])
    assert (usd["debits"], usd["credits"], usd["difference"]) == (7, 7, 0)
    assert usd["accounts"][0] == {"account": "cash", "debits": 7, "credits": 0, "balance": 7}


@given(randoms)
def test_any_life_in_any_order_it_can_have_happened_in(random: Random) -> None:
    """After every event: debits = credits, no receivable below zero or above what is outstanding.

    In the end the receivables are what is open, part by part, and nothing on a lease that is closed or paid;
    cash is what was collected and not given back; of a cancelled lease nothing is left but that.
    """
    life = random_life(random)
    recorded, sums = Recorded(), EMPTY
    for event in map(envelope.decode, causal(life, random)):
        sums = add(sums, event, recorded.of(event))
        recorded.note(event)
        balance = trial_balance(sums.books or {})[life.currency]
        assert balance.difference == balance.debits - balance.credits == 0
        now = {each.account: each.balance for each in balance.accounts}
        assert now["receivable:principal"] >= 0 <= now["receivable:fees"], (event.type, now)
        assert now.get("payable:customers", 0) <= 0
        receivable = now["receivable:principal"] + now["receivable:fees"]
        assert receivable <= sums.amounts[life.currency].outstanding, (event.type, now)
    late_fees, fees, interest, principal = (0, 0, 0, 0) if life.closed else life.left()
    assert (now["receivable:principal"], now["receivable:fees"]) == (principal, late_fees + fees)
    assert now.get("cash", 0) == life.collected - life.refunded
    assert "suspense" not in now
    assert sums.amounts[life.currency].outstanding == receivable + interest
    if life.status == "cancelled":
        kept = {"cash": now.get("cash", 0), "payable:customers": -now.get("cash", 0)}
        assert {account: amount for account, amount in now.items() if amount} == {
            account: amount for account, amount in kept.items() if amount
        }
