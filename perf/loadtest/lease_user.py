"""Users of the lease service."""

import random
from collections import deque

from locust import between, task

from perf.loadtest.user import ServiceUser
from perf.targets import sample_lease

# Leases that were made in this run, for all users of this process to look at; the oldest are forgotten.
_MADE: deque[str] = deque(maxlen=1_000)


class LeaseServiceLoadTest(ServiceUser):
    """Creates leases and looks at them; 3:2:2:2:1. About 4 requests a second each."""

    service = "lease"
    wait_time = between(0.1, 0.3)

    @task(3)
    def create(self) -> None:
        """POST /api/v1/leases"""
        made = self.call(
            "POST", "/api/v1/leases", name="/api/v1/leases", expect=201, body=sample_lease.of_today()
        )
        if made is not None:
            _MADE.append(made.json()["lease_id"])

    @task(2)
    def retrieve(self) -> None:
        """GET /api/v1/leases/{id}"""
        if lease_id := self._any():
            self.call("GET", f"/api/v1/leases/{lease_id}", name="/api/v1/leases/{id}")

    @task(2)
    def history(self) -> None:
        """GET /api/v1/leases/{id}/history"""
        if lease_id := self._any():
            self.call("GET", f"/api/v1/leases/{lease_id}/history", name="/api/v1/leases/{id}/history")

    @task(2)
    def list(self) -> None:
        """GET /api/v1/leases"""
        self.call("GET", "/api/v1/leases", name="/api/v1/leases")

    @task(1)
    def check_health(self) -> None:
        """GET /health"""
        self.health()

    def _any(self) -> str | None:
        """Some lease of this run; the first user makes one."""
        if not _MADE:
            self.create()
        return random.choice(_MADE) if _MADE else None
