"""A lease's state from its events: against a second book-keeping, in any interleaving, at any point."""

from datetime import timedelta
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_svc.contracts import envelope
from ledger_svc.views.point_in_time import EMPTY, Basis, Missing, apply, fold, missing, select, snapshot
from tests.support.builders.event_mixes import interleave, random_life, record
from tests.support.builders.events import LEASES, NOTHING, PAYMENTS, START, Life, allocation

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
    assert (state.status, state.balance, state.amount_paid) == (
        life.status,
        life.balance,
        life.collected - life.refunded,
    )
    assert [(p.number, p.status, p.amount, p.amount_paid) for p in state.payments] == [
        (row.number, row.status, row.amount, row.paid) for row in life.rows
    ]
    if life.closed:
        assert state.balance == 0
        return
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


def test_a_quote_moves_nothing() -> None:
    """A payoff that is only promised changes neither money nor instalments."""
    life = Life()
    life.create()
    before = fold(record(life.raws))
    life.quote()
    assert fold(record(life.raws)) == before


def test_an_open_instalment_falls_back_to_what_it_was() -> None:
    """A late instalment paid in part is late again after a declined attempt, not scheduled."""
    life = Life(term=2)
    life.create()
    attempt = life.start(1, 5000)
    said = {"amount_paid": 5000, "amount_due": 1, "payment_status": "late", "allocation": allocation(NOTHING)}
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


@pytest.mark.parametrize("how", ["cancelled", "charged_off"])
def test_closing_leaves_nothing_to_be_paid(how: str) -> None:
    """What was paid stays paid, every other instalment is cancelled, and the balance is 0 at once."""
    life = Life(term=3)
    life.create()
    life.succeed(life.start(1))
    life.succeed(life.start(2, 100))
    life.close(how)
    state = snapshot(fold(record(life.raws)))
    assert state
    assert (state.status, state.balance, state.amount_paid) == (how, 0, life.rows[0].amount + 100)
    assert statuses(life) == [("paid", life.rows[0].amount), ("cancelled", 100), ("cancelled", 0)]


@pytest.mark.parametrize("knows", [False, True])
@given(random=randoms)
def test_a_payment_that_succeeds_on_a_closed_lease(knows: bool, random: Random) -> None:
    """Its money counts and the balance stays 0, in any interleaving; meanwhile it is processing."""
    life = Life(term=3)
    life.create()
    paying, declined, lost = life.start(1), life.start(2), life.start(3)
    life.close()
    assert [status for status, _ in statuses(life)] == ["processing"] * 3
    if knows:  # otherwise the payment was recorded before the payment service heard of it
        life.learn()
    life.succeed(paying)
    life.decline(declined)
    life.lose_sight(lost)
    paid, amount = "cancelled" if knows else "paid", life.rows[0].amount
    assert statuses(life) == [(paid, amount), ("cancelled", 0), ("processing", 0)]
    life.fail(lost)
    assert statuses(life) == [(paid, amount), ("cancelled", 0), ("cancelled", 0)]
    entries = record(interleave(life.raws, random))
    assert fold(entries) == fold(record(life.raws))
    state = snapshot(fold(entries))
    assert state
    assert (state.status, state.balance, state.amount_paid) == ("charged_off", 0, amount)


@pytest.mark.parametrize("knows", [False, True])
@given(random=randoms)
def test_money_given_back_after_closing_changes_what_was_paid(knows: bool, random: Random) -> None:
    """The balance stays 0, the lease closed, the instalments cancelled; in flight they are processing."""
    life = Life(term=3)
    life.create()
    whole, part = life.start(1), life.start(2, 100)
    life.succeed(whole)
    life.succeed(part)
    life.close()
    if knows:
        life.learn()
    life.refund(whole, 40)
    life.refund(part, 100, "chargeback")
    left = life.rows[0].amount - 40
    assert statuses(life) == [("cancelled", left), ("cancelled", 0), ("cancelled", 0)]
    in_flight = life.start(1, 10) | {"kind": "refund"}
    assert statuses(life)[0] == ("processing", left)
    life.emit(PAYMENTS, "payment.failed", in_flight | {"reason": "connection_refused"})
    entries = record(interleave(life.raws, random))
    assert fold(entries) == fold(record(life.raws))
    assert statuses(life)[0] == ("cancelled", left)
    state = snapshot(fold(entries))
    assert state
    assert (state.status, state.balance, state.amount_paid) == ("charged_off", 0, left)


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
    with pytest.raises(envelope.UnknownEventType, match=r"lease\.sold"):
        fold(record(life.raws))


def test_wrong_data_stops_the_fold() -> None:
    """A known type without a field the state stands on is malformed."""
    life = Life()
    life.emit(LEASES, "lease.created", {"currency": "USD"})
    with pytest.raises(envelope.MalformedEvent, match=r"lease\.created .*missing required field"):
        fold(record(life.raws))


def test_apply_changes_nothing_in_place() -> None:
    """The state before an event stays what it was."""
    life = Life(term=2)
    life.create()
    life.succeed(life.start(1))
    created, started, paid = (envelope.decode(raw) for raw in life.raws)
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


def test_an_event_recorded_late_stands_before_its_successor() -> None:
    """Until it comes, what is folded says what is missing; then it is folded where it belongs."""
    life = Life()
    life.create()
    life.start(1)
    life.start(2)
    entries = record([life.raws[0], life.raws[2], life.raws[1]])
    assert select(entries, seq=2) == entries[:2]
    assert missing(select(entries, seq=2)) == [Missing(source=PAYMENTS, first=1, last=1)]
    assert select(entries, seq=3) == [entries[0], entries[2], entries[1]]
    assert missing(entries) == []
    happened = entries[2].occurred_at
    assert select(entries, as_of=happened) == [entries[0], entries[2]]
    assert select(entries, as_of=happened, basis="recorded") == []


@given(randoms)
def test_what_was_known_then_does_not_change(random: Random) -> None:
    """Whatever is recorded later and in which order, a seq and a time of recording select what they did."""
    raws = random_life(random).raws
    entries = record(random.sample(raws, len(raws)))
    cut = random.choice(entries)
    then = entries[: cut.seq]
    assert select(entries, seq=cut.seq) == select(then)
    if len(entries) == cut.seq or entries[cut.seq].recorded_at > cut.recorded_at:
        assert select(entries, as_of=cut.recorded_at, basis="recorded") == select(then)


def test_one_point_only() -> None:
    """A time and a seq at once are refused."""
    with pytest.raises(ValueError, match="not both"):
        select([], as_of=START, seq=1)


def test_money_given_back_is_owed_again() -> None:
    """An instalment is open again with what went back; of a payoff it may ask for less than the schedule."""
    life = Life(term=2)
    life.create()
    first = life.start(1)
    life.succeed(first)
    life.refund(first, 700)
    amount = life.rows[0].amount
    assert statuses(life)[0] == ("scheduled", amount - 700)
    payoff = life.start(None)
    life.succeed(payoff)
    state = snapshot(fold(record(life.raws)))
    assert state
    assert (state.status, state.balance) == ("paid_off", 0)
    changed = {"number": 2, "status": "scheduled", "amount": 60_000, "amount_paid": 59_500}
    data = payoff | {"attempt_id": "r", "kind": "refund", "amount": 500}
    data |= {"reason": "x", "instalments": [changed], "interest_owed_again": 0}
    data |= {"allocation": allocation((0, 0, 0, 500))}
    life.emit(PAYMENTS, "payment.refunded", data)
    life.emit(LEASES, "lease.reopened", {"currency": "USD", "balance": 500, "cause": "refund"})
    after = snapshot(fold(record(life.raws)))
    assert after
    assert (after.status, after.balance, after.amount_paid) == ("active", 500, state.amount_paid - 500)
    assert (after.payments[1].amount, after.payments[1].amount_paid) == (60_000, 59_500)


def test_what_is_open_again_beside_it_may_be_in_flight() -> None:
    """Money of one instalment goes back and opens another again, which is being refunded: processing."""
    life = Life(term=2)
    life.create()
    first, second = life.start(1), life.start(2)
    for attempt in (first, second):
        life.succeed(attempt)
    refund = life.start(2, 100) | {"kind": "refund"}
    rows = [
        {"number": number, "status": "scheduled", "amount": 60_000, "amount_paid": paid}
        for number, paid in ((1, 59_300), (2, 59_900))
    ]
    data = first | {"attempt_id": "c", "kind": "chargeback", "amount": 700, "notice_id": "n"}
    data |= {"reason": "fraud", "instalments": rows, "interest_owed_again": 0}
    data |= {"allocation": allocation((0, 0, 0, 700))}
    life.emit(PAYMENTS, "payment.charged_back", data)
    assert statuses(life) == [("scheduled", 59_300), ("processing", 59_900)]
    life.decline(refund)
    assert statuses(life)[1] == ("scheduled", 59_900)


def test_a_refund_that_is_not_made_leaves_a_paid_instalment_paid() -> None:
    """While it is in flight the instalment is processing; declined, it is paid as before."""
    life = Life(term=1)
    life.create()
    life.succeed(life.start(1))
    paid = statuses(life)
    refund = life.start(1, 100) | {"kind": "refund"}
    assert statuses(life)[0][0] == "processing"
    life.decline(refund)
    assert statuses(life) == paid


def test_money_given_back_on_a_closed_lease_is_not_owed() -> None:
    """Where the instalment stays cancelled, the balance stays what it was."""
    life = Life(term=1)
    life.create()
    life.succeed(life.start(1, 500))
    before = fold(record(life.raws))
    changed = {"number": 1, "status": "cancelled", "amount": life.rows[0].amount, "amount_paid": 0}
    data = life.start(1, 500) | {"kind": "refund", "reason": "x", "instalments": [changed]}
    data |= {"allocation": allocation((0, 500, 0, 0)), "interest_owed_again": 0}
    life.emit(PAYMENTS, "payment.refunded", data)
    after = fold(record(life.raws))
    assert (after.balance, after.collected) == (before.balance, 0)


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


@pytest.mark.parametrize("kind", ["refund", "chargeback"])
@given(random=randoms)
def test_a_late_fee_that_was_paid_and_given_back(kind: str, random: Random) -> None:
    """The instalment asks for its late fee again; the lease that it had paid off is active, in any order."""
    life = Life(term=1, principal=20_000)
    life.create()
    life.be_late(1, fee=700)
    paying = life.start(1)
    life.succeed(paying)
    with_fee = life.agreed + 700
    assert (paying["amount"], life.status) == (with_fee, "paid_off")
    assert statuses(life) == [("paid", with_fee)]
    life.refund(paying, 1000, kind)
    entries = record(interleave(life.raws, random))
    assert fold(entries) == fold(record(life.raws))
    state = snapshot(fold(entries))
    assert state
    assert (state.status, state.balance, state.amount_paid) == ("active", 1000, with_fee - 1000)
    [payment] = state.payments
    assert (payment.status, payment.amount, payment.amount_paid) == ("late", with_fee, with_fee - 1000)
    assert fold(entries).billed == with_fee


@given(random=randoms)
def test_a_late_fee_after_money_was_given_back(random: Random) -> None:
    """It is added to what the refund said the instalment asks for; a part of it given back leaves it late."""
    life = Life(term=2, principal=20_000)
    life.create()
    paying = life.start(1)
    life.succeed(paying)
    life.refund(paying, 1000)
    life.be_late(1, fee=700)
    state = snapshot(fold(record(interleave(life.raws, random))))
    assert state
    assert (state.status, state.balance) == ("delinquent", life.balance)
    late = state.payments[0]
    with_fee = paying["amount"] + 700
    assert (late.status, late.amount, late.amount_paid) == ("late", with_fee, paying["amount"] - 1000)
    life.refund(paying, 50, "chargeback")
    state = snapshot(fold(record(interleave(life.raws, random))))
    assert state
    late = state.payments[0]
    assert (late.status, late.amount, late.amount_paid) == ("late", with_fee, paying["amount"] - 1050)


@pytest.mark.parametrize("how", ["cancelled", "charged_off"])
@given(random=randoms)
def test_late_fees_and_delinquency_of_a_closed_lease(how: str, random: Random) -> None:
    """Told before the payment service hears of the closing, they leave the lease closed and owing nothing."""
    life = Life(term=2, principal=20_000)
    life.create()
    life.be_late(1, fee=700)
    life.close(how)
    life.be_cured()
    life.be_late(2, fee=500)
    entries = record(interleave(life.raws, random))
    assert fold(entries) == fold(record(life.raws))
    state = snapshot(fold(entries))
    assert state
    assert (state.status, state.balance, state.amount_paid) == (how, 0, 0)
    assert [(each.status, each.amount) for each in state.payments] == [
        ("cancelled", row.amount) for row in life.rows
    ]


@given(random=randoms)
def test_delinquency_of_a_lease_that_is_paid_off(random: Random) -> None:
    """Whatever of being cured and being paid off is recorded first, the lease is paid off."""
    life = Life(term=1)
    life.create()
    life.be_late(1)
    life.succeed(life.start(1))
    entries = record(interleave(life.raws, random))
    for each in (entries, entries[:-1], record(life.raws[:-1])):
        shown = snapshot(fold(each))
        if shown and any(entry.type == "lease.paid_off" for entry in each):
            assert shown.status == "paid_off"
    state = snapshot(fold(entries))
    assert state
    assert (state.status, state.balance) == ("paid_off", 0)


def test_statuses_go_by_the_last_run_that_was_told_of() -> None:
    """As the payment service's: declined on its day it is due; a later run's word is for all that is open."""
    life = Life(term=3, principal=20_000)
    life.create()
    tried = life.start(1)
    of_run = {"run_id": tried["attempt_id"], "as_of": "2027-01-01", "reason": "due"}
    life.raws.pop()
    life.sequences[PAYMENTS] -= 1
    life.emit(PAYMENTS, "payment.attempt_started", tried | of_run)
    assert statuses(life) == [("processing", 0), ("scheduled", 0), ("scheduled", 0)]
    life.decline(tried)
    assert statuses(life) == [("due", 0), ("scheduled", 0), ("scheduled", 0)]
    life.be_late(1)  # on 1 February
    assert statuses(life) == [("late", 0), ("due", 0), ("scheduled", 0)]
    life.succeed(life.start(2))
    assert [status for status, _ in statuses(life)] == ["late", "paid", "scheduled"]
