"""The running totals against counting everything anew."""

from functools import reduce
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_svc import events
from ledger_svc.reconstruct import fold
from ledger_svc.totals import EMPTY, Amounts, PaymentTotals, Totals, add, success_rate
from tests.unit.event_mixes import interleave, random_life, record
from tests.unit.event_samples import LEASES, Life

randoms = st.randoms(use_true_random=False)


def total(raws: list[bytes]) -> Totals:
    return reduce(add, (events.decode(raw) for raw in raws), EMPTY)


@given(randoms)
def test_totals_are_those_of_every_lease_folded(random: Random) -> None:
    """Money by currency equals the sums over the folded leases; unknown, the attempts without an answer."""
    lives = [random_life(random) for _ in range(random.randint(1, 4))]
    totals = total([raw for life in lives for raw in life.raws])
    amounts: dict[str, list[int]] = {}
    for life in lives:
        state = fold(record(life.raws))
        sums = amounts.setdefault(life.currency, [0, 0, 0, 0])
        for place, part in enumerate((state.billed, state.collected, 0, state.balance)):
            sums[place] += part
    assert totals.amounts == {currency: Amounts(*sums) for currency, sums in amounts.items()}
    assert totals.leases_total == len(lives)
    assert totals.events_total == sum(len(life.raws) for life in lives) == sum(totals.events_by_type.values())
    assert totals.payments.unknown == sum(len(life.unresolved) for life in lives)


@given(randoms)
def test_order_does_not_matter_and_json_keeps_everything(random: Random) -> None:
    """Interleaved leases and sources give the same totals, also stored and read back after each event."""
    raws = random_life(random).raws + random_life(random).raws
    stored = EMPTY
    for raw in interleave(raws, random):
        stored = msgspec.json.decode(msgspec.json.encode(add(stored, events.decode(raw))), type=Totals)
    assert stored == total(raws)


def test_totals_of_one_life_by_hand() -> None:
    """An instalment paid, one declined, one resolved, one unknown, the payoff declined and then made."""
    life = Life(term=3)
    life.create()
    life.succeed(life.start(1))
    life.decline(life.start(2))
    lost = life.start(2)
    life.lose_sight(lost)
    assert total(life.raws).payments == PaymentTotals(succeeded=1, declined=1, unknown=1)
    life.fail(lost)
    life.decline(life.start(None))
    life.succeed(life.start(None))
    totals = total(life.raws)
    assert totals.payments == PaymentTotals(succeeded=2, declined=2, unknown=0)
    assert success_rate(totals.payments) == 0.5
    billed = sum(row.amount for row in life.rows)
    assert totals.amounts == {"USD": Amounts(billed=billed, collected=billed - life.saved)}
    assert totals.events_by_type["payment.attempt_started"] == 5


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
    with pytest.raises(events.MalformedEvent):
        total(life.raws)


def test_a_late_fee_is_billed_and_outstanding() -> None:
    """It is money to be paid, in the currency of its lease."""
    life = Life(term=1, principal=10_000)
    life.create()
    before = total(life.raws).amounts["USD"]
    life.be_late(1, fee=700)
    after = total(life.raws).amounts["USD"]
    assert (after.billed - before.billed, after.outstanding - before.outstanding) == (700, 700)
    assert after.collected == 0
