"""The leases that measurements and users create: twelve monthly instalments."""

import json
import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

TERM = 12
CUSTOMERS = 1_000


def terms(number: int) -> dict[str, Any]:
    """A creation's request; leases of different numbers differ a little."""
    return {
        "customer_id": f"measured-{number % CUSTOMERS}",
        "currency": "USD",
        "principal": 120_000 + number % CUSTOMERS,
        "annual_rate": "0.1200",
        "term": TERM,
        "frequency": "monthly",
        "start_date": "2026-01-01",
    }


def creation(number: int) -> bytes:
    """The same, as it is sent."""
    return json.dumps(terms(number)).encode()


def today() -> date:
    """The services' business date."""
    return datetime.now(UTC).date()


def of_today(days_ago: int = 0) -> dict[str, Any]:
    """The same for users: at random, of one of some thousand customers, begun so many days ago."""
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
