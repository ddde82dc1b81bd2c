"""The running totals against counting everything anew."""

from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger_svc.accounting.account_balances import trial_balance
from ledger_svc.accounting.totals import EMPTY, Amounts, PaymentTotals, Totals, add, success_rate
from ledger_svc.contracts import envelope
from ledger_svc.log.recorded_closings import Recorded
from ledger_svc.views.point_in_time import fold
from tests.support.builders.event_mixes import interleave, random_life, record
from tests.support.builders.events import LEASES, Life

randoms = st.randoms(use_true_random=False)


def total(raws: list[bytes]) -> Totals:
    totals, recorded = EMPTY, Recorded()
    for event in map(envelope.decode, raws):
        totals = add(totals, event, recorded.of(event))
        recorded.note(event)
    return totals


@given(randoms)
def test_totals_are_those_of_every_lease_folded(random: Random) -> None:
    """Money by currency equals the sums over the folded leases; unknown, the attempts without an answer."""
    lives = [random_life(random) for _ in range(random.randint(1, 4))]
    totals = total([raw for life in lives for raw in life.raws])
    amounts: dict[str, list[int]] = {}
    for life in lives:
        state = fold(record(life.raws))
        sums = amounts.setdefault(life.currency, [0, 0, 0, 0])
        collected = state.collected + life.refunded
        for place, part in enumerate((state.billed, collected, life.refunded, state.balance)):
            sums[place] += part
    assert totals.amounts == {currency: Amounts(*sums) for currency, sums in amounts.items()}
    assert totals.leases_total == len(lives)
    assert totals.events_total == sum(len(life.raws) for life in lives) == sum(totals.events_by_type.values())
    assert totals.payments.unknown == sum(len(life.unresolved) for life in lives)


@given(randoms)
def test_order_does_not_matter_and_json_keeps_everything(random: Random) -> None:
    """Any order, also with events that come late, gives the same totals, stored and read back after each."""
    raws = random_life(random).raws + random_life(random).raws
    stored, recorded = EMPTY, Recorded()
    mixed = interleave(raws, random) if random.random() < 0.5 else random.sample(raws, len(raws))
    for event in map(envelope.decode, mixed):
        stored = add(stored, event, recorded.of(event))
        stored = msgspec.json.decode(msgspec.json.encode(stored), type=Totals)
        recorded.note(event)
    straight = total(raws)
    assert _balances(stored) == _balances(straight)  # debits and credits alone depend on who came first
    assert replace(stored, books=None) == replace(straight, books=None)


def _balances(totals: Totals) -> dict[str, dict[str, int]]:
    assert totals.books is not None
    shown = trial_balance(totals.books)
    return {
        currency: {each.account: each.balance for each in its.accounts if each.balance}
        for currency, its in shown.items()
    }


def test_books_that_were_never_kept_stay_unknown() -> None:
    """Totals that were stored without books go on without: a sum that began in the middle would be wrong."""
    life = Life()
    life.create()
    old = msgspec.json.decode(b'{"events_total": 7, "leases_total": 2}', type=Totals)
    after = add(old, envelope.decode(life.raws[0]))
    assert (after.leases_total, after.books) == (3, None)


def test_totals_of_one_life_by_hand() -> None:
    """An instalment paid, one declined, one resolved, one unknown; the payoff quoted, declined, made."""
    life = Life(term=3)
    life.create()
    life.succeed(life.start(1))
    life.decline(life.start(2))
    lost = life.start(2)
    life.lose_sight(lost)
    assert total(life.raws).payments == PaymentTotals(succeeded=1, declined=1, unknown=1)
    life.fail(lost)
    before = total(life.raws)
    life.quote()
    quoted = total(life.raws)
    assert (quoted.payments, quoted.amounts) == (before.payments, before.amounts)
    life.decline(life.start(None))
    life.succeed(life.start(None))
    totals = total(life.raws)
    assert totals.payments == PaymentTotals(succeeded=2, declined=2, unknown=0)
    assert success_rate(totals.payments) == 0.5
    billed = sum(row.amount for row in life.rows)
    assert totals.amounts == {"USD": Amounts(billed=billed, collected=billed - life.saved)}
    assert totals.events_by_type["payment.attempt_started"] == 5


@pytest.mark.parametrize("unseen", [0, 1])
@pytest.mark.parametrize("closing_first", [False, True])
def test_closing_by_hand(unseen: int, closing_first: bool) -> None:
    """Of a closed lease nothing is outstanding, whether or not the closing knew of the last payment.

    All that was billed stays billed, and what comes in afterwards is collected all the same.
    """
    life = Life(term=3)
    life.create()
    life.succeed(life.start(1))
    late = life.start(3)
    life.succeed(life.start(2, 100))
    life.close(unseen=unseen)
    if closing_first:  # the ledger hears of the closing before the payment
        life.raws[-2:] = reversed(life.raws[-2:])
    first = life.rows[0].amount
    billed = sum(row.amount for row in life.rows)
    assert total(life.raws).amounts == {"USD": Amounts(billed=billed, collected=first + 100)}
    life.learn()
    life.succeed(late)
    collected = first + 100 + life.rows[2].amount
    assert total(life.raws).amounts == {"USD": Amounts(billed=billed, collected=collected)}


@pytest.mark.parametrize("knows", [False, True])
def test_a_payoff_in_flight_when_it_is_closed(knows: bool) -> None:
    """Nothing is outstanding either, whether or not the payment service knew when the payoff succeeded."""
    life = Life(term=3)
    life.create()
    payoff = life.start(None)
    life.close("cancelled")
    if knows:
        life.learn()
    life.succeed(payoff)
    billed = sum(row.amount for row in life.rows)
    assert total(life.raws).amounts == {"USD": Amounts(billed=billed, collected=payoff["amount"])}


def test_success_rate_without_answers() -> None:
    """No answer yet is no rate, neither 0 nor 1; a third is rounded."""
    assert success_rate(EMPTY.payments) is None
    assert success_rate(PaymentTotals(succeeded=1, declined=2)) == 0.333333


def test_unknown_type_is_counted_and_moves_nothing() -> None:
    """The record goes on when a newer service speaks; the type shows by its name."""
    life = Life()
    life.create()
    before = total(life.raws)
    life.emit(LEASES, "lease.sold", {"price": 1})
    after = total(life.raws)
    assert after.events_by_type == {"lease.created": 1, "lease.sold": 1}
    assert (after.amounts, after.payments) == (before.amounts, before.payments)


def test_wrong_data_is_not_counted_silently() -> None:
    """A known type without its amount is an error."""
    life = Life()
    life.emit(LEASES, "lease.created", {"currency": "USD"})
    with pytest.raises(envelope.MalformedEvent):
        total(life.raws)


def test_money_given_back_by_hand() -> None:
    """It is refunded, not uncollected, and outstanding again; refunds are no payments."""
    life = Life(term=3)
    life.create()
    first = life.start(1)
    life.succeed(first)
    life.refund(first, 300)
    life.refund(first, 100, "chargeback")
    life.decline(life.start(1, 50) | {"kind": "refund"})
    lost = life.start(1, 50) | {"kind": "refund"}
    life.lose_sight(lost)
    totals = total(life.raws)
    assert totals.payments == PaymentTotals(succeeded=1, declined=0, unknown=0)
    collected = first["amount"]
    billed = sum(row.amount for row in life.rows)
    assert totals.amounts["USD"] == Amounts(
        billed=billed, collected=collected, refunded=400, outstanding=billed - collected + 400
    )


@pytest.mark.parametrize("unseen", [0, 2, 3])
@pytest.mark.parametrize("given_back", ["before", "unaware", "aware"])
@given(random=randoms)
def test_money_given_back_on_a_closed_lease(unseen: int, given_back: str, random: Random) -> None:
    """It is refunded and not outstanding, whichever of refund and closing knew of the other."""
    life = Life(term=3)
    life.create()
    first, part = life.start(1), life.start(2)
    life.succeed(first)
    life.succeed(part)
    if given_back == "before":
        life.refund(first, 300)
    life.close(unseen=unseen)
    if given_back == "unaware":
        life.refund(first, 300)
    life.learn()
    if given_back == "aware":
        life.refund(first, 300)
    life.refund(part, part["amount"], "chargeback")
    billed = sum(row.amount for row in life.rows)
    collected, refunded = first["amount"] + part["amount"], 300 + part["amount"]
    for raws in (life.raws, interleave(life.raws, random)):
        amounts = Amounts(billed=billed, collected=collected, refunded=refunded)
        assert total(raws).amounts == {"USD": amounts}


@pytest.mark.parametrize("knows_paid", [False, True])
@pytest.mark.parametrize("knows_back", [False, True])
@given(random=randoms)
def test_a_payoff_of_a_closed_lease_given_back(knows_paid: bool, knows_back: bool, random: Random) -> None:
    """Nor is what a payoff saved outstanding again, whenever the payment service learned of the closing."""
    life = Life(term=3)
    life.create()
    payoff = life.start(None)
    life.close()
    if knows_paid:
        life.learn()
    life.succeed(payoff)
    if knows_back and not life.knows:
        life.learn()
    life.refund(payoff, payoff["amount"])
    billed, amount = sum(row.amount for row in life.rows), payoff["amount"]
    for raws in (life.raws, interleave(life.raws, random)):
        amounts = Amounts(billed=billed, collected=amount, refunded=amount)
        assert total(raws).amounts == {"USD": amounts}


def test_a_late_fee_is_billed_and_outstanding() -> None:
    """It is money to be paid, in the currency of its lease."""
    life = Life(term=1, principal=10_000)
    life.create()
    before = total(life.raws).amounts["USD"]
    life.be_late(1, fee=700)
    after = total(life.raws).amounts["USD"]
    assert (after.billed - before.billed, after.outstanding - before.outstanding) == (700, 700)
    assert after.collected == 0


@pytest.mark.parametrize("how", ["cancelled", "charged_off"])
@pytest.mark.parametrize("unseen", [0, 1, 2])
@given(random=randoms)
def test_late_fees_of_a_closed_lease(how: str, unseen: int, random: Random) -> None:
    """Billed they stay, outstanding they are not, whether the closing knew of them or not, in any order."""
    life = Life(term=3)
    life.create()
    life.be_late(1, fee=700)  # two events; the first is the fee
    life.close(how, unseen=unseen)
    life.be_late(2, fee=500)
    for raws in (life.raws, interleave(life.raws, random)):
        assert total(raws).amounts == {"USD": Amounts(billed=life.agreed + 1200)}


@given(random=randoms)
def test_a_late_fee_that_was_paid_and_given_back(random: Random) -> None:
    """Billed once, collected, refunded and outstanding again; on a closed lease not outstanding."""
    life = Life(term=1)
    life.create()
    life.be_late(1, fee=700)
    paying = life.start(1)
    life.succeed(paying)
    life.refund(paying, 1000)
    billed = life.agreed + 700
    sums = Amounts(billed=billed, collected=billed, refunded=1000, outstanding=1000)
    assert total(interleave(life.raws, random)).amounts == {"USD": sums}
    life.close()
    life.refund(paying, 200)
    sums = Amounts(billed=billed, collected=billed, refunded=1200)
    assert total(interleave(life.raws, random)).amounts == {"USD": sums}
