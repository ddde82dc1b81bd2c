"""Instants: UTC, microseconds, RFC 3339 with `Z`; and how those are read that somebody asks for."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

# RFC 3339, section 5.6; a space may stand for the T
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
NO_INSTANT: Final = "must be an RFC 3339 time such as 2026-12-01T12:00:00Z, within the years 1 to 9999 of UTC"


def utcnow() -> datetime:
    """The present instant, timezone-aware."""
    return datetime.now(UTC)


def rfc3339(instant: datetime) -> str:
    """`2026-11-23T08:00:00.000000Z`: always UTC, always six digits, so that text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def instant(text: str) -> datetime:
    """The instant of an RFC 3339 text with any offset, in UTC. Raises ValueError.

    Decimals past the sixth are cut off: rounded up, a time just before an event would be the event's own.
    Second 60, of a leap second, is the next minute's second 0; in any minute, for no table of them lasts.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(NO_INSTANT)
    day, hour, minute, second, decimals, sign, off_hour, off_minute = match.groups()
    if int(second) > 60 or int(off_hour or 0) > 23 or int(off_minute or 0) > 59:
        raise ValueError(NO_INSTANT)
    after = timedelta(seconds=int(second), microseconds=int(f"{decimals or 0:0<6}"[:6]))
    offset = timedelta(hours=int(off_hour or 0), minutes=int(off_minute or 0))
    try:
        local = datetime.combine(date.fromisoformat(day), time(int(hour), int(minute)), UTC)
        return local + after + (offset if sign == "-" else -offset)
    except (ValueError, OverflowError):
        raise ValueError(NO_INSTANT) from None


def day_or_instant(text: str) -> datetime:
    """An instant, or the beginning (UTC) of a day `YYYY-MM-DD`. Raises ValueError."""
    return instant(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text)
