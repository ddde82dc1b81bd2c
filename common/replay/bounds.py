"""From where to where events are read again, as it is given on a command line."""

from datetime import datetime

import msgspec

from common.kernel.clock import instant

Point = int | datetime | None  # an offset (of the ledger: a seq), an instant, or the very first or last

OFFSET_MAX = 2**62


class Unreadable(Exception):
    """What was to be read again cannot be read, or not from there: exit status 2."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Both ends count. An instant is held against the events' own times."""

    start: Point = None  # None: the first there is
    end: Point = None  # None: the last there is when reading begins; so an end is always set

    def hold(self, time: datetime) -> bool:
        """Whether an event of that time lies between the instants, where instants are given."""
        after = not isinstance(self.start, datetime) or time >= self.start
        return after and (not isinstance(self.end, datetime) or time <= self.end)

    @property
    def first(self) -> int:
        """The first offset that can count."""
        return self.start if isinstance(self.start, int) else 0

    @property
    def last(self) -> int:
        """The last offset that can count."""
        return self.end if isinstance(self.end, int) else OFFSET_MAX


def start(text: str) -> Point:
    """`first`, an offset or an instant. Raises ValueError."""
    return None if text == "first" else _point(text)


def end(text: str) -> Point:
    """`end`, an offset or an instant. Raises ValueError."""
    return None if text == "end" else _point(text)


def _point(text: str) -> int | datetime:
    if text.isascii() and text.isdecimal() and int(text) <= OFFSET_MAX:
        return int(text)
    return instant(text)
