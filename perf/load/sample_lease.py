"""The lease that measurements create: twelve monthly instalments, for one of a thousand customers."""

import json
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
