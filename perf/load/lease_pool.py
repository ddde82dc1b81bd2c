"""The leases that users make."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

TERM = 12


def today() -> date:
    """The services' business date."""
    return datetime.now(UTC).date()


def terms(days_ago: int = 0) -> dict[str, Any]:
    """The body of a new lease, of one of some thousand customers, begun so many days ago."""
    return {
        "customer_id": f"load-{random.randrange(5_000)}",
        "currency": "USD",
        "principal": random.randrange(60_000, 240_000),
        "annual_rate": "0.1200",
        "term": TERM,
        "frequency": "monthly",
        "start_date": str(today() - timedelta(days=days_ago)),
    }


def due(lease: dict[str, Any]) -> list[str]:
    """Payments of a new lease that are due by now, oldest first."""
    return [row["payment_id"] for row in lease["schedule"] if row["due_date"] <= str(today())]
