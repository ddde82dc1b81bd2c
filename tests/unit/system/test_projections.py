"""The folds of both services: from the events alone comes what the live services have."""

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest

from common.kernel.clock import rfc3339
from common.kernel.ids import uuid7
from common.messaging.envelope import Event, decode_event, encode
from common.replay.fold import DoNotAddUp, UnknownType
from lease_svc.application.projection import fold as fold_lease
from ledger_svc.event_types.registry import TYPES
from ledger_svc.views.point_in_time import fold as fold_entries
from ledger_svc.views.point_in_time import snapshot
from payment_svc.application import collection_run
from payment_svc.application.gateway import Charged
from payment_svc.application.projection import fold as fold_payments
from payment_svc.application.settlement import settle
from payment_svc.application.unit_of_work import Batch
from payment_svc.contracts import events as catalogue
from payment_svc.domain import attempt as domain
from payment_svc.domain import payoff_quote as quotes
from payment_svc.domain import refund
from payment_svc.domain.attempt import Attempt
from payment_svc.domain.payoff import CUT
from tests.support.builders.event_mixes import record
from tests.support.simulation.small_world import World, plain

LIVES = 80
OPEN = ("scheduled", "due", "late")


def a_world(seed: int, steps: int = 60) -> World:
    world = World(Random(seed))
    world.live(steps)
    return world


def shuffled(events: list[Event], seed: int) -> list[Event]:
    """The same events as they come from a file, in any order."""
    return Random(seed).sample([decode_event(encode(event)) for event in events], len(events))


def check_lease(world: World) -> None:
    folded = fold_lease(shuffled(world.told, 1))
    assert plain(folded.lease, "updated_at") == plain(world.lease, "updated_at")
    assert [plain(each, "occurred_at") for each in folded.history] == [
        plain(each, "occurred_at") for each in world.history
    ]


def check_payments(world: World) -> None:
    folded = fold_payments(shuffled(world.told, 2))
    of_runs = ("next_look_on", "collected_as_of")
    assert plain(folded.account, *of_runs) == plain(world.account, *of_runs)
    assert [(plain(each, "status"), open_or(each.status)) for each in folded.payments.values()] == [
        (plain(each, "status"), open_or(each.status)) for each in world.payments
    ]
    of_checks = ("checks", "next_check_at", "taken_up_at", "failures", "cured")
    assert {key: plain(each, *of_checks) for key, each in folded.attempts.items()} == {
        key: plain(each, *of_checks) for key, each in world.attempts.items()
    }
    assert folded.quotes == world.quotes


def open_or(status: str) -> str:
    return "open" if status in OPEN else status


def test_folds_give_what_the_services_have() -> None:
    """Lives at random with every type of event, in any order: all that follows from events is the same."""
    told = set()
    for seed in range(LIVES):
        world = a_world(seed)
        check_lease(world)
        check_payments(world)
        told.update(event.type for event in world.told)
    assert told == set(TYPES)


class Earlier(World):
    """As it was before a hard decline stopped the method, and a reversal only what it has to."""

    def _batch(self) -> Batch:
        batch = super()._batch()
        batch.hard_decline_stops = "instalment"
        batch.reversal_stops = lambda account, *_: account.autopay
        return batch

    def change_autopay(self) -> None:
        """There was no way to."""


def test_older_events_say_the_same_as_in_their_day() -> None:
    """What stopped autopay then is rebuilt by what was told then: nothing was, of what a reversal stopped."""
    stopped = set()
    for seed in range(LIVES):
        world = Earlier(Random(seed))
        world.live(60)
        world.told = [_without_stops(event) for event in world.told]
        check_payments(world)
        stopped.update(each.autopay_stopped.reason for each in world.payments if each.autopay_stopped)
    assert stopped == {"hard_decline", "money_taken_back"}


def _without_stops(event: Event) -> Event:
    data = msgspec.json.decode(event.data)
    if event.type in ("payment.refunded", "payment.charged_back"):
        for each in data["instalments"]:
            del each["autopay_stopped"]
    return msgspec.structs.replace(event, data=msgspec.Raw(encode(data)))


def test_a_source_may_end_anywhere() -> None:
    """However many of the last events are missing, the others add up."""
    for seed in range(20):
        world = a_world(seed)
        for count in range(1, len(world.told)):
            events = shuffled(world.told[:count], count)
            assert fold_lease(events).lease.event_sequence >= 1
            assert fold_payments(events).account.lease_sequence >= 1


def _eventful() -> World:
    return next(world for world in map(a_world, range(LIVES)) if len(world.told) > 25)


@pytest.mark.parametrize("fold", [fold_lease, fold_payments])
def test_a_hole_is_named(fold: Callable[[list[Event]], object]) -> None:
    """Without one of its events a lease is not built: what is missing is said."""
    world = _eventful()
    for index, event in enumerate(world.told[:-1]):
        later = [each for each in world.told[index + 1 :] if each.source == event.source]
        if later:
            with pytest.raises(DoNotAddUp, match="missing"):
                fold([each for each in world.told if each is not event])


@pytest.mark.parametrize("fold", [fold_lease, fold_payments])
@pytest.mark.parametrize("changes", [{"type": "lease.painted"}, {"source": "/elsewhere"}])
def test_an_unknown_type_or_source_stops(
    fold: Callable[[list[Event]], object], changes: dict[str, Any]
) -> None:
    """Nothing is built past an event that this code does not know."""
    world = _eventful()
    unknown = msgspec.structs.replace(world.told[-1], mayskip=msgspec.UNSET, **changes)
    events = [*world.told[:-1], unknown]
    with pytest.raises(UnknownType, match=changes.get("type", "/elsewhere")):
        fold(events)


def test_an_event_that_contradicts_the_others_is_named() -> None:
    """What was told is held against what follows: another amount, a paid_off for no payment."""
    wanted = {"lease.paid_off", "payment.succeeded"}
    worlds = map(a_world, range(LIVES))
    world = next(world for world in worlds if wanted <= {event.type for event in world.told})

    def changed(type_: str, **data: Any) -> list[Event]:
        index = next(i for i, event in enumerate(world.told) if event.type == type_)
        wrong = msgspec.json.encode(msgspec.json.decode(world.told[index].data) | data)
        event = msgspec.structs.replace(world.told[index], data=msgspec.Raw(wrong))
        return [*world.told[:index], event, *world.told[index + 1 :]]

    with pytest.raises(DoNotAddUp, match="amount_paid 1,"):
        fold_lease(changed("lease.paid_off", amount_paid=1))
    with pytest.raises(DoNotAddUp, match="tells amount_due 999"):
        fold_payments(changed("payment.succeeded", amount_due=999))
    events = [event for event in world.told if event.source == "/lease-svc"]
    with pytest.raises(DoNotAddUp, match="follows from nothing"):
        fold_lease(events)


def test_payoffs_told_of_by_the_version_before_fold_as_they_did() -> None:
    """Cut to zero it stands, whatever is taken back; a quote then held when the money had come back again.

    Their events lack the fields that came later.
    """
    world = next(each for each in map(World, map(Random, range(99))) if owes_interest(each))
    of, now = world.account, world.now
    for payment in reversed(world.payments):
        left = 1 if payment.number == 1 else 0
        paid = domain.start(of, payment, uuid7(), uuid7(), "pm", payment.amount_due - left, now)
        go_on(world, paid)
    quote = quotes.quote(of, world.payments, uuid7(), now.date(), now, formula=CUT)
    world.quotes[quote.quote_id] = quote
    told = catalogue.PayoffQuoted(
        quote_id=quote.quote_id,
        lease_id=of.lease_id,
        currency=of.currency,
        as_of=quote.payoff.as_of,
        amount=0,
        breakdown=quote.payoff.breakdown,
        interest_saved=1,
        formula=CUT,
        expires_at=rfc3339(quote.expires_at),
    )
    batch = world._batch()
    batch.tell(of, "payoff.quoted", told, world._context(quote.quote_id))
    world._payments_told(batch)
    first = world.payments[0]
    cent = domain.start(of, first, uuid7(), uuid7(), "pm", 1, now)
    go_on(world, cent)
    go_on(world, refund.start(of, [first], cent, uuid7(), uuid7(), None, "broken", now))
    payoff = quotes.start_quoted_payoff(of, world.payments, quote, uuid7(), uuid7(), "pm", now)
    assert payoff.amount == 0
    go_on(world, payoff)
    go_on(world, refund.start(of, [first], paid, uuid7(), uuid7(), 10, "broken", now))
    world.told = [as_before(event) for event in world.told]
    world.for_leases = [as_before(event) for event in world.for_leases]
    while world.for_leases or world.for_payments:
        world.arrive()
    assert (world.lease.balance, of.payoff_standing) == (10, payoff.attempt_id)
    check_lease(world)
    check_payments(world)
    state = snapshot(fold_entries(record([encode(event) for event in world.told])))
    assert state is not None
    assert (state.balance, state.amount_paid) == (10, world.lease.amount_paid)


def owes_interest(world: World) -> bool:
    return len(world.payments) > 1 and all(each.owed.interest > 9 for each in world.payments)


def go_on(world: World, attempt: Attempt) -> None:
    """It was begun, and the gateway has carried it out."""
    batch = world._batch()
    collection_run.tell_started(batch, world.account, attempt, world._context(attempt.command_id))
    world._payments_told(batch)
    batch = world._batch()
    settle(batch, attempt, Charged(reference=""))
    world._payments_told(batch)


def as_before(event: Event) -> Event:
    """Without what this version has added."""
    data = msgspec.json.decode(event.data)
    added = {"refund_due", "waived", "refund_due_of", "refund_lapsed", "late_fees_owed_again"}
    if event.type == "payment.attempt_started":
        added.add("formula")
    kept = {name: value for name, value in data.items() if name not in added}
    return msgspec.structs.replace(event, data=msgspec.Raw(msgspec.json.encode(kept)))
