"""Where a client finds the services: environment variables, else where this checkout's stack has them."""

import functools
import os

from deployment.local.ports import Ports
from deployment.local.settings import Settings
from deployment.roles import PROJECT, URL_VARIABLES


def addresses() -> dict[str, str]:
    """Base URL of each service, by its port's name, without a slash at the end."""
    return {
        port: (os.environ.get(variable) or f"http://localhost:{_ports().of(port)}").rstrip("/")
        for port, variable in URL_VARIABLES.items()
    }


@functools.cache
def _ports() -> Ports:
    """Those that `make up` was given, until `make down`; else the usual ones."""
    return Settings(run_dir=PROJECT / ".run").recall().ports
