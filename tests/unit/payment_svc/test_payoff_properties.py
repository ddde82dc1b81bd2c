"""What holds for every payoff, whatever has been paid, and that it is what the rule says word by word."""

from datetime import date, timedelta
from fractions import Fraction
from typing import NamedTuple

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from common.kernel.day_count import year_fraction
from lease_svc.domain import schedule
from payment_svc.domain.allocation import Allocation, allocate
from payment_svc.domain.payoff import CUT, Instalment, Terms, payoff


class Case(NamedTuple):
    terms: Terms
    instalments: list[Instalment]

    @property
    def balance(self) -> int:
        return sum((one.owed - one.paid).total for one in self.instalments if one.open)

    @property
    def maturity(self) -> date:
        return self.instalments[-1].due_date


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A lease with some instalments paid, some in part, some not at all, in any order, and some late fees."""
    start = draw(st.dates(date(2023, 1, 1), date(2028, 12, 31)))
    terms = schedule.Terms(
        currency="USD",
        principal=draw(st.integers(1000, 10**8)),
        annual_rate=draw(st.decimals("0", "3", places=4).map(str)),
        term=draw(st.integers(1, 14)),
        frequency=draw(st.sampled_from(["weekly", "biweekly", "semimonthly", "monthly"])),
        day_count=draw(st.sampled_from(["30/360", "actual/365", "actual/360", "actual/actual"])),
        start_date=start,
        first_due_date=draw(st.none() | st.integers(1, 100).map(lambda days: start + timedelta(days=days))),
        fees=draw(st.sampled_from([0, 2500])),
    )
    try:
        rows = schedule.build(terms).rows
    except schedule.ScheduleError:
        assume(False)
    instalments = []
    for row in rows:
        late_fees = draw(st.sampled_from([0, 0, 1500]))
        owed = Allocation(late_fees=late_fees, fees=row.fees, interest=row.interest, principal=row.principal)
        amount = draw(st.sampled_from([0, owed.total]) | st.integers(0, owed.total))
        paid = allocate(owed, Allocation(), amount) if amount else Allocation()
        instalments.append(
            Instalment(
                number=row.number,
                due_date=row.due_date,
                owed=owed,
                paid=paid,
                principal_balance=row.principal_balance,
                open=paid != owed,
            )
        )
    mine = Terms(
        principal=terms.principal, annual_rate=terms.annual_rate, day_count=terms.day_count, start_date=start
    )
    return Case(mine, instalments)


def some_day(case: Case, data: st.DataObject) -> date:
    """A day from the start until a while after maturity."""
    days = (case.maturity - case.terms.start_date).days
    return case.terms.start_date + timedelta(days=data.draw(st.integers(0, days + 40)))


def by_the_rule(case: Case, as_of: date) -> int:
    """The amount as the rule words it, which may fall below nothing."""
    terms, all_of_them = case.terms, case.instalments
    left = [(one, one.owed - one.paid) for one in all_of_them]
    amount = sum(unpaid.principal for _, unpaid in left)
    amount += sum(unpaid.interest for one, unpaid in left if one.due_date <= as_of)
    amount += sum(unpaid.fees + unpaid.late_fees for _, unpaid in left)
    amount -= sum(one.paid.interest for one in all_of_them if one.due_date > as_of)
    past = [one for one in all_of_them if one.due_date <= as_of]
    coming = [one for one in all_of_them if one.due_date > as_of]
    if coming:
        balance = past[-1].principal_balance if past else terms.principal
        since = past[-1].due_date if past else terms.start_date
        year = Fraction(*year_fraction(terms.day_count, since, as_of))
        amount += min(coming[0].owed.interest, round(balance * Fraction(terms.annual_rate) * year))
    return amount


@settings(max_examples=300, deadline=None)
@given(cases(), st.data())
def test_the_amount_is_that_of_the_rule_and_every_sum_is_its_parts(case: Case, data: st.DataObject) -> None:
    """Amount, breakdown and allocation agree; amount and what is saved are the balance; none is negative."""
    as_of = some_day(case, data)
    found = payoff(case.terms, case.instalments, as_of)
    parts = found.breakdown
    assert found.amount - found.refund_due == by_the_rule(case, as_of)
    assert min(found.amount, found.refund_due) == 0
    assert (
        found.amount - found.refund_due
        == parts.principal + parts.accrued_interest + parts.fees + parts.late_fees - parts.credits
    )
    assert found.amount == found.allocation.total
    assert found.allocation.interest == parts.accrued_interest - parts.credits + found.refund_due
    assert found.amount + found.interest_saved - found.refund_due == case.balance
    assert found.refund_due <= sum(one.paid.interest for one in case.instalments if one.due_date > as_of)
    assert found.interest_saved >= found.refund_due
    assert min(parts.principal, parts.accrued_interest, parts.fees, parts.late_fees, parts.credits) >= 0


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(0, 400))
def test_from_maturity_on_the_amount_is_the_balance(case: Case, days: int) -> None:
    """There is no interest left to save and none to give back."""
    found = payoff(case.terms, case.instalments, case.maturity + timedelta(days=days))
    assert (found.amount, found.interest_saved, found.breakdown.credits) == (case.balance, 0, 0)


@settings(max_examples=150, deadline=None)
@given(cases(), st.data())
def test_waiting_never_makes_it_cheaper(case: Case, data: st.DataObject) -> None:
    """From any day to any later one the amount does not fall, within a period and across due dates."""
    days = sorted((some_day(case, data), some_day(case, data)))
    one, two = (payoff(case.terms, case.instalments, day) for day in days)
    assert one.amount <= two.amount
    assert one.refund_due >= two.refund_due


@settings(max_examples=150, deadline=None)
@given(cases(), st.data())
def test_the_formula_of_before_is_the_same_but_cut_at_zero(case: Case, data: st.DataObject) -> None:
    """Where nothing is due back both give the same; where it is, the credits were cut to what was owed."""
    as_of = some_day(case, data)
    now = payoff(case.terms, case.instalments, as_of)
    before = payoff(case.terms, case.instalments, as_of, formula=CUT)
    cut = replace(now.breakdown, credits=now.breakdown.credits - now.refund_due)
    assert before == replace(
        now, formula=CUT, breakdown=cut, interest_saved=now.interest_saved - now.refund_due
    )


@settings(max_examples=150, deadline=None)
@given(cases(), st.data())
def test_every_open_instalment_and_no_other_is_settled(case: Case, data: st.DataObject) -> None:
    """Due ones become paid in full, later ones are cancelled and keep what was paid.

    The amount is shared out among them, on no instalment and for nothing more than it asks for.
    """
    as_of = some_day(case, data)
    found = payoff(case.terms, case.instalments, as_of)
    settled = found.instalments
    assert [(one.number, one.status, one.amount_paid) for one in settled] == [
        (one.number, "paid", one.owed.total)
        if one.due_date <= as_of
        else (one.number, "cancelled", one.paid.total)
        for one in case.instalments
        if one.open
    ]
    shares = sum((one.share for one in settled), Allocation())
    assert shares.total == found.amount
    assert found.allocation.interest < 0 or shares == found.allocation
    for one in settled:
        for part in ("late_fees", "fees", "interest", "principal"):
            assert 0 <= getattr(one.share, part) <= getattr(one.owed - one.paid, part)
