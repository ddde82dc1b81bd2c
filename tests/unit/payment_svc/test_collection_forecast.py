"""A dry run says what the run then does, where every card is good. Pure."""

from datetime import date
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from payment_svc.application.gateway import NoAnswer
from payment_svc.domain.collection_forecast import DryRunResult, Forecast
from tests.unit.payment_svc.test_collection_rules import DUE, OK, SOFT, Lease, day

NUMBERS = st.lists(st.integers(0, 100), min_size=1, max_size=6)


def forecast(lease: Lease, as_of: date) -> DryRunResult:
    """What a run would do with one lease; nothing of it changes."""
    adding = Forecast(as_of)
    if lease.has_to_look(as_of):
        open_ones = [payment for payment in lease.payments if payment.open]
        reached = [payment for payment in open_ones if payment.due_date <= as_of]
        later = [payment.due_date for payment in open_ones if payment.due_date > as_of]
        adding.add(lease.account, reached, min(later, default=None))
    return adding.result()


def state(lease: Lease) -> Any:
    return msgspec.to_builtins([lease.account, lease.payments])


@given(
    before=NUMBERS,
    after=st.integers(0, 60),
    autopay=st.booleans(),
    grace=st.integers(0, 10),
    term=st.integers(1, 4),
    by_hand=st.none() | st.integers(0, 3),
)
def test_a_dry_run_counts_what_the_run_then_does(
    before: list[int], after: int, autopay: bool, grace: int, term: int, by_hand: int | None
) -> None:
    """After any days on which cards were declined, and any payment by hand: the same counts and sums."""
    lease = Lease(autopay=autopay, grace=grace, term=term)
    for number in sorted(before):
        found = forecast(lease, day(number))
        lease.run(day(number), *[SOFT] * found.attempted)
    if by_hand is not None and by_hand < term and lease.payments[by_hand].open:
        lease.pay(by_hand)
    as_of = day(max(before) + after)
    untouched = state(lease)
    expected = forecast(lease, as_of)
    assert (state(lease), forecast(lease, as_of)) == (untouched, expected)
    told, amounts = len(lease.told), len(lease.amounts)
    counts = lease.run(as_of, *[OK] * expected.attempted)
    types = lease.told[told:]
    did = (counts.leases, counts.due, counts.attempted, counts.late_fees, counts.delinquent) if counts else ()
    assert (did or (0,) * 5) == (
        expected.leases,
        expected.due,
        expected.attempted,
        expected.late_fees,
        expected.delinquent,
    )
    assert (types.count("payment.succeeded"), types.count("lease.cured")) == (
        expected.succeeded,
        expected.cured,
    )
    charged = lease.amounts[amounts:]
    assert sum(each.amount for each in expected.charges) == sum(charged)
    assert sum(each.count for each in expected.charges) == len(charged)
    assert sum(each.amount for each in expected.fees) == 15 * expected.late_fees


def test_an_instalment_that_would_be_tried_is_fined_in_no_dry_run() -> None:
    """Even where its grace is over; one that nobody would try is."""
    tried, left = Lease(grace=2), Lease(autopay=False)
    for number in (0, 1):
        tried.run(day(number), SOFT)
    found = forecast(tried, day(3))
    assert (found.attempted, found.late_fees, found.delinquent) == (1, 0, 0)
    found = forecast(left, day(6))
    assert (found.attempted, found.late_fees, found.delinquent) == (0, 1, 1)
    assert msgspec.to_builtins(found.fees) == [{"currency": "USD", "count": 1, "amount": 15}]
    assert (found.run_id, found.dry_run, found.as_of) == (None, True, day(6))


def test_what_waits_for_an_attempt_under_way_is_not_counted() -> None:
    """Six past instalments: all of them by one run; none while the first is unknown, nor a fee for any."""
    lease, as_of = Lease(term=6), date(2027, 6, 20)
    assert (forecast(lease, as_of).attempted, forecast(lease, as_of).charges[0].amount) == (6, 600)
    lease.run(as_of, NoAnswer(reason="timeout"))
    later = forecast(lease, date(2027, 6, 28))
    assert (later.attempted, later.late_fees, later.delinquent, later.charges) == (0, 0, 0, [])


def test_it_may_look_at_any_day() -> None:
    """A lease that is not due by then does not count; a mistyped century is only a large sum."""
    lease = Lease(term=4)
    assert forecast(lease, DUE.replace(year=2026)).leases == 0
    found = forecast(lease, date(2062, 11, 28))
    assert msgspec.to_builtins(found.charges) == [{"currency": "USD", "count": 4, "amount": 400}]
