"""Identifiers: UUIDv7 (RFC 9562 §5.7), time-ordered so that indexes grow at their right end."""

import re
from datetime import UTC, datetime

import uuid_utils

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LOW_48_BITS = (1 << 48) - 1
_LAST_MS = 253_402_300_799_999  # the end of the year 9999, which is as far as `datetime` goes


def uuid7() -> str:
    """A new UUIDv7 in its canonical lower-case form."""
    return str(uuid_utils.uuid7())


def canonical_uuid(text: str) -> str | None:
    """The canonical lower-case form of a UUID, or None where `text` is not one."""
    lowered = text.lower()
    return lowered if _UUID.fullmatch(lowered) else None


def uuid7_timestamp_ms(identifier: str) -> int | None:
    """Unix milliseconds at which a UUIDv7 was made; None for other versions and times beyond reason."""
    if identifier[14] != "7":
        return None
    milliseconds = int(identifier[:8] + identifier[9:13], 16)
    return milliseconds if milliseconds <= _LAST_MS else None


def born(identifier: str) -> datetime | None:
    """When a UUIDv7 says that it was made; None as `uuid7_timestamp_ms`."""
    milliseconds = uuid7_timestamp_ms(identifier)
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def earliest(instant: datetime) -> str:
    """The lowest UUIDv7 that can be made in the millisecond of `instant`: what ranges of time begin with."""
    milliseconds = f"{int(instant.timestamp() * 1000):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-000000000000"


def payment_id(lease_id: str, number: int) -> str:
    """The id of a lease's instalment `number` (1, 2, 3 …).

    It is the lease's id with the number added to its last 48 bits, which are random in a UUIDv7:
    known before the lease is created, the same each time a command is carried out again,
    and neighbours in the index.
    """
    return f"{lease_id[:24]}{(int(lease_id[24:], 16) + number) & _LOW_48_BITS:012x}"
