"""What the lease service's routes answer, beside the lease itself (application/representations.py)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from lease_svc.application.representations import LeaseSummary


class LeaseList(msgspec.Struct, frozen=True, kw_only=True):
    """Leases, newest first."""

    items: list[LeaseSummary]
    next_cursor: str | None


class HistoryItem(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a lease."""

    version: Annotated[int, Meta(description="1, 2, 3 …")]
    type: Annotated[str, Meta(description="the event's")]
    occurred_at: Annotated[str, Meta(description="RFC 3339")]
    status_before: str | None
    status_after: str
    balance: Annotated[int, Meta(description="minor units, after the change")]
    data: Annotated[msgspec.Raw, Meta(description="what changed it")]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A lease's changes, oldest first."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    items: list[HistoryItem]
    next_cursor: str | None
