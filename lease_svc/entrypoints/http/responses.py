"""What the lease service's routes take and answer, beside the lease itself (render.py)."""

import msgspec

from common.web.pagination import PageQuery
from lease_svc.application.representations import LeaseSummary
from lease_svc.contracts.commands import CustomerId
from lease_svc.contracts.events import Status


class LeaseFilter(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of `GET /api/v1/leases`."""

    customer_id: CustomerId | None = None
    status: Status | None = None


class LeaseList(msgspec.Struct, frozen=True, kw_only=True):
    """Leases, newest first."""

    items: list[LeaseSummary]
    next_cursor: str | None


class HistoryItem(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a lease."""

    version: int  # 1, 2, 3 …
    type: str  # the event's
    occurred_at: str  # RFC 3339
    status_before: str | None
    status_after: str
    balance: int  # minor units, after the change
    data: msgspec.Raw  # what changed it


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A lease's changes, oldest first."""

    lease_id: str
    items: list[HistoryItem]
    next_cursor: str | None
