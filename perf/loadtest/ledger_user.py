"""Users of the ledger. They read leases that something has happened to."""

import random
from datetime import UTC, datetime

from locust import between, task

from perf.loadtest.user import SET_UP, ServiceUser
from perf.targets import sample_lease

LIVES_MAX = 20
BEGUN_DAYS_AGO = 100  # three instalments are due
METHODS = ("pm_card_ok", "pm_card_insufficient_funds", "pm_card_ok")  # of the attempts that make a life

_LIVES: list[str] = []  # leases with seven events each, for all users of this process


class LedgerServiceLoadTest(ServiceUser):
    """Looks into the past of leases; 3:2:2:2:1. About 2 requests a second each."""

    service = "ledger"
    wait_time = between(0.3, 0.7)

    @task(3)
    def trail(self) -> None:
        """GET /api/v1/audit/leases/{id}"""
        if lease_id := self._any():
            self._ask("GET", lease_id, "")

    @task(2)
    def timeline(self) -> None:
        """GET /api/v1/audit/leases/{id}/timeline"""
        if lease_id := self._any():
            self._ask("GET", lease_id, "/timeline")

    @task(2)
    def state_at_point(self) -> None:
        """POST /api/v1/audit/leases/{id}/state-at-point"""
        if lease_id := self._any():
            self._ask("POST", lease_id, "/state-at-point", {"as_of": datetime.now(UTC).isoformat()})

    @task(2)
    def export(self) -> None:
        """GET /api/v1/audit/leases/{id}/export"""
        if lease_id := self._any():
            self._ask("GET", lease_id, "/export")

    @task(1)
    def metrics(self) -> None:
        """GET /api/v1/audit/metrics"""
        self.call("GET", "/api/v1/audit/metrics", name="/api/v1/audit/metrics")

    def _ask(self, method: str, lease_id: str, what: str, body: object = None) -> None:
        path = f"/api/v1/audit/leases/{lease_id}{what}"
        self.call(method, path, name=f"/api/v1/audit/leases/{{id}}{what}", body=body)

    def _any(self) -> str | None:
        """Some lease of this run; the first users make them."""
        if len(_LIVES) < LIVES_MAX and (lived := self._live()):
            _LIVES.append(lived)
        return random.choice(_LIVES) if _LIVES else None

    def _live(self) -> str | None:
        """Make a lease, pay some of it, and return once the ledger has it all; None where that failed."""
        made = self.call(
            *("POST", "/api/v1/leases"),
            name=f"/api/v1/leases {SET_UP}",
            expect=201,
            body=sample_lease.of_today(BEGUN_DAYS_AGO),
            service="lease",
        )
        if made is None:
            return None
        lease, last = made.json(), made
        for payment_id, method in zip(sample_lease.due(lease), METHODS, strict=False):
            tried = self.call(
                *("POST", f"/api/v1/payments/{payment_id}/attempt"),
                name=f"/api/v1/payments/{{id}}/attempt {SET_UP}",
                expect=201 if method == "pm_card_ok" else 402,
                body={"payment_method": method},
                service="payment",
            )
            if tried is None:
                return None
            last = tried
        token = {"Consistency-Token": last.headers["Consistency-Token"], "Prefer": "wait=10"}
        path = f"/api/v1/audit/leases/{lease['lease_id']}"
        there = self.call("GET", path, name=f"/api/v1/audit/leases/{{id}} {SET_UP}", headers=token)
        return str(lease["lease_id"]) if there is not None else None
