"""What the lease service's routes answer; the lease itself is in application/representations.py."""

from typing import Annotated

import msgspec
from msgspec import Meta

from lease_svc.application.representations import HistoryItem, LeaseSummary


class LeaseList(msgspec.Struct, frozen=True, kw_only=True):
    """Leases, newest first."""

    items: list[LeaseSummary]
    next_cursor: str | None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A lease's changes, oldest first."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    items: list[HistoryItem]
    next_cursor: str | None
