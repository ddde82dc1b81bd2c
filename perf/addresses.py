"""Where the services are: environment variables, else the ports that `make up` uses."""

import os

# Service → environment variable and default, as everywhere in this project.
_ADDRESSES = {
    "lease": ("LEASE_SERVICE_URL", "http://localhost:8000"),
    "payment": ("PAYMENT_SERVICE_URL", "http://localhost:8001"),
    "ledger": ("LEDGER_SERVICE_URL", "http://localhost:8002"),
    "gateway": ("GATEWAY_URL", "http://localhost:8003"),
}


def addresses() -> dict[str, str]:
    """Base URL of each service, without a slash at the end."""
    return {
        service: (os.environ.get(variable) or default).rstrip("/")
        for service, (variable, default) in _ADDRESSES.items()
    }
