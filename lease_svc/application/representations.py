"""The lease as JSON. What never changes is stored as JSON and joined in, not decoded and encoded again."""

from datetime import date, datetime
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from common.kernel.clock import rfc3339
from common.kernel.money import MinorUnits
from lease_svc.contracts.consumed_events import Autopay, AutopayStop
from lease_svc.contracts.events import Contract, Instalment
from lease_svc.contracts.values import Status
from lease_svc.domain.lease import Lease

encode = msgspec.json.Encoder().encode
decode_autopay = msgspec.json.Decoder(Autopay).decode
decode_contract = msgspec.json.Decoder(Contract).decode


class LeaseSummary(Contract, frozen=True, kw_only=True):
    """A lease in a list; of its contract, `autopay` and `payment_method` are as they are now."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    status: Annotated[Status, Meta(description="what became of it")]
    version: Annotated[int, Meta(description="changes so far")]
    amount_paid: MinorUnits
    balance: Annotated[int, Meta(description="minor units still to be paid, late fees included")]
    next_due_date: Annotated[date | None, Meta(description="of the first instalment not paid in full")]
    payments_made: Annotated[int, Meta(description="instalments paid in full")]
    autopay_stopped: Annotated[
        AutopayStop | None, Meta(description="why autopay charges nothing; null: nothing stops it")
    ]
    created_at: datetime
    updated_at: datetime


class LeaseView(LeaseSummary, frozen=True, kw_only=True):
    """A lease with its schedule."""

    schedule: Annotated[list[Instalment], Meta(description="the instalments, in order of number")]


class HistoryItem(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a lease."""

    version: Annotated[int, Meta(description="1, 2, 3 …")]
    type: Annotated[str, Meta(description="the event's")]
    occurred_at: Annotated[str, Meta(description="RFC 3339")]
    status_before: str | None
    status_after: str
    balance: Annotated[int, Meta(description="minor units, after the change")]
    data: Annotated[msgspec.Raw, Meta(description="what changed it")]


class _Moving(msgspec.Struct, frozen=True, kw_only=True):
    lease_id: str
    status: str
    version: int
    amount_paid: int
    balance: int
    next_due_date: date | None
    payments_made: int
    autopay_stopped: AutopayStop | None
    created_at: str
    updated_at: str


def summary(lease: Lease) -> bytes:
    """JSON of LeaseSummary."""
    now = decode_autopay(lease.autopay_now) if lease.autopay_now is not None else None
    moving = _Moving(
        lease_id=lease.lease_id,
        status=lease.status,
        version=lease.version,
        amount_paid=lease.amount_paid,
        balance=lease.balance,
        next_due_date=lease.next_due_date,
        payments_made=lease.payments_made,
        autopay_stopped=now.autopay_stopped if now else None,
        created_at=rfc3339(lease.created_at),
        updated_at=rfc3339(lease.updated_at),
    )
    contract = lease.contract if now is None else _with(lease.contract, now)
    return b"%s,%s" % (encode(moving)[:-1], contract[1:])


def _with(contract: bytes, now: Autopay) -> bytes:
    agreed = decode_contract(contract)
    return encode(replace(agreed, autopay=now.autopay, payment_method=now.payment_method))


def view(lease: Lease) -> bytes:
    """JSON of LeaseView."""
    return b'%s,"schedule":%s}' % (summary(lease)[:-1], lease.schedule)


def created_data(lease: Lease) -> bytes:
    """JSON of LeaseCreated."""
    return b'{"lease_id":"%s",%s,"schedule":%s}' % (
        lease.lease_id.encode(),
        lease.contract[1:-1],
        lease.schedule,
    )
