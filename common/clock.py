"""Instants: UTC, microseconds, RFC 3339 with `Z`."""

from datetime import UTC, datetime


def utcnow() -> datetime:
    """The present instant, timezone-aware."""
    return datetime.now(UTC)


def rfc3339(instant: datetime) -> str:
    """`2026-11-23T08:00:00.000000Z`: always UTC, always six digits, so that text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
