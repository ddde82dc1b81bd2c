"""Payoff quotes: what can be promised, what a promise is worth, and how it is taken up. Pure."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.messaging.envelope import Command, Outcome
from common.web import read_your_writes
from lease_svc.domain import schedule
from payment_svc.adapters.postgres.account_repository import decode_payoff, encode
from payment_svc.application.gateway import Charged, ChargeResult, Declined, NoAnswer, NotReached
from payment_svc.application.quote_commands import quote_payoff
from payment_svc.application.settlement import settle
from payment_svc.application.unit_of_work import Batch
from payment_svc.contracts.commands import QuotePayoff
from payment_svc.domain import attempt as domain
from payment_svc.domain import collection_rules, refund
from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import Account, Attempt, Payment, Refused
from payment_svc.domain.payoff import Payoff
from payment_svc.domain.payoff_quote import (
    DAYS_AHEAD_MAX,
    Quote,
    first_state_of,
    quote,
    start_quoted_payoff,
    state_of,
)
from tests.support.builders.payments import payment
from tests.unit.payment_svc.test_attempt import LEASE, NOW, TODAY, account, payments

OTHER_LEASE = "01890a5d-ac96-774b-8bce-b302099a8058"


def ask(of: Account, what: list[Payment], as_of: date = TODAY) -> Quote:
    return quote(of, what, "q1", as_of, NOW)


def take(of: Account, what: list[Payment], given: Quote | None, now: datetime = NOW) -> Attempt:
    return start_quoted_payoff(of, what, given, "a1", "c1", "pm_card_ok", now)


def refused(of: Account, what: list[Payment], given: Quote | None, now: datetime = NOW) -> Refused:
    """Why a quote is not taken; nothing is changed by asking."""
    before = (of.payoff_in_flight, given and given.used_by)
    with pytest.raises(Refused) as caught:
        take(of, what, given, now)
    assert (of.payoff_in_flight, given and given.used_by) == before
    return caught.value


def test_quote() -> None:
    """The payoff as of the day, until the midnight that ends it; nothing is in flight because of it."""
    of, both = account(), payments()
    given = ask(of, both, TODAY + timedelta(days=10))
    worked_out = domain.payoff_of(of, both, date(2027, 2, 11))
    assert given.payoff == msgspec.structs.replace(worked_out, quote_id="q1")
    assert (given.payoff.as_of, given.payoff.formula) == (date(2027, 2, 11), "payoff/2")
    assert given.expires_at == datetime(2027, 2, 12, tzinfo=UTC)
    assert (given.used_by, of.payoff_in_flight) == (None, None)


@pytest.mark.parametrize(
    ("as_of", "words"),
    [
        (TODAY - timedelta(days=1), "must not lie before 2027-02-01, today"),
        (date(1, 1, 1), "must not lie before 2027-02-01, today"),
        (TODAY + timedelta(days=DAYS_AHEAD_MAX + 1), "must be at most 60 days ahead"),
        (date.max, "must be at most 60 days ahead"),
    ],
)
def test_days_that_cannot_be_quoted(as_of: date, words: str) -> None:
    """A day that is over would be an expired promise, and one far ahead binds for too long: 422."""
    with pytest.raises(Refused, match=words) as caught:
        ask(account(), payments(), as_of)
    assert (caught.value.status, caught.value.pointer) == (422, "/as_of")


def test_first_and_last_day_that_can_be_quoted() -> None:
    """Today and sixty days ahead are within."""
    for as_of in (TODAY, TODAY + timedelta(days=DAYS_AHEAD_MAX)):
        assert ask(account(), payments(), as_of).payoff.as_of == as_of


def test_leases_that_cannot_be_quoted() -> None:
    """Before the start 422; nothing left, or an outcome still to come that may change the amount, 409."""
    of, both = account(), payments()
    of.start_date = TODAY + timedelta(days=1)
    with pytest.raises(Refused, match=r"must not lie before 2027-02-02, the day the lease starts") as caught:
        ask(of, both)
    assert (caught.value.status, caught.value.pointer) == (422, "/as_of")
    of, both = account(), payments()
    domain.start(of, both[0], "a1", "c1", "pm_card_ok", 1, NOW)
    with pytest.raises(Refused, match="in flight") as caught:
        ask(of, both)
    assert caught.value.status == 409
    both = payments()
    both[0].status, both[1].status = "paid", "cancelled"
    with pytest.raises(Refused, match="Nothing is left") as caught:
        ask(account(), both)
    assert caught.value.status == 409


def test_taking_up_a_quote() -> None:
    """Exactly what was promised, also on another day than it was promised for."""
    of, both = account(), payments()
    both[1].owed = Allocation(principal=1000, interest=20)
    given = ask(of, both, TODAY + timedelta(days=10))
    attempt = take(of, both, given)
    assert (attempt.amount, attempt.payoff, attempt.kind) == (given.payoff.amount, given.payoff, "payoff")
    assert attempt.amount == domain.payoff_of(of, both, TODAY).amount + 3  # 1,000 at 12 % for 10 days more
    assert (given.used_by, of.payoff_in_flight) == ("a1", "a1")


def test_no_quote_of_this_lease() -> None:
    """One that is not there, or another lease's: 422 that names the field and tells nothing more."""
    given = ask(account(), payments())
    given.lease_id = OTHER_LEASE
    for cited in (None, given):
        error = refused(account(), payments(), cited)
        assert (error.status, error.pointer, error.detail) == (422, "/quote_id", "is no quote of this lease")


def test_expiry() -> None:
    """Good in the last microsecond of its day, and not from midnight on."""
    midnight = datetime(2027, 2, 2, tzinfo=UTC)
    of, both = account(), payments()
    given = ask(of, both)
    error = refused(of, both, given, midnight)
    assert (error.status, "has expired" in error.detail) == (409, True)
    take(of, both, given, midnight - timedelta(microseconds=1))


def test_single_use() -> None:
    """Used once it is used up, also where the lease is open again because the money was given back."""
    of, both = account(), payments()
    given = ask(of, both)
    take(of, both, given)
    assert "in flight" in refused(of, both, given).detail
    of.payoff_in_flight = None
    error = refused(of, both, given)
    assert (error.status, error.detail) == (409, "This quote has been used, by attempt a1.")


def test_attempt_in_flight() -> None:
    """While an outcome is to come nobody knows whether the promise still holds: 409."""
    of, both = account(), payments()
    given = ask(of, both)
    domain.start(of, both[1], "a9", "c9", "pm_card_ok", 1, NOW)
    error = refused(of, both, given)
    assert (error.status, "in flight" in error.detail) == (409, True)


def pay(of: Account, both: list[Payment], number: int, amount: int) -> tuple[Batch, Attempt]:
    """The gateway has taken that much for an instalment."""
    attempt = domain.start(of, both[number - 1], "a9", "c9", "pm_card_ok", amount, NOW)
    batch = Batch({LEASE: of}, both, NOW)
    settle(batch, attempt, Charged(reference="ch_9"))
    return batch, attempt


def assess(payment: Payment, fee: int = 1500) -> None:
    """A run of collections finds it late."""
    payment.owed += Allocation(late_fees=fee)
    payment.status = "late"


def test_stale_after_a_payment() -> None:
    """A cent paid since makes the amount wrong: 409 that asks for a new quote."""
    of, both = account(), payments()
    given = ask(of, both)
    pay(of, both, 2, 1)
    error = refused(of, both, given)
    assert (error.status, "A new quote is needed" in error.detail) == (409, True)
    assert take(of, both, ask(of, both)).amount == given.payoff.amount - 1


def test_broken_for_good() -> None:
    """A cent was paid and given back, so the lease is as it was; the quote stays broken, a new one holds."""
    of, both = account(), payments()
    given = ask(of, both)
    batch, paid = pay(of, both, 2, 1)
    back = refund.start(of, [both[1]], paid, "r1", "c8", None, "returned", NOW)
    batch.originals = {paid.attempt_id: paid}
    settle(batch, back, Charged(reference="re_1"))
    assert [each.paid for each in both] == [Allocation(), Allocation()]
    assert "A new quote is needed" in refused(of, both, given).detail
    assert take(of, both, ask(of, both)).amount == given.payoff.amount


@pytest.mark.parametrize("first_digest", [False, True])
def test_what_the_lender_does_breaks_no_quote(first_digest: bool) -> None:
    """Late, delinquent, a late fee: the lease is paid off for what was quoted, and the fee is waived.

    Also where the quote was stored by the version before, with another digest.
    """
    of, both = account(), payments()
    before = [each.owed for each in both]
    given = ask(of, both, TODAY + timedelta(days=3))
    if first_digest:
        given.state = first_state_of(both, given.payoff)
        assert len(given.state) == 64
    assess(both[0])
    of.delinquent = True
    attempt = take(of, both, given)
    assert attempt.amount == given.payoff.amount
    batch = Batch({LEASE: of}, both, NOW)
    outcome = settle(batch, attempt, Charged(reference="ch_1"))
    told = told_of(batch)["payoff.succeeded"]
    assert (told["amount"], told["waived"]) == (given.payoff.amount, {"late_fees": 1500})
    assert sum(told["allocation"].values()) == told["amount"]
    assert [each.get("late_fees_waived", 0) for each in told["instalments"]] == [1500, 0]
    assert json.loads(bytes(outcome.body))["waived"] == {"late_fees": 1500}
    assert [each.owed for each in both] == before
    assert both[0].paid == both[0].owed
    assert decode_payoff(encode(attempt.payoff)) == attempt.payoff


def test_the_quote_of_a_lease_that_is_late_since() -> None:
    """1,200.00 at 12 % from 15 October, quoted on 30 November for 5 December: 121937, with a fee or without.

    120000 + 1200 for number 1, and 20 of 360 days on the 110538 after it: 736.92.
    """
    start, now = date(2026, 10, 15), datetime(2026, 11, 30, 8, tzinfo=UTC)
    terms = schedule.Terms(
        currency="USD", principal=120_000, annual_rate="0.12", term=12, frequency="monthly",
        day_count="30/360", start_date=start, first_due_date=None, fees=0,
    )  # fmt: skip
    of = Account(
        lease_id=LEASE,
        currency="USD",
        principal=120_000,
        annual_rate="0.12",
        day_count="30/360",
        start_date=start,
        grace_days=5,
        late_fee=1500,
    )
    all_of_them = [
        payment(
            row.number,
            row.due_date,
            Allocation(interest=row.interest, principal=row.principal),
            row.principal_balance,
        )
        for row in schedule.build(terms).rows
    ]
    given = quote(of, all_of_them, "q1", date(2026, 12, 5), now)
    assert given.payoff.amount == 121_937
    decided = collection_rules.decide(of, all_of_them[:1], None, now.date())
    assert decided.instalments[0].late_fee
    assess(all_of_them[0])
    attempt = take(of, all_of_them, given, now)
    settle(Batch({LEASE: of}, all_of_them, now), attempt, Charged(reference="ch_1"))
    assert (attempt.amount, attempt.late_fees_waived) == (121_937, 1500)
    assert sum(each.amount_due for each in all_of_them) == 0


def test_a_fee_assessed_while_a_payoff_is_under_way_is_waived() -> None:
    """The gateway has not said yet what became of it; its amount was reckoned without the fee."""
    of, both = account(), payments()
    attempt = domain.start_payoff(of, both, "a1", "c1", "pm_card_ok", TODAY, NOW)
    batch = Batch({LEASE: of}, both, NOW)
    settle(batch, attempt, NoAnswer(reason="timeout"))
    assess(both[0])
    settle(batch, attempt, Charged(reference="ch_1"))
    assert told_of(batch)["payoff.succeeded"]["waived"] == {"late_fees": 1500}
    assert (both[0].status, both[0].amount_due, both[0].owed.late_fees) == ("paid", 0, 0)


def test_a_waived_fee_is_assessed_no_second_time() -> None:
    """A part of the payoff is taken back and its instalment is late again: it has had its late fee."""
    of, both = account(), payments()
    of.late_fee = 1500
    given = ask(of, both)
    assess(both[0])
    attempt = take(of, both, given)
    batch = Batch({LEASE: of}, both, NOW)
    settle(batch, attempt, Charged(reference="ch_1"))
    refund.take_back(of, both, attempt, attempt.amount - 1, attempt.payoff)
    assert both[0].open
    assert (
        not collection_rules.decide(of, [both[0]], None, TODAY + timedelta(days=300)).instalments[0].late_fee
    )
    undone = refund.take_back(of, both, attempt, 1, attempt.payoff)
    assert undone.late_fees_owed_again == both[0].owed.late_fees == 1500
    assert both[0].late_fees_waived == 0


def test_nothing_left() -> None:
    """A lease that was closed since has nothing to pay, rather than needing a new quote."""
    of, both = account(), payments()
    given = ask(of, both)
    both[0].status, both[1].status = "paid", "cancelled"
    error = refused(of, both, given)
    assert (error.status, error.detail) == (409, "Nothing is left to be paid on this lease.")


def test_attempts_that_moved_nothing_leave_a_quote_good() -> None:
    """A declined instalment changes nothing of what is to be paid."""
    of, both = account(), payments()
    given = ask(of, both)
    attempt = domain.start(of, both[0], "a9", "c9", "pm_card_lost", None, NOW)
    settle(Batch({LEASE: of}, both, NOW), attempt, Declined(code="lost_card", reference="ch_1"))
    assert take(of, both, given).amount == given.payoff.amount


parts = st.builds(
    Allocation,
    late_fees=st.integers(0, 9),
    fees=st.integers(0, 9),
    interest=st.integers(0, 9),
    principal=st.integers(0, 9),
)
rows = st.lists(
    st.tuples(parts, parts, st.sampled_from(["scheduled", "paid", "cancelled"])), min_size=2, max_size=2
)


@given(rows, rows, st.integers(0, 1))
def test_what_a_quote_stands_on(
    one: list[tuple[Allocation, ...]], two: list[tuple[Allocation, ...]], moves: int
) -> None:
    """Paid, closed, owed but for late fees, and how often money has moved: these alone make the state."""
    first, second, of = payments(), payments(), account()
    for row, each in zip((*one, *two), (*first, *second), strict=True):
        each.owed, each.paid, each.status = row  # type: ignore[assignment]

    def known(rows: list[tuple[Allocation, ...]]) -> list[object]:
        no_fee = [msgspec.structs.replace(owed, late_fees=0) for owed, _, _ in rows]
        return [(owed, b, c == "scheduled") for owed, (_, b, c) in zip(no_fee, rows, strict=True)]

    moved = account()
    moved.money_moves = moves
    assert (state_of(of, first) == state_of(moved, second)) == (known(one) == known(two) and not moves)
    assert state_of(of, list(reversed(first))) == state_of(of, first)


def test_payoff_is_kept_whole() -> None:
    """What is stored of a quote is read back as it was, and a payoff stored without a quote has none."""
    given = ask(account(), payments())
    assert decode_payoff(encode(given.payoff)) == given.payoff
    stored = msgspec.to_builtins(given.payoff)
    del stored["quote_id"]
    assert decode_payoff(encode(stored)).quote_id is None


def told_of(batch: Batch) -> dict[str, dict[str, Any]]:
    return {event.type: json.loads(bytes(event.data)) for event in batch.events}


def asked_for(as_of: date = TODAY, lease_id: str = LEASE) -> tuple[Batch, Outcome]:
    batch = Batch({LEASE: account()}, payments(), NOW)
    command = Command(command_id="c1", type="QuotePayoff", submitted_at=NOW, data=msgspec.Raw(b"{}"))
    return batch, quote_payoff(batch, command, QuotePayoff(quote_id="q1", lease_id=lease_id, as_of=as_of))


def test_command() -> None:
    """One step: the quote is the outcome, told once, and to be written."""
    batch, outcome = asked_for()
    shown = json.loads(bytes(outcome.body))
    assert (outcome.status, outcome.http_status, outcome.location) == (
        "succeeded",
        201,
        "/api/v1/commands/c1",
    )
    breakdown = {"principal": 2000, "accrued_interest": 30, "fees": 25, "late_fees": 0, "credits": 0}
    assert shown == {
        "lease_id": LEASE,
        "as_of": "2027-02-01",
        "amount": 2055,
        "currency": "USD",
        "breakdown": breakdown,
        "interest_saved": 0,
        "refund_due": 0,
        "quote_id": "q1",
        "expires_at": "2027-02-02T00:00:00.000000Z",
    }
    assert told_of(batch) == {"payoff.quoted": shown | {"formula": "payoff/2"}}
    assert outcome.token is not None
    assert read_your_writes.read_token(outcome.token) == read_your_writes.Position("/payment-svc", 1, LEASE)
    assert [given.quote_id for given in batch.quoted] == ["q1"]


def test_refused_command() -> None:
    """404 and 422 tell nothing and write nothing."""
    for (batch, outcome), status in (
        (asked_for(lease_id=OTHER_LEASE), 404),
        (asked_for(TODAY - timedelta(days=1)), 422),
    ):
        assert (outcome.status, outcome.http_status) == ("rejected", status)
        assert (batch.events, batch.quoted) == ([], [])


@pytest.mark.parametrize(
    ("result", "freed"),
    [
        (Charged(reference="ch_1"), False),
        (NoAnswer(reason="timeout"), False),
        (Declined(code="lost_card", reference="ch_1"), True),
        (NotReached(reason="refused"), True),
    ],
)
def test_what_becomes_of_the_quote(result: ChargeResult, freed: bool) -> None:
    """Free again only when certainly no money moved; an unknown one keeps it until the gateway has said."""
    of, both = account(), payments()
    attempt = take(of, both, ask(of, both))
    batch = Batch({LEASE: of}, both, NOW)
    settle(batch, attempt, result)
    assert batch.freed == (["a1"] if freed else [])
    if attempt.status == "unknown":
        settle(batch, attempt, Declined(code="lost_card", reference="ch_1"))
        assert batch.freed == ["a1"]


def test_payoff_without_a_quote_frees_none() -> None:
    """A declined payoff that cites no quote has nothing to give back."""
    of, both = account(), payments()
    attempt = domain.start_payoff(of, both, "a1", "c1", "pm_card_lost", TODAY, NOW)
    batch = Batch({LEASE: of}, both, NOW)
    settle(batch, attempt, Declined(code="lost_card", reference="ch_1"))
    assert batch.freed == []


def test_settled_by_the_quoted_payoff() -> None:
    """Instalments close as of the quoted day, not the day of paying; the event names the quote."""
    of, both = account(), payments()
    given: Payoff = ask(of, both, date(2027, 3, 1)).payoff  # the last due date: 28 days ahead
    attempt = take(of, both, ask(of, both, date(2027, 3, 1)))
    batch = Batch({LEASE: of}, both, NOW)
    outcome = settle(batch, attempt, Charged(reference="ch_1"))
    told = told_of(batch)["payoff.succeeded"]
    assert (told["amount"], told["as_of"], told["quote_id"]) == (given.amount, "2027-03-01", "q1")
    assert [each.status for each in batch.payments_of(LEASE)] == ["paid", "paid"]
    assert json.loads(bytes(outcome.body))["quote_id"] == "q1"
