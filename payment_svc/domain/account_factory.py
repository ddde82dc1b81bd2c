"""A lease that was told of becomes an account with its payments. Pure."""

from payment_svc.contracts.events import LeaseCreated
from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import Account, Payment


def account_of(lease: LeaseCreated) -> Account:
    """Its account, before anything has happened."""
    late_fee = lease.late_fee
    return Account(
        lease_id=lease.lease_id,
        currency=lease.currency,
        principal=lease.principal,
        annual_rate=lease.annual_rate,
        day_count=lease.day_count,
        start_date=lease.start_date,
        payment_method=lease.payment_method,
        autopay=lease.autopay,
        grace_days=late_fee.grace_days if late_fee else 0,
        late_fee=late_fee.amount if late_fee else 0,
    )


def payments_of(lease: LeaseCreated) -> list[Payment]:
    """Its payments, none of them made."""
    return [
        Payment(
            payment_id=row.payment_id,
            lease_id=lease.lease_id,
            number=row.number,
            due_date=row.due_date,
            owed=Allocation(fees=row.fees, interest=row.interest, principal=row.principal),
            paid=Allocation(),
            principal_balance=row.principal_balance,
            status="scheduled",
            in_flight=None,
            attempts=0,
            next_retry_at=None,
            last_attempt_id=None,
        )
        for row in lease.schedule
    ]
