"""What folds of a lease's events share: their order, and whether what follows from them was told. Pure."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from common.messaging.envelope import Event


class DoNotAddUp(Exception):
    """One lease's events: something is missing among them, or contradicts the rules or another event."""


class UnknownType(Exception):
    """An event of a type or source that this code does not know: nothing can be derived past it."""


def by_source(events: Sequence[Event], sources: Sequence[str]) -> list[list[Event]]:
    """Each source's events in order. Raises DoNotAddUp where one is missing, UnknownType."""
    found: dict[str, list[Event]] = {source: [] for source in sources}
    for event in events:
        if event.source not in found:
            raise UnknownType(f"{event.source} (event {event.id})")
        found[event.source].append(event)
    for source, theirs in found.items():
        theirs.sort(key=lambda event: event.sequence)
        for number, event in enumerate(theirs, 1):
            if event.sequence != number:
                raise DoNotAddUp(f"event {number} of {source} is missing")
    return list(found.values())


def check_told(
    told: Event,
    derived: Event,
    *,
    but: Collection[str] = (),
    plain: Callable[[str, Any], Any] = lambda _name, value: value,
) -> None:
    """Hold an event against what follows from those before it. Raises DoNotAddUp.

    Compared are the fields that were told (later versions add some, at any depth), `but` some; `plain` gives
    what is to be the same of a value.
    """
    if told.type != derived.type:
        raise DoNotAddUp(f"{told.type} ({told.source} {told.sequence}) is told where {derived.type} follows")
    follows = msgspec.json.decode(derived.data)
    for name, value in msgspec.json.decode(told.data).items():
        if name not in but and not _same(name, value, follows.get(name), plain):
            what = f"{told.type} ({told.source} {told.sequence})"
            raise DoNotAddUp(f"{what} tells {name} {value!r}, where {follows.get(name)!r} follows")


def _same(name: str, told: Any, follows: Any, plain: Callable[[str, Any], Any]) -> bool:
    match told, follows:
        case dict(), dict():
            return all(_same(key, value, follows.get(key), plain) for key, value in told.items())
        case list(), list():
            return len(told) == len(follows) and all(
                _same(name, *each, plain) for each in zip(told, follows, strict=True)
            )
        case _:
            return bool(plain(name, told) == plain(name, follows))
