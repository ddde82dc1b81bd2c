"""The folds of both services: from the events alone comes what the live services have."""

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest

from common.envelope import Event, decode_event, encode
from common.replay.folding import DoNotAddUp, UnknownType
from lease_svc.replay import fold as fold_lease
from ledger_svc.events import TYPES
from payment_svc.replay import fold as fold_payments
from tests.unit.small_world import World, plain

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
    events = [*world.told[:-1], msgspec.structs.replace(world.told[-1], **changes)]
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
