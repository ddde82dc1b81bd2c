"""Closing a lease before it is paid: who may, and what is told of it. Pure.

A lease on which nothing was collected can be cancelled: it never was. One that will not be paid is charged
off: what is left of it is a loss. Either way nothing is owed any longer.
"""

from datetime import datetime

import msgspec

from lease_svc.contracts.commands import CancelLease, ChargeOffLease
from lease_svc.contracts.events import LeaseCancelled, LeaseChargedOff
from lease_svc.contracts.values import Status
from lease_svc.domain.lease import Change, Lease

encode = msgspec.json.Encoder().encode

WORDS: dict[Status, str] = {
    "active": "active",
    "delinquent": "delinquent",
    "paid_off": "paid off",
    "cancelled": "cancelled",
    "charged_off": "charged off",
}


class Refused(Exception):
    """The lease cannot be closed in this way as it stands: 409 with these words."""


def cancel(
    lease: Lease, asked: CancelLease, now: datetime, *, collected: bool
) -> tuple[Change, LeaseCancelled]:
    """Cancel a lease on which no money was collected. Raises Refused.

    `collected`: whether there ever was any, also if it was given back since.
    """
    if lease.status not in ("active", "delinquent"):
        raise Refused(f"This lease is {WORDS[lease.status]}; it cannot be cancelled.")
    if collected or lease.amount_paid > 0:
        raise Refused("Money has been collected on this lease; it can be charged off, but not cancelled.")
    told = LeaseCancelled(
        lease_id=lease.lease_id,
        currency=lease.currency,
        reason=asked.reason,
        balance=lease.balance,
        left=lease.left,
        payment_sequence=lease.payment_sequence,
    )
    return lease.close("cancelled", "lease.cancelled", encode(told), now), told


def charge_off(lease: Lease, asked: ChargeOffLease, now: datetime) -> tuple[Change, LeaseChargedOff]:
    """Give up what is still owed on a lease. Raises Refused."""
    if lease.status not in ("active", "delinquent"):
        raise Refused(f"This lease is {WORDS[lease.status]}; it cannot be charged off.")
    told = LeaseChargedOff(
        lease_id=lease.lease_id,
        currency=lease.currency,
        reason=asked.reason,
        amount=lease.balance,
        left=lease.left,
        payment_sequence=lease.payment_sequence,
    )
    return lease.close("charged_off", "lease.charged_off", encode(told), now), told
