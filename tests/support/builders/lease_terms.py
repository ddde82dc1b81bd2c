"""Terms of leases that the tests create."""

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

# The contract's own example, whose figures can be checked by hand.
EXAMPLE = {
    "customer_id": "cus-42",
    "currency": "USD",
    "principal": 120000,
    "annual_rate": "0.1200",
    "term": 12,
    "frequency": "monthly",
    "start_date": "2026-12-01",
    "first_due_date": "2027-01-01",
    "day_count": "30/360",
    "fees": [{"code": "origination", "amount": 2500}],
    "payment_method": "pm_card_ok",
    "autopay": False,
    "late_fee": {"grace_days": 5, "amount": 1500},
    "metadata": {"store": "17"},
}


def today() -> date:
    """The service's business date."""
    return datetime.now(UTC).date()


def customer() -> str:
    """A customer nobody else has: it makes a lease that was asked for recognisable."""
    return f"cus-{uuid.uuid4()}"


def terms(**changes: Any) -> dict[str, Any]:
    """Small and ordinary terms of a customer of its own, with the given changes."""
    return {
        "customer_id": customer(),
        "currency": "USD",
        "principal": 60000,
        "annual_rate": "0.1200",
        "term": 3,
        "frequency": "monthly",
        "start_date": today().isoformat(),
    } | changes


def days_ago(days: int) -> str:
    """A calendar day in the past."""
    return (today() - timedelta(days=days)).isoformat()
