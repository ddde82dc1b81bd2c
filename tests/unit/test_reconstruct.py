"""A lease's state from its events: against a second book-keeping, in any interleaving, at any point."""

from datetime import timedelta
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_svc import events
from ledger_svc.reconstruct import EMPTY, Basis, apply, fold, select, snapshot
from tests.unit.event_mixes import interleave, random_life, record
from tests.unit.event_samples import LEASES, PAYMENTS, START, Life

randoms = st.randoms(use_true_random=False)


def statuses(life: Life) -> list[tuple[str, int]]:
    state = snapshot(fold(record(life.raws)))
    assert state
    return [(each.status, each.amount_paid) for each in state.payments]


@given(randoms)
def test_fold_agrees_with_the_life_it_tells_of(random: Random) -> None:
    """Status, balance, money and every instalment are those of the independent sums."""
    life = random_life(random)
    state = snapshot(fold(record(life.raws)))
    assert state
    assert (state.status, state.balance, state.amount_paid) == (life.status, life.balance, life.collected)
    assert [(p.number, p.status, p.amount, p.amount_paid) for p in state.payments] == [
        (row.number, row.status, row.amount, row.paid) for row in life.rows
    ]
    open_rows = [each for each in state.payments if each.status != "cancelled"]
    assert state.balance == sum(each.amount - each.amount_paid for each in open_rows)


@given(randoms)
def test_order_between_sources_does_not_matter(random: Random) -> None:
    """Any interleaving that keeps each source's own order gives the same state."""
    life = random_life(random)
    assert fold(record(interleave(life.raws, random))) == fold(record(life.raws))


@given(randoms)
def test_selection_mends_the_order_within_a_source(random: Random) -> None:
    """Recorded in any order at all, everything selected folds to the same state."""
    life = random_life(random)
    shuffled = random.sample(life.raws, len(life.raws))
    assert fold(select(record(shuffled))) == fold(record(life.raws))


@given(randoms, st.sampled_from(["occurred", "recorded"]))
def test_state_at_a_time_is_the_state_then(random: Random, basis: Basis) -> None:
    """In a well-ordered ledger, a time gives exactly the events up to it, the instant itself included."""
    entries = record(random_life(random).raws)
    cut = random.choice(entries)
    as_of = cut.occurred_at if basis == "occurred" else cut.recorded_at
    assert select(entries, as_of=as_of, basis=basis) == entries[: cut.seq]
    assert select(entries, as_of=as_of - timedelta(microseconds=1), basis=basis) == entries[: cut.seq - 1]
    assert select(entries, seq=cut.seq) == entries[: cut.seq]


def test_each_outcome_moves_the_instalment() -> None:
    """Started and unknown are processing; declined and failed open again; succeeded counts, in part too."""
    life = Life(term=2)
    life.create()
    assert statuses(life)[0] == ("scheduled", 0)
    attempt = life.start(1, 5000)
    assert statuses(life)[0] == ("processing", 0)
    life.lose_sight(attempt)
    assert statuses(life)[0] == ("processing", 0)
    life.succeed(attempt)
    assert statuses(life)[0] == ("scheduled", 5000)
    for without in (life.decline, life.fail):
        without(life.start(1))
        assert statuses(life)[0] == ("scheduled", 5000)
    life.succeed(life.start(1))
    assert statuses(life) == [("paid", life.rows[0].amount), ("scheduled", 0)]


def test_a_resolution_alone_moves_nothing() -> None:
    """What the gateway says changes no state; the event that follows does."""
    life = Life()
    life.create()
    before = fold(record(life.raws))
    life.emit(PAYMENTS, "payment.resolved", life.start(1) | {"outcome": "succeeded"})
    assert fold(record([life.raws[0], life.raws[2]])) == before


def test_an_open_instalment_falls_back_to_what_it_was() -> None:
    """A late instalment paid in part is late again after a declined attempt, not scheduled."""
    life = Life(term=2)
    life.create()
    attempt = life.start(1, 5000)
    said = {"amount_paid": 5000, "amount_due": 1, "payment_status": "late"}
    life.emit(PAYMENTS, "payment.succeeded", attempt | said)
    life.decline(life.start(1, 1))
    assert statuses(life)[0] == ("late", 5000)


def test_payoff_closes_every_open_instalment() -> None:
    """Due ones become paid, later ones cancelled with what they had; nothing is left to pay."""
    life = Life(term=4)
    life.due = 2
    life.create()
    life.succeed(life.start(1))
    life.succeed(life.start(3, 700))
    life.decline(life.start(None))
    life.succeed(life.start(None))
    amounts = [row.amount for row in life.rows]
    assert statuses(life)[:2] == [("paid", amounts[0]), ("paid", amounts[1])]
    assert statuses(life)[2:] == [("cancelled", 700), ("cancelled", 0)]
    state = snapshot(fold(record(life.raws)))
    assert state
    assert (state.status, state.balance) == ("paid_off", 0)
    assert state.amount_paid == sum(amounts) - life.saved


def test_paid_off_is_said_by_the_lease_service() -> None:
    """Between the last payment and lease.paid_off the balance is 0 and the lease still active."""
    life = Life(term=1)
    life.create()
    life.succeed(life.start(1))
    entries = record(life.raws)
    before, after = snapshot(fold(entries[:-1])), snapshot(fold(entries))
    assert before
    assert after
    assert (before.status, before.balance) == ("active", 0)
    assert (after.status, after.balance) == ("paid_off", 0)


def test_no_state_before_the_lease_is_created() -> None:
    """Payments recorded before lease.created count as soon as it is there, and show nothing until then."""
    life = Life(term=1)
    life.create()
    life.succeed(life.start(1))
    created, *rest = life.raws
    assert snapshot(EMPTY) is None
    assert snapshot(fold(record(rest[:-1]))) is None
    late = record([*rest[:-1], created, rest[-1]])
    assert fold(late) == fold(record(life.raws))


def test_unknown_type_stops_the_fold() -> None:
    """An event of a type this code does not know is named in an error, never skipped."""
    life = Life()
    life.create()
    life.emit(LEASES, "lease.sold", {})
    with pytest.raises(events.UnknownEventType, match=r"lease\.sold"):
        fold(record(life.raws))


def test_wrong_data_stops_the_fold() -> None:
    """A known type without a field the state stands on is malformed."""
    life = Life()
    life.emit(LEASES, "lease.created", {"currency": "USD"})
    with pytest.raises(events.MalformedEvent, match=r"lease\.created .*missing required field"):
        fold(record(life.raws))


def test_apply_changes_nothing_in_place() -> None:
    """The state before an event stays what it was."""
    life = Life(term=2)
    life.create()
    life.succeed(life.start(1))
    created, started, paid = (events.decode(raw) for raw in life.raws)
    first = apply(apply(EMPTY, created), started)
    kept = msgspec.json.encode(first)
    apply(first, paid)
    assert msgspec.json.encode(first) == kept
    assert apply(EMPTY, created).progress == {}


def test_a_clock_set_back_leaves_no_hole() -> None:
    """An event stamped before its source's previous one counts from that one's time on, and after it."""
    life = Life()
    life.create()
    life.emit(LEASES, "lease.paid_off", {}, time="2026-12-01T08:00:00Z")
    created, paid_off = entries = record(life.raws)
    assert paid_off.occurred_at < created.occurred_at
    assert select(entries, as_of=START) == []
    assert select(entries, as_of=created.occurred_at) == [created, paid_off]


def test_an_event_recorded_late_holds_back_what_follows_it() -> None:
    """Re-emitted out of order, an event and its successors of the same source count from its own entry on."""
    life = Life()
    life.create()
    life.start(1)
    life.start(2)
    entries = record([life.raws[0], life.raws[2], life.raws[1]])
    assert select(entries, seq=2) == entries[:1]
    assert select(entries, seq=3) == [entries[0], entries[2], entries[1]]


def test_one_point_only() -> None:
    """A time and a seq at once are refused."""
    with pytest.raises(ValueError, match="not both"):
        select([], as_of=START, seq=1)


def test_late_fees_and_delinquency() -> None:
    """A fee raises the instalment and the balance; the lease is delinquent until cured, or paid off."""
    life = Life(term=2, principal=20_000)
    life.create()
    before = life.balance
    started = life.start(1)
    life.be_late(1, fee=700)
    state = snapshot(fold(record(life.raws)))
    assert state
    assert (state.status, state.balance) == ("delinquent", before + 700)
    assert (state.payments[0].status, state.payments[0].amount) == ("processing", life.rows[0].amount)
    life.decline(started)
    assert statuses(life)[0] == ("late", 0)
    life.be_cured()
    state = snapshot(fold(record(life.raws)))
    assert state
    assert state.status == "active"
