"""Users of the payment service. Each pays leases of its own, so that nobody is in another's way."""

import random
from collections import deque

from locust import between, task

from perf.loadtest.user import SET_UP, ServiceUser
from perf.targets import sample_lease

BEGUN_DAYS_AGO = 200  # six instalments of twelve are due, the others are to come
DECLINED = 0.10  # of the attempts: the issuer says no, 402
REPEATED = 0.05  # of the attempts: on a payment that is paid already, 409

_ATTEMPT = "/api/v1/payments/{id}/attempt"


class PaymentServiceLoadTest(ServiceUser):
    """Pays what is due, and pays off early; 2:6:1:1. About 3 requests a second each."""

    service = "payment"
    wait_time = between(0.1, 0.4)

    def on_start(self) -> None:
        """Begin with no lease: the first task makes one."""
        self._lease_id = ""
        self._due: deque[str] = deque()
        self._paid = ""  # the payment paid last

    @task(2)
    def list_payments(self) -> None:
        """GET /api/v1/leases/{id}/payments"""
        if self._has_lease():
            self._list("/api/v1/leases/{id}/payments")

    @task(6)
    def attempt(self) -> None:
        """POST /api/v1/payments/{id}/attempt: mostly paid, some declined, a few on what is paid already."""
        if not self._has_lease():
            return
        lot = random.random()
        if lot < REPEATED and self._paid:
            self._attempt(self._paid, "pm_card_ok", 409, f"{_ATTEMPT} [paid]")
        elif lot < REPEATED + DECLINED:
            self._attempt(self._due[0], "pm_card_insufficient_funds", 402, f"{_ATTEMPT} [declined]")
        else:
            payment_id = self._due.popleft()  # also where it fails: it may have been paid all the same
            if self._attempt(payment_id, "pm_card_ok", 201, _ATTEMPT):
                self._paid = payment_id

    @task(1)
    def pay_off(self) -> None:
        """POST /api/v1/leases/{id}/payoff"""
        if self._has_lease():
            path, name = f"/api/v1/leases/{self._lease_id}/payoff", "/api/v1/leases/{id}/payoff"
            self.call("POST", path, name=name, expect=201, body={"payment_method": "pm_card_ok"})
            self._due.clear()

    @task(1)
    def check_health(self) -> None:
        """GET /health"""
        self.health()

    def _has_lease(self) -> bool:
        """Whether there is a lease with something due; one is made where nothing is left."""
        if not self._due:
            made = self.call(
                *("POST", "/api/v1/leases"),
                name=f"/api/v1/leases {SET_UP}",
                expect=201,
                body=sample_lease.of_today(BEGUN_DAYS_AGO),
                service="lease",
            )
            if made is None:
                return False
            lease = made.json()
            self._lease_id, self._paid = lease["lease_id"], ""
            # Waits until the payment service knows the lease.
            token = {"Consistency-Token": made.headers["Consistency-Token"], "Prefer": "wait=10"}
            if self._list(f"/api/v1/leases/{{id}}/payments {SET_UP}", token):
                self._due.extend(sample_lease.due(lease))
        return bool(self._due)

    def _list(self, name: str, headers: dict[str, str] | None = None) -> bool:
        path = f"/api/v1/leases/{self._lease_id}/payments"
        return self.call("GET", path, name=name, headers=headers) is not None

    def _attempt(self, payment_id: str, method: str, expect: int, name: str) -> bool:
        path = f"/api/v1/payments/{payment_id}/attempt"
        return self.call("POST", path, name=name, expect=expect, body={"payment_method": method}) is not None
