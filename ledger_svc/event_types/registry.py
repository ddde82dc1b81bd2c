"""Every event type that the ledger knows, found by name and by the class of its data.

The modules in `types` register themselves by being there: each has a tuple `TYPES`.
"""

from importlib import import_module
from pkgutil import iter_modules

import msgspec

from ledger_svc.contracts.envelope import NOT_AN_EVENT, Event, MalformedEvent, UnknownEventType
from ledger_svc.event_types import types
from ledger_svc.event_types.basics.fields import Data
from ledger_svc.event_types.definition import AnyType


def _found() -> dict[str, AnyType]:
    """The definitions of all modules, by the name of the type. ValueError where two are in conflict."""
    found: dict[str, AnyType] = {}
    of_class: dict[type, AnyType] = {}
    for module in sorted(each.name for each in iter_modules(types.__path__)):
        for each in import_module(f"{types.__name__}.{module}").TYPES:
            if of_class.setdefault(each.data, each) is not each or any(name in found for name in each.names):
                raise ValueError(f"{module}: {', '.join(each.names)} is defined twice")
            found |= dict.fromkeys(each.names, each)
    return found


TYPES = _found()
_BY_CLASS = {each.data: each for each in TYPES.values()}
_DECODERS = {name: msgspec.json.Decoder(each.data).decode for name, each in TYPES.items()}

# What closes a lease before it is paid, and what moves a balance that such a closing takes away.
CLOSINGS = frozenset(name for name, each in TYPES.items() if each.closing)
MOVES = frozenset(name for name, each in TYPES.items() if each.races_closings)


def of_data(data: Data) -> AnyType:
    """The definition by an event's data."""
    return _BY_CLASS[type(data)]


def data_of(event: Event) -> Data:
    """The event's data as its type says; UnknownEventType; MalformedEvent where a needed field is wrong."""
    decoder = _DECODERS.get(event.type)
    if decoder is None:
        raise UnknownEventType(f"{event.type} (event {event.id})")
    try:
        data: Data = decoder(event.data)
        return data
    except NOT_AN_EVENT as error:
        raise MalformedEvent(f"{event.type} (event {event.id}): {error}") from error
