"""Wherever lines of money stand under a total, they add up to it: over random lives, after every event."""

import csv
import json
from collections import defaultdict
from io import StringIO
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_svc.accounting.account_balances import Books, post, postings, trial_balance
from ledger_svc.accounting.journal import book
from ledger_svc.contracts import envelope
from ledger_svc.contracts.entry import Entry
from ledger_svc.entrypoints.http.schemas import amount_figures
from ledger_svc.event_types import registry
from ledger_svc.export.csv import CsvWriter
from ledger_svc.log.recorded_closings import Recorded
from ledger_svc.verifier import text_report
from ledger_svc.views.point_in_time import EMPTY, Snapshot, apply, fold, snapshot
from ledger_svc.views.timeline import timeline
from tests.support.builders.event_mixes import interleave, random_life, record
from tests.support.builders.events import Life
from tests.support.simulation.lease_lives import live, raws
from tests.unit.ledger_svc.test_totals import total

randoms = st.integers(0, 2**63).map(Random)
SIGNS = {"payment.succeeded": 1, "payoff.succeeded": 1, "payment.refunded": -1, "payment.charged_back": -1}


def in_order(random: Random) -> list[bytes]:
    """As the services decide it, or as the ledger's own samples tell it; causes before what they cause."""
    return raws(live(random)) if random.random() < 0.7 else random_life(random).raws


def a_life(random: Random) -> list[bytes]:
    """The same, or in any order that keeps that of either service."""
    told = in_order(random)
    return told[:1] + interleave(told[1:], random) if random.random() < 0.5 else told


def moved(raw: bytes) -> int:
    """What an event says came in; negative: went back."""
    event = json.loads(raw)
    return SIGNS.get(event["type"], 0) * int(event["data"].get("amount", 0))


def on_instalments(told: list[bytes]) -> int:
    """What instalments were paid, by the events' own words."""
    paid: dict[int, int] = {}
    for event in map(json.loads, told):
        if event["type"] == "payment.succeeded":
            paid[event["data"]["number"]] = event["data"]["amount_paid"]
        elif event["type"] in SIGNS:
            paid |= {each["number"]: each["amount_paid"] for each in event["data"]["instalments"]}
    return sum(paid.values())


def check(shot: Snapshot, told: list[bytes]) -> None:
    assert shot.amount_paid == sum(map(moved, told))
    assert sum(each.amount_paid for each in shot.payments) == on_instalments(told)
    assert on_instalments(told) + shot.settled_early == shot.amount_paid
    if not any(b'"payoff.succeeded"' in raw for raw in told):
        assert shot.settled_early == 0
    assert sum(each.amount_due for each in shot.payments) == shot.balance
    assert all(each.amount_due in (0, each.amount - each.amount_paid) for each in shot.payments)
    rows, sums = text_report.lines(shot)
    assert sum(row.amount for row in rows) == sums.amount
    assert sum(row.paid for row in rows) == sums.paid == shot.amount_paid
    assert sum(row.to_be_paid for row in rows) == sums.to_be_paid == shot.balance


@settings(max_examples=200)
@given(randoms)
def test_a_state_and_the_verifiers_table(random: Random) -> None:
    """Instalments, and what payoffs brought beside them, add up to what is paid and what is to be paid."""
    told = in_order(random)
    state = EMPTY
    for count, raw in enumerate(told, 1):
        state = apply(state, envelope.decode(raw))
        shot = snapshot(state)
        assert shot is not None
        check(shot, told[:count])
    mixed = told[:1] + interleave(told[1:], random)
    assert snapshot(fold(record(mixed))) == shot


@settings(max_examples=100)
@given(randoms)
def test_a_timeline(random: Random) -> None:
    """Line by line: changes add up to the balance after them, and what came in to what is paid."""
    told = a_life(random)
    shuffled = random.random() < 0.3
    if shuffled:
        random.shuffle(told)  # lease.created may come late
    balance = paid = 0
    for item in timeline(record(told)):
        balance += item.balance_change
        paid += item.collected
        assert item.balance_after in (None, balance)
        assert (item.balance_after is not None) or balance == 0
    assert paid == sum(map(moved, told))
    if not shuffled:  # no log has an order in which a source's later events come first
        assert balance == fold(record(told)).balance


@settings(max_examples=100)
@given(randoms)
def test_a_csv_export(random: Random) -> None:
    """The column `collected` adds up to what the lease was paid; `amount` is not to be added up."""
    told = a_life(random)
    rows = csv_rows(record(told))
    assert sum(int(row["collected"]) for row in rows) == fold(record(told)).collected


def csv_rows(entries: list[Entry]) -> list[dict[str, Any]]:
    writer = CsvWriter()
    head: Any = None  # of which a CSV shows nothing
    text = b"".join([writer.head(head), *(writer.row(entry, None) for entry in entries)])
    return list(csv.DictReader(StringIO(text.decode(), newline="")))


@settings(max_examples=100)
@given(randoms)
def test_a_journal_and_its_balances(random: Random) -> None:
    """Each entry's debits are its credits, and all postings of an account add up to its balance."""
    told = a_life(random)
    books: Books = {}
    recorded = Recorded()
    sums: defaultdict[tuple[str, str], int] = defaultdict(int)
    for event in map(envelope.decode, told):
        booking = book(event, registry.data_of(event), recorded.of(event))
        recorded.note(event)
        if booking is None:
            continue
        books = post(books, booking)
        signed = [(each, each.amount if each.side == "debit" else -each.amount) for each in postings(booking)]
        assert sum(amount for _, amount in signed) == 0
        for each, amount in signed:
            sums[each.currency, each.account] += amount
    for currency, shown in trial_balance(books).items():
        assert {each.account: each.balance for each in shown.accounts} == {
            account: amount for (of, account), amount in sums.items() if of == currency
        }
        assert sum(each.debits for each in shown.accounts) == shown.debits == shown.credits
        assert sum(each.balance for each in shown.accounts) == shown.difference == 0


@settings(max_examples=60)
@given(randoms)
def test_the_figures_of_the_whole_ledger(random: Random) -> None:
    """What was billed is collected, outstanding, or owed no longer; the last is what the leases say."""
    lives = [a_life(random) for _ in range(random.randint(1, 3))]
    no_longer: defaultdict[str, int] = defaultdict(int)
    for told in lives:
        state = fold(record(told))
        written_off = state.billed - state.collected - state.waived if state.closed else 0
        no_longer[json.loads(told[0])["data"]["currency"]] += state.waived + written_off
    for currency, sums in total([raw for told in lives for raw in told]).amounts.items():
        shown = amount_figures(sums)
        assert shown.billed == shown.collected - shown.refunded + shown.outstanding + shown.no_longer_owed
        assert shown.no_longer_owed == no_longer[currency]


def test_a_payoff_has_a_row_in_the_verifiers_table() -> None:
    """Of 1,199.00 paid, 105.62 is on instalments and the rest in a row of its own; the total says so."""
    life = Life(term=3, principal=120_000)
    life.create()
    life.succeed(life.start(1))
    payoff = life.start(None)
    life.succeed(payoff)
    lease = snapshot(fold(record(life.raws)))
    assert lease is not None
    rows, sums = text_report.lines(lease)
    assert rows[-1] == text_report.Line("early payoff, for those cancelled", "", 0, payoff["amount"], 0)
    assert sum(row.paid for row in rows[:-1]) + payoff["amount"] == sums.paid == lease.amount_paid
