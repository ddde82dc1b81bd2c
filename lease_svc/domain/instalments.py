"""The instalments of a lease as they are now: as in the schedule, but for those that were amended. Pure.

The schedule is agreed once and stored once; only what has become different is kept besides.
"""

from datetime import date

import msgspec


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What a payment needs to know of an instalment."""

    due_date: date
    amount: int  # minor units it asks for
    cancelled: bool = False


class _Amended(msgspec.Struct, frozen=True, kw_only=True):
    amount: int  # minor units
    cancelled: bool


_encode = msgspec.json.Encoder().encode
_decode_schedule = msgspec.json.Decoder(list[Due]).decode
_decode_amended = msgspec.json.Decoder(dict[int, _Amended]).decode


def now(schedule: bytes, amended: bytes | None) -> list[Due]:
    """All instalments in order of number, from the JSON of the schedule and what `amended` has kept."""
    found = _decode_schedule(schedule)
    if amended is not None:
        for number, each in _decode_amended(amended).items():
            due_date = found[number - 1].due_date
            found[number - 1] = Due(due_date=due_date, amount=each.amount, cancelled=each.cancelled)
    return found


def amended(schedule: bytes, now_are: list[Due]) -> bytes | None:
    """JSON of those instalments, by number, that are not as in the schedule; None: all are."""
    different = {
        number: _Amended(amount=each.amount, cancelled=each.cancelled)
        for number, (agreed, each) in enumerate(zip(_decode_schedule(schedule), now_are, strict=True), 1)
        if each != agreed
    }
    return _encode(different) if different else None
