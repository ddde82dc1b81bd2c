"""Where the services are: environment variables, else where this checkout's stack has them."""

import functools
import os

from deployment.local.ports import Ports
from deployment.local.settings import PROJECT, Settings

# Service → environment variable, as everywhere in this project.
_VARIABLES = {
    "lease": "LEASE_SERVICE_URL",
    "payment": "PAYMENT_SERVICE_URL",
    "ledger": "LEDGER_SERVICE_URL",
    "gateway": "GATEWAY_URL",
}


def addresses() -> dict[str, str]:
    """Base URL of each service, without a slash at the end."""
    return {
        service: (os.environ.get(variable) or f"http://localhost:{_ports().of(service)}").rstrip("/")
        for service, variable in _VARIABLES.items()
    }


@functools.cache
def _ports() -> Ports:
    """Those that `make up` was given, until `make down`; else the usual ones."""
    return Settings(run_dir=PROJECT / ".run").recall().ports
