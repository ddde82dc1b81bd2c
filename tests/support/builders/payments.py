"""Payments and attempts for tests of the payment service's rules."""

from datetime import UTC, date, datetime

from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import Attempt, Payment

LEASE = "01890a5d-ac96-774b-8bce-b302099a8057"
NOW = datetime(2027, 2, 1, 8, 0, tzinfo=UTC)


def payment(number: int, due: date, owed: Allocation, left: int) -> Payment:
    """An instalment nobody has paid on; `left`: the lease's principal after it."""
    return Payment(
        payment_id=f"p{number}",
        lease_id=LEASE,
        number=number,
        due_date=due,
        owed=owed,
        paid=Allocation(),
        principal_balance=left,
        status="scheduled",
        in_flight=None,
        attempts=0,
        next_retry_at=None,
        last_attempt_id=None,
    )


def collected(attempt_id: str, amount: int, of: Payment) -> Attempt:
    """An attempt that has succeeded."""
    return Attempt(
        attempt_id=attempt_id,
        command_id="c0",
        lease_id=LEASE,
        payment_id=of.payment_id,
        number=of.number,
        kind="instalment",
        amount=amount,
        currency="USD",
        payment_method="pm_card_ok",
        status="succeeded",
        gateway_reference=f"ch_{attempt_id}",
        created_at=NOW,
        settled_at=NOW,
    )
