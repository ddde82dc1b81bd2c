"""A lease's life in words."""

from datetime import date
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_svc.contracts import envelope
from ledger_svc.event_types.basics.words import day
from ledger_svc.views.point_in_time import fold
from ledger_svc.views.timeline import timeline
from ledger_svc.views.timeline_text import money
from tests.support.builders.event_mixes import random_life, record
from tests.support.builders.events import LEASES, PAYMENTS, Life, allocation


def last_words(life: Life) -> tuple[str, str]:
    item = list(timeline(record(life.raws)))[-1]
    return item.title, item.summary


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        (10662, "USD", "106.62 USD"),
        (5, "USD", "0.05 USD"),
        (0, "USD", "0.00 USD"),
        (-1999, "EUR", "-19.99 EUR"),
        (500, "JPY", "500 JPY"),
        (1234567, "KWD", "1,234.567 KWD"),
        (10**12, "USD", "10,000,000,000.00 USD"),
        (7, "XAU", "7 minor units of XAU"),
        (7, "???", "7 minor units of ???"),
    ],
)
def test_money_in_its_minor_unit(amount: int, currency: str, words: str) -> None:
    """As many decimals as ISO 4217 gives the currency, exactly, however large; none are invented."""
    assert money(amount, currency) == words


def test_day_in_words() -> None:
    """Day, month's name, year: no order of figures to be taken for another."""
    assert day(date(2027, 3, 1)) == "1 March 2027"


def test_a_life_in_words() -> None:
    """Every event of an ordinary life reads as a sentence a customer would understand."""
    life = Life(term=3, principal=30_000)
    life.create()
    life.succeed(life.start(1))
    life.succeed(life.start(2, 5000))
    life.decline(life.start(2, method="pm_card_insufficient_funds"))
    lost = life.start(3)
    life.lose_sight(lost)
    life.succeed(lost)
    life.succeed(life.start(2))
    items = list(timeline(record(life.raws, first_seq=10)))
    assert [(item.title, item.summary) for item in items] == [
        (
            "Lease created",
            "300.00 USD at 12% a year, to be paid in 3 monthly instalments from 1 January 2027; "
            "331.00 USD in all",
        ),
        ("Payment started", "Instalment 1 of 3: taking 128.00 USD from pm_card_ok"),
        ("Instalment paid", "Instalment 1 of 3 paid: 128.00 USD by pm_card_ok"),
        ("Payment started", "Instalment 2 of 3: taking 50.00 USD from pm_card_ok"),
        (
            "Part payment received",
            "Instalment 2 of 3 paid in part: 50.00 USD by pm_card_ok; 52.00 USD of it still to be paid",
        ),
        ("Payment started", "Instalment 2 of 3: taking 52.00 USD from pm_card_insufficient_funds"),
        (
            "Payment declined",
            "Instalment 2 of 3: 52.00 USD by pm_card_insufficient_funds was declined (insufficient funds); "
            "it may be tried again later",
        ),
        ("Payment started", "Instalment 3 of 3: taking 101.00 USD from pm_card_ok"),
        (
            "Payment outcome unknown",
            "Instalment 3 of 3: no answer about 101.00 USD from pm_card_ok (timeout); "
            "the gateway will be asked, not charged a second time",
        ),
        (
            "Payment outcome learned",
            "Instalment 3 of 3: asked about 101.00 USD, the gateway said that the money was taken",
        ),
        ("Instalment paid", "Instalment 3 of 3 paid: 101.00 USD by pm_card_ok"),
        ("Payment started", "Instalment 2 of 3: taking 52.00 USD from pm_card_ok"),
        ("Instalment paid", "Instalment 2 of 3 paid: 52.00 USD by pm_card_ok"),
        ("Lease paid off", "Closed by the last instalment; 331.00 USD paid in all"),
    ]
    assert [item.balance_after for item in items] == [
        33100, 33100, 20300, 20300, 15300, 15300, 15300, 15300, 15300, 15300, 5200, 5200, 0, 0,
    ]  # fmt: skip
    assert [item.seq for item in items] == list(range(10, 24))
    assert items[0].at == "2026-12-01T08:00:01.000007Z"
    assert (items[0].amount, items[2].amount, items[-1].amount) == (33100, 12800, 33100)


def test_an_early_payoff_in_words() -> None:
    """The payoff says its day and what it saved; declined before, it names itself too."""
    life = Life(term=3, principal=30_000)
    life.create()
    life.decline(life.start(None), retry_at="2026-12-03T00:00:00.000000Z")
    title, summary = last_words(life)
    assert title == "Payment declined"
    assert summary.endswith("was declined (insufficient funds); the next try is on 3 December 2026")
    life.succeed(life.start(None))
    items = list(timeline(record(life.raws)))
    assert [(item.title, item.summary, item.balance_after) for item in items[-2:]] == [
        (
            "Lease paid early",
            "Early payoff as of 31 December 2026: 325.00 USD by pm_card_ok; 6.00 USD of interest saved",
            0,
        ),
        ("Lease paid off", "Closed by the early payoff; 325.00 USD paid in all", 0),
    ]


def test_a_payoff_below_zero_in_words() -> None:
    """What goes back of it is said at the payoff and at the refund; when it is undone, what does not."""
    life = Life(term=2, principal=30_000)
    life.create()
    paying = life.start(2)
    life.succeed(paying)
    payoff = life.start(1) | {"kind": "payoff", "number": None, "payment_id": None, "amount": 0}
    parts = {"interest_saved": 850, "refund_due": 600, "waived": {"late_fees": 1500}}
    more = {"as_of": "2026-12-31", "gateway_reference": None, "allocation": allocation((0, 0, 0, 0))}
    row = {"number": 1, "status": "cancelled", "amount_paid": 0, "late_fees_waived": 1500}
    life.emit(PAYMENTS, "payoff.succeeded", payoff | more | parts | {"instalments": [row]})
    assert last_words(life) == (
        "Lease paid early",
        "Early payoff as of 31 December 2026: 0.00 USD by pm_card_ok; 8.50 USD of interest saved, of which"
        " 6.00 USD was paid ahead and goes back; 15.00 USD of late fees waived",
    )
    back = paying | {"kind": "refund", "amount": 400, "reason": "refund_due", "interest_owed_again": 0}
    back |= {"instalments": [], "allocation": allocation((0, 0, 400, 0))}
    life.emit(PAYMENTS, "payment.refunded", back | {"refund_due_of": payoff["attempt_id"]})
    assert last_words(life) == (
        "Money given back",
        "Instalment 2 of 2: 4.00 USD given back (refund due): interest paid ahead that the early payoff has"
        " saved",
    )
    undone = {"reason": "lost", "interest_owed_again": 650, "refund_lapsed": 200}
    life.emit(PAYMENTS, "payment.refunded", back | undone | {"late_fees_owed_again": 1500})
    assert last_words(life)[1] == (
        "Instalment 2 of 2: 4.00 USD given back (lost); 6.50 USD of interest is owed again;"
        " 15.00 USD of late fees is owed again; 2.00 USD is not due back any longer"
    )


def test_a_payoff_quote_in_words() -> None:
    """It says what the payoff would cost and save, and until when that holds; the balance stays."""
    life = Life(term=3, principal=30_000)
    life.create()
    life.quote()
    item = list(timeline(record(life.raws)))[-1]
    assert (item.title, item.summary) == (
        "Payoff quoted",
        "Early payoff as of 31 December 2026 would cost 325.00 USD and save 6.00 USD of interest;"
        " the quote is good for one payoff before 1 January 2027, 00:00 UTC",
    )
    assert (item.amount, item.balance_after) == (32_500, 33_100)


def test_a_failed_attempt_in_words() -> None:
    """It says that nothing was taken."""
    life = Life(term=1, currency="JPY", principal=1000)
    life.create()
    life.fail(life.start(1, 500))
    assert last_words(life) == (
        "Payment not attempted",
        "Instalment 1 of 1: 500 JPY never reached the gateway, nothing was taken (connection refused)",
    )


def test_a_closing_in_words() -> None:
    """Cancelled or charged off, with the reason; money that was under way says so."""
    life = Life(term=2, principal=30_000)
    life.create()
    under_way = life.start(1)
    life.close("cancelled")
    assert last_words(life) == ("Lease cancelled", "329.50 USD is no longer to be paid (returned unused)")
    life.learn()
    life.succeed(under_way)
    assert last_words(life) == (
        "Payment after closing",
        "Instalment 1 of 2: 178.00 USD by pm_card_ok, which was under way when the lease was closed",
    )
    life = Life(term=2, principal=30_000)
    life.create()
    payoff = life.start(None)
    life.close("cancelled")
    life.learn()
    life.succeed(payoff)
    assert last_words(life) == (
        "Payment after closing",
        "Early payoff as of 31 December 2026: 325.00 USD by pm_card_ok, "
        "which was under way when the lease was closed",
    )
    life = Life(term=2, principal=30_000)
    life.create()
    life.succeed(life.start(1))
    life.close()
    assert last_words(life) == ("Lease charged off", "151.50 USD is given up as a loss (returned unused)")
    item = list(timeline(record(life.raws)))[-1]
    assert (item.amount, item.balance_after) == (15150, 0)


def test_payments_seen_before_the_lease() -> None:
    """Without lease.created neither the number of instalments nor a balance is made up."""
    life = Life(term=2)
    life.create()
    life.start(1)
    (item,) = timeline(record(life.raws[1:]))
    assert item.summary.startswith("Instalment 1: taking ")
    assert item.balance_after is None


@given(st.randoms(use_true_random=False))
def test_balance_after_is_the_fold_so_far(random: Random) -> None:
    """Every item's balance is that of folding all entries up to it."""
    entries = record(random_life(random).raws)
    for number, item in enumerate(timeline(entries), 1):
        assert item.balance_after == fold(entries[:number]).balance
        assert item.summary


@given(st.randoms(use_true_random=False))
def test_events_recorded_late_are_told_where_they_belong(random: Random) -> None:
    """Each source's events come in its own order, and the balances are those of a ledger without gaps."""
    life = random_life(random)
    shuffled = random.sample(life.raws, len(life.raws))
    items = list(timeline(record(shuffled)))
    entries = record(shuffled)
    told = [entries[item.seq - 1] for item in items]
    for source in (LEASES, PAYMENTS):
        numbers = [entry.sequence for entry in told if entry.source == source]
        assert numbers == sorted(numbers)
    assert items[-1].balance_after == list(timeline(record(life.raws)))[-1].balance_after


def test_unknown_type_stops_the_timeline() -> None:
    """What cannot be told is an error, not a gap in the story."""
    life = Life()
    life.create()
    life.emit(LEASES, "lease.sold", {})
    with pytest.raises(envelope.UnknownEventType):
        list(timeline(record(life.raws)))


def test_money_given_back_in_words() -> None:
    """Refunds and chargebacks say what went back and why; a payoff's, what is owed again with it."""
    life = Life(term=3, principal=30_000)
    life.create()
    first, payoff = life.start(1), None
    life.succeed(first)
    life.refund(first, 3000)
    life.refund(first, 700, "chargeback")
    payoff = life.start(None)
    life.succeed(payoff)
    life.refund(payoff, payoff["amount"])
    items = [(item.title, item.summary, item.balance_after) for item in timeline(record(life.raws))]
    assert items[3:6] == [
        ("Refund started", "Instalment 1 of 3: giving 30.00 USD back to pm_card_ok", 20300),
        ("Money given back", "Instalment 1 of 3: 30.00 USD given back (broken)", 23300),
        ("Payment charged back", "Instalment 1 of 3: the issuer took 7.00 USD back (broken)", 24000),
    ]
    assert items[-2:] == [
        (
            "Money given back",
            f"Early payoff: {money(payoff['amount'], 'USD')} given back (broken);"
            f" {money(24000 - payoff['amount'], 'USD')} of interest is owed again",
            24000,
        ),
        ("Lease reopened", "Opened again by a refund; 240.00 USD to be paid", 24000),
    ]


def test_refunds_without_money_in_words() -> None:
    """Declined, not attempted, unknown and learned: none of it sounds like a payment."""
    life = Life(term=1)
    life.create()
    life.succeed(life.start(1))

    def refund() -> dict[str, Any]:
        return life.start(1, 100) | {"kind": "refund"}

    life.decline(refund())
    assert last_words(life)[0] == "Refund declined"
    life.fail(refund())
    assert last_words(life)[0] == "Refund not attempted"
    lost = refund()
    life.lose_sight(lost)
    assert last_words(life)[0] == "Refund outcome unknown"
    life.emit(PAYMENTS, "payment.resolved", lost | {"outcome": "succeeded"})
    assert last_words(life) == (
        "Refund outcome learned",
        "Instalment 1 of 1: asked about 1.00 USD, the gateway said that the money was given back",
    )


def test_autopay_in_words() -> None:
    """Stopped by a hard decline, taken up with another method, off; and what a refund leaves to be paid."""
    life = Life(term=2, principal=20_000)
    life.create()
    life.change_autopay(stopped="hard_decline")
    life.change_autopay(method="pm_new", anew=(1, 2))
    life.change_autopay(on=False)
    attempt = life.start(1)
    life.succeed(attempt)
    life.refund(attempt, 100, stops=True)
    items = list(timeline(record(life.raws)))
    assert [(item.title, item.summary, item.amount) for item in items[1:4]] == [
        ("Autopay stopped", "pm_card is not charged by any collection run any more (hard decline)", 0),
        (
            "Autopay on",
            "Instalments are collected by pm_new when they fall due;"
            " instalments 1, 2 can be tried by the next run",
            0,
        ),
        ("Autopay off", "Instalments are no longer collected without being asked for", 0),
    ]
    assert items[-1].summary == (
        "Instalment 1 of 2: 1.00 USD given back (broken);"
        " autopay does not collect instalment 1 again by itself"
    )


def test_collections_in_words() -> None:
    """A late fee, delinquency, a retry and the cure."""
    life = Life(term=2, principal=20_000)
    life.create()
    life.be_late(1, fee=700)
    about = {"lease_id": life.lease_id, "currency": "USD", "retry_at": "2027-01-02", "attempts": 1}
    life.emit(PAYMENTS, "payment.retry_scheduled", about | {"number": 1, "reason": "soft decline"})
    life.be_cured()
    items = list(timeline(record(life.raws)))[1:]
    assert [(item.title, item.summary) for item in items] == [
        (
            "Late fee",
            "Instalment 1 of 2, due on 1 January 2027, was not paid within the grace; it costs 7.00 USD more",
        ),
        (
            "Lease delinquent",
            "Instalment 1 late beyond the grace, the oldest by 6 days; 134.00 USD to be paid",
        ),
        (
            "Retry scheduled",
            "Instalment 1 of 2: decline 1 of autopay; the next try is on 2 January 2027",
        ),
        ("Lease cured", "As of 1 February 2027: nothing is late any longer"),
    ]
    assert [item.amount for item in items] == [700, 13400, 0, 0]
