"""Whatever happens to a lease, and however late its services hear of it: all books agree in the end."""

import json
from collections import Counter
from datetime import timedelta
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from common.messaging.envelope import Event
from lease_svc.application import representations
from ledger_svc.accounting.account_balances import trial_balance
from ledger_svc.accounting.totals import Totals
from ledger_svc.views.point_in_time import fold, snapshot
from payment_svc.application.workers import automatic_refund_worker
from payment_svc.domain import collection_rules
from payment_svc.domain.attempt import Attempt
from payment_svc.domain.declines import NO_RECORD
from tests.support.builders.event_mixes import interleave, record
from tests.support.oracles.autopay import follow
from tests.support.simulation.lease_lives import Lives, live, raws
from tests.unit.ledger_svc.test_totals import total

randoms = st.integers(0, 2**63).map(Random)
PARTS = ("late_fees", "fees", "interest", "principal")
OF_RUNS = ("payment.attempt_started", "lease.late_fee_assessed", "lease.delinquent", "lease.cured")
SIGNS = {"payment.succeeded": 1, "payoff.succeeded": 1, "payment.refunded": -1, "payment.charged_back": -1}


@settings(max_examples=300)
@given(randoms)
def test_all_books_agree_in_the_end(random: Random) -> None:
    """Both services and the ledger say the same of balance, money, instalments: to the cent and by part."""
    lives = live(random)
    _check_services(lives)
    _check_attempts(lives)
    _check_parts(lives)
    _check_ledger(lives, random)
    _check_collections(lives)
    _check_autopay(lives)


def _check_services(lives: Lives) -> None:
    account, lease, payments = lives.account, lives.lease, lives.payments
    assert account.payoff_in_flight is None
    assert not any(each.in_flight for each in payments)
    assert lease.balance == sum(each.amount_due for each in payments if each.open)
    assert lease.paid == [each.paid.total for each in payments]
    assert (lease.balance == 0) == (lease.status in ("paid_off", "cancelled", "charged_off"))
    opened = [each for each in payments if each.open]
    assert lease.next_due_date == (opened[0].due_date if opened else None)
    if account.closed:
        assert not opened
    else:
        assert lease.payments_made == sum(each.status == "paid" for each in payments)
    for each in payments:
        for part in PARTS:
            assert 0 <= getattr(each.paid, part) <= getattr(each.owed, part)


def _check_attempts(lives: Lives) -> None:
    """What is kept is what was not taken back; of a cancelled lease that is nothing, but what is refused."""
    attempts = lives.attempts.values()
    kept = sum(each.left for each in attempts if each.refunds is None)
    assert lives.lease.amount_paid == kept
    if lives.account.payoff_standing is None and not any(each.kind == "payoff" for each in lives.with_money):
        assert sum(each.paid.total for each in lives.payments) == kept
    assert sum(each.moved for each in lives.payments) == 0
    back: Counter[str] = Counter()
    refused = set()
    for each in attempts:
        if each.refunds and each.status == "succeeded":
            back[each.refunds] += each.amount
        elif each.refunds and each.reason == automatic_refund_worker.REASON and not _lost(each):
            refused.add(each.refunds)
    for each in attempts:
        assert each.refunded == back[each.attempt_id]
        if lives.account.closed == "cancelled" and each.refunds is None:
            assert not each.left or each.attempt_id in refused


def _lost(attempt: Attempt) -> bool:
    return attempt.decline is not None and attempt.decline.code == NO_RECORD


def _check_parts(lives: Lives) -> None:
    """What was undone is what had been collected, part by part."""
    parts: Counter[str] = Counter()
    for event in lives.told:
        if event.type in SIGNS:
            data = json.loads(bytes(event.data))
            assert sum(data["allocation"].values()) == data["amount"]
            for part in PARTS:
                parts[part] += SIGNS[event.type] * data["allocation"][part]
    assert min(parts["late_fees"], parts["fees"], parts["principal"]) >= 0
    if not lives.with_money and lives.account.payoff_standing is None:
        assert not any(parts.values())


def _check_ledger(lives: Lives, random: Random) -> None:
    """The ledger hears both services in any order, and comes to the same."""
    mixed = raws(lives)[:1] + interleave(raws(lives)[1:], random)
    rebuilt = snapshot(fold(record(mixed)))
    lease = lives.lease
    assert rebuilt is not None
    assert (rebuilt.balance, rebuilt.amount_paid, rebuilt.status) == (
        lease.balance,
        lease.amount_paid,
        lease.status,
    )
    for shown, payment in zip(rebuilt.payments, lives.payments, strict=True):
        assert (shown.amount, shown.amount_paid) == (payment.owed.total, payment.paid.total)
        assert shown.amount_due == payment.amount_due
        assert (shown.status in ("paid", "cancelled")) == (not payment.open)
        assert payment.open or shown.status == payment.status
        told = max((_as_of(event) for event in lives.told), default=None)
        # a run that did nothing tells nothing
        if payment.open and told == str(lives.account.collected_as_of):
            assert shown.status == payment.status
    totals = total(mixed)
    amounts = totals.amounts["USD"]
    assert amounts.outstanding == lease.balance
    assert amounts.collected - amounts.refunded == lease.amount_paid
    assert totals.payments.unknown == 0
    _check_journal(lives, totals)


def _check_journal(lives: Lives, totals: Totals) -> None:
    """Receivable is what is open, cash what is here; what a payoff owes to the customer is a payable."""
    assert totals.books is not None
    shown = trial_balance(totals.books)["USD"]
    assert shown.difference == 0
    its = Counter({each.account: each.balance for each in shown.accounts})
    left = [each.owed - each.paid for each in lives.payments if each.open]
    assert its["receivable:principal"] == sum(each.principal for each in left)
    assert its["receivable:fees"] == sum(each.fees + each.late_fees for each in left)
    assert (its["cash"], its["suspense"]) == (lives.lease.amount_paid, 0)
    standing = lives.attempts.get(lives.account.payoff_standing or "")
    due = 0
    if standing is not None:
        theirs = [each for each in lives.attempts.values() if each.refund_due_of == standing.attempt_id]
        due = standing.refund_due - sum(each.amount for each in theirs if each.status == "succeeded")
    assert due >= 0
    assert its["payable:refunds"] == (0 if lives.account.closed == "cancelled" else -due)


def _as_of(event: Event) -> str:
    """The day of the run that an event tells of, or none."""
    return str(json.loads(bytes(event.data)).get("as_of") or "") if event.type in OF_RUNS else ""


def _check_collections(lives: Lives) -> None:
    """A lease with something to do is looked at again, and nothing that went back is taken by itself."""
    account = lives.account
    opened = [each for each in lives.payments if each.open]
    if lives.lease.status in ("active", "delinquent"):
        assert (lives.lease.status == "delinquent") == account.delinquent
    if account.closed:
        assert account.next_look_on is None
    elif any(each.status == "scheduled" for each in opened):
        assert account.next_look_on is not None
    if account.collected_as_of is not None:
        day = account.collected_as_of
        # Cured with the last payment, not a day later. A method that is named since cures nothing, though the
        # grace begins anew with its first attempt: so by due dates.
        grace = timedelta(days=account.grace_days)
        assert not account.delinquent or any(each.due_date + grace < day for each in opened)
        if not account.closed:
            statuses = [collection_rules.status_on(each, day) for each in opened]
            assert [each.status for each in opened] == statuses


def _check_autopay(lives: Lives) -> None:
    """No run charges what is stopped; the events say what is and why, and both services show it."""
    account, told = lives.account, follow(json.loads(raw) for raw in raws(lives))
    stopped = account.autopay_stopped and msgspec.to_builtins(account.autopay_stopped)
    assert (told.on, told.method, told.stopped) == (account.autopay, account.payment_method, stopped)
    shown = json.loads(representations.view(lives.lease))
    assert (shown["autopay"], shown["payment_method"]) == (account.autopay, account.payment_method)
    assert shown["autopay_stopped"] == stopped
    if not account.closed:
        stops = [each.autopay_stopped for each in lives.payments]
        assert told.instalments == {
            number: msgspec.to_builtins(stop) for number, stop in enumerate(stops, 1) if stop
        }
    for each in lives.payments:
        assert each.open or (each.autopay_stopped, each.next_retry_at) == (None, None)
        assert each.autopay_stopped is None or each.next_retry_at is None
        # what nothing stops is tried by some run: on a day to come, or on the next that looks
        going_on = account.autopay and account.autopay_stopped is None and each.autopay_stopped is None
        if going_on and each.open and each.autopay_since:
            assert each.next_retry_at is not None
            assert account.next_look_on is not None
            looked = account.collected_as_of or each.due_date
            assert account.next_look_on <= max(each.next_retry_at.date(), looked + timedelta(days=1))
