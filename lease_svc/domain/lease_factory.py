"""A new lease: from its terms, or from what was agreed. Pure."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from common.kernel.ids import payment_id
from lease_svc.contracts.commands import CreateLease
from lease_svc.contracts.events import Contract, Instalment
from lease_svc.domain import schedule
from lease_svc.domain.lease import Change, Lease, encode


def create(command: CreateLease, now: datetime) -> tuple[Lease, Change]:
    """A new lease and the first line of its history. Raises schedule.ScheduleError."""
    terms, lease_id = command.terms, command.lease_id
    built = schedule.build(
        schedule.Terms(
            currency=terms.currency,
            principal=terms.principal,
            annual_rate=terms.annual_rate,
            term=terms.term,
            frequency=terms.frequency,
            day_count=terms.day_count,
            start_date=terms.start_date,
            first_due_date=terms.first_due_date,
            fees=sum(fee.amount for fee in terms.fees),
        )
    )
    rows = [
        Instalment(
            number=row.number,
            payment_id=payment_id(lease_id, row.number),
            due_date=row.due_date,
            amount=row.amount,
            principal=row.principal,
            interest=row.interest,
            fees=row.fees,
            principal_balance=row.principal_balance,
        )
        for row in built.rows
    ]
    figures = {
        "first_due_date": built.first_due_date,
        "maturity_date": built.maturity_date,
        "instalment": built.instalment,
        "total_interest": built.total_interest,
        "total_fees": built.total_fees,
        "total_payable": built.total_payable,
    }
    contract = Contract(**msgspec.structs.asdict(terms) | figures)
    return begin(lease_id, contract, rows, now)


def begin(
    lease_id: str, contract: Contract, rows: Sequence[Instalment], now: datetime
) -> tuple[Lease, Change]:
    """A lease on which nothing has been paid yet, and the first line of its history."""
    lease = Lease(
        lease_id=lease_id,
        customer_id=contract.customer_id,
        status="active",
        version=1,
        amount_paid=0,
        balance=contract.total_payable,
        principal_left=contract.principal,
        fees_left=contract.total_fees,
        late_fees_left=0,
        next_due_date=contract.first_due_date,
        payments_made=0,
        paid=[0] * contract.term,
        contract=encode(contract),
        schedule=encode(rows),
        event_sequence=0,  # lease.created is its first event
        payment_sequence=0,
        created_at=now,
        updated_at=now,
    )
    agreed = {
        "principal": contract.principal,
        "term": contract.term,
        "total_payable": contract.total_payable,
    }
    change = Change(
        lease_id=lease_id,
        version=1,
        type="lease.created",
        occurred_at=now,
        status_before=None,
        status_after="active",
        balance=lease.balance,
        data=encode(agreed),
    )
    return lease, change
