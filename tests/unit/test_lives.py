"""Whatever happens to a lease, and however late its services hear of it: all books agree in the end."""

import json
from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from common.envelope import Event
from ledger_svc.reconstruct import fold, snapshot
from payment_svc import collecting, returns
from payment_svc.attempt import Attempt
from payment_svc.declines import NO_RECORD
from tests.unit.event_mixes import interleave, record
from tests.unit.lives import Lives, live, raws
from tests.unit.test_totals import total

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
    back: Counter[str] = Counter()
    refused = set()
    for each in attempts:
        if each.refunds and each.status == "succeeded":
            back[each.refunds] += each.amount
        elif each.refunds and each.reason == returns.REASON and not _lost(each):
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
        late = any(collecting.beyond_grace(account, each, day) for each in opened)
        assert late or not account.delinquent  # cured with the last payment, not a day later
        if not account.closed:
            statuses = [collecting.status_on(each, day) for each in opened]
            assert [each.status for each in opened] == statuses
