"""Closing a lease before it is paid: when it may be, and the event that records it. Pure.

A lease on which nothing was collected can be cancelled: it never was. One that will not be paid is charged
off: what is left of it is a loss. Either way nothing is owed any longer.
"""

from datetime import datetime
from typing import Literal

import msgspec

from lease_svc.contracts.commands import CancelLease, ChargeOffLease
from lease_svc.contracts.events import LeaseCancelled, LeaseChargedOff
from lease_svc.contracts.values import Status
from lease_svc.domain.lease import Change, Lease

encode = msgspec.json.Encoder().encode

Code = Literal["not_cancellable", "not_chargeable_off", "money_collected"]


class Refused(Exception):
    """The lease cannot be closed in this way as it stands."""

    def __init__(self, code: Code, status: Status) -> None:
        super().__init__(f"{code}: the lease is {status}")
        self.code = code
        self.status = status  # of the lease


def cancel(
    lease: Lease, asked: CancelLease, now: datetime, *, collected: bool
) -> tuple[Change, LeaseCancelled]:
    """Cancel a lease on which no money was collected. Raises Refused.

    `collected`: whether there ever was any, also if it was given back since.
    """
    if lease.status not in ("active", "delinquent"):
        raise Refused("not_cancellable", lease.status)
    if collected or lease.amount_paid > 0:
        raise Refused("money_collected", lease.status)
    event = LeaseCancelled(
        lease_id=lease.lease_id,
        currency=lease.currency,
        reason=asked.reason,
        balance=lease.balance,
        left=lease.left,
        payment_sequence=lease.payment_sequence,
    )
    return lease.close("cancelled", "lease.cancelled", encode(event), now), event


def charge_off(lease: Lease, asked: ChargeOffLease, now: datetime) -> tuple[Change, LeaseChargedOff]:
    """Give up what is still owed on a lease. Raises Refused."""
    if lease.status not in ("active", "delinquent"):
        raise Refused("not_chargeable_off", lease.status)
    event = LeaseChargedOff(
        lease_id=lease.lease_id,
        currency=lease.currency,
        reason=asked.reason,
        amount=lease.balance,
        left=lease.left,
        payment_sequence=lease.payment_sequence,
    )
    return lease.close("charged_off", "lease.charged_off", encode(event), now), event
