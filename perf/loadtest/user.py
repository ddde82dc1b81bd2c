"""What all users have in common: addresses, timeouts, and which answer counts as a success."""

import uuid
from collections.abc import Mapping
from typing import Any, cast

from locust import FastHttpUser
from locust.env import Environment

from deployment.local.service_urls import addresses
from perf.checks.conservation import RequestCounts

# A front answers within 10 s, if only with 202; what takes longer than this is broken.
NETWORK_TIMEOUT_S = 15.0
CONNECTION_TIMEOUT_S = 5.0

SET_UP = "[set-up]"  # ends the names of requests that only make ready what the scenario needs

# Of all users of this process; a request that is cut off with its user has been sent as well.
COUNTS = RequestCounts()


def address(environment: Environment, service: str) -> str:
    """Base URL of a service.

    `--host` (or the field of the web page) is the lease service's; where only one class of users runs, it is
    that class's service.
    """
    classes = environment.user_classes
    meant = cast(type[ServiceUser], classes[0]).service if len(classes) == 1 else "lease"
    if environment.host and service == meant:
        return str(environment.host).rstrip("/")
    return addresses()[service]


class ServiceUser(FastHttpUser):
    """A user of one service. FastHttpUser takes a quarter of the CPU that HttpUser takes for a request."""

    abstract = True
    network_timeout = NETWORK_TIMEOUT_S
    connection_timeout = CONNECTION_TIMEOUT_S
    service: str  # that this class of users is for

    def __init_subclass__(cls) -> None:
        """Locust wants to see an address, though it is given whole URLs."""
        super().__init_subclass__()
        cls.host = addresses()[cls.service]

    def call(
        self,
        method: str,
        path: str,
        *,
        name: str,
        expect: int = 200,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        service: str | None = None,
    ) -> Any:
        """One request; the response where it has the status the scenario expects, else None and a failure.

        A POST has an Idempotency-Key of its own, as clients are told to send.
        """
        sent = dict(headers or {})
        if method == "POST":
            sent["Idempotency-Key"] = str(uuid.uuid4())
        asked = service or self.service
        url = address(self.environment, asked) + path
        COUNTS.sends(method, path)
        with self.client.request(
            *(method, url),
            name=name,
            json=body,
            headers=sent,
            catch_response=True,
            context={"service": asked},
        ) as response:
            COUNTS.hears(method, path, response.status_code, response.content)
            if response.status_code == expect:
                response.success()
                return response
            response.failure(f"{response.status_code or response.error} instead of {expect}")
            return None

    def health(self) -> None:
        """GET /health of the user's own service."""
        self.call("GET", "/health", name=f"/health of {self.service}")
