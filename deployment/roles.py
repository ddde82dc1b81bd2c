"""What the system consists of, as data.

A process is one entry of SERVICES. From it follow the native stack, the ports with their variables, the
health checks, the database roles with their passwords, the secrets, what measurements watch, and the
processes in compose.yaml (`make docs` writes them; a test holds the file to it).
"""

from pathlib import Path

import msgspec

from common.runtime.settings import SECRETS, Settings

# Directory of this checkout: where `python -m <module>` finds the services.
PROJECT = Path(__file__).resolve().parents[1]

# The database everything lives in, and the role that owns it. Services never get the owner's password.
DATABASE = "lease_payments"
OWNER = "lease_owner"
AMQP_USER = "lease_amqp"

# Where the payment service takes the gateway's webhooks.
WEBHOOK_PATH = "/api/v1/webhooks/gateway"


def _default(variable: str) -> str:
    value = getattr(Settings(), variable.lower())
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


# Settings a user may give in the environment of `make up`, with what they are otherwise: the processes' own
# defaults; empty: not set. `tunables` of a Service names those that reach its process.
TUNABLES = {
    name: _default(name)
    for name in (
        "LOG_LEVEL",
        "GATEWAY",
        "STRIPE_API_KEY",
        "WEBHOOK_SECRET",  # the stack makes one for its sandbox gateway; Stripe has its own
        "GATEWAY_TIMEOUT_S",
        "RESOLVE_AFTER_S",
        "GATEWAY_LATENCY_MS",
        "COLLECTIONS_AT",
        "RECONCILE_EVERY_S",
    )
}


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the system: `python -m <module> [<role>]`."""

    # Name in the process manager, in logs and in compose.yaml.
    name: str
    # Python package that is run.
    module: str
    # Its only argument; empty for none.
    role: str = ""
    # Role it logs into Postgres with; None: it gets no DATABASE_URL.
    database_role: str | None = None
    # Whether it gets AMQP_URL.
    uses_amqp: bool = True
    # Name of the port it serves HTTP on; None: it serves none.
    port: str | None = None
    # That port's number, unless the user gives another in `port_variable`.
    default_port: int = 0
    # Variable that tells clients its base URL; empty: `<PORT>_SERVICE_URL`.
    url_variable: str = ""
    # Path that answers 200 when it can work; None: running is all that can be asked of it.
    health: str | None = None
    # Whether it gets GATEWAY_URL, the address of the sandbox gateway.
    calls_gateway: bool = False
    # Whether it gets WEBHOOK_SECRET, which webhooks are signed with.
    knows_webhooks: bool = False
    # Whether it gets LEDGER_KEY, which signs the ledger's checkpoints.
    signs_ledger: bool = False
    # Whether it gets WEBHOOK_URL, where they are sent.
    sends_webhooks: bool = False
    # File below the run directory it keeps its data in, given as GATEWAY_DB; None: none.
    data_file: str | None = None
    # Keys of TUNABLES that are passed on.
    tunables: tuple[str, ...] = ("LOG_LEVEL",)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What follows `python -m`."""
        return (self.module, self.role) if self.role else (self.module,)

    @property
    def port_variable(self) -> str:
        """Variable with which the user gives it another port."""
        assert self.port is not None
        return f"{self.port.upper()}_PORT"

    def secrets(self) -> tuple[str, ...]:
        """Those of `variables` that hold a secret which the stack makes."""
        return tuple(
            name for name in self.variables() if name.lower() in SECRETS and name not in self.tunables
        )

    def variables(self) -> tuple[str, ...]:
        """Names of the environment variables this process is started with."""
        names = [*(["HOST", "PORT"] if self.port else [])]
        names += ["AMQP_URL"] if self.uses_amqp else []
        names += ["DATABASE_URL"] if self.database_role else []
        names += ["GATEWAY_URL"] if self.calls_gateway else []
        names += ["GATEWAY_DB"] if self.data_file else []
        names += ["WEBHOOK_SECRET"] if self.knows_webhooks else []
        names += ["WEBHOOK_URL"] if self.sends_webhooks else []
        names += ["LEDGER_KEY"] if self.signs_ledger else []
        return (*names, *self.tunables)


SERVICES = (
    Service(
        name="lease-api",
        module="lease_svc",
        role="api",
        database_role="lease_svc",
        port="lease",
        default_port=8000,
        health="/health",
    ),
    Service(name="lease-worker", module="lease_svc", role="worker", database_role="lease_svc"),
    Service(
        name="payment-api",
        module="payment_svc",
        role="api",
        database_role="payment_svc",
        knows_webhooks=True,
        port="payment",
        default_port=8001,
        health="/health",
    ),
    Service(
        name="payment-worker",
        module="payment_svc",
        role="worker",
        database_role="payment_svc",
        calls_gateway=True,
        tunables=(
            "LOG_LEVEL",
            "GATEWAY",
            "STRIPE_API_KEY",
            "GATEWAY_TIMEOUT_S",
            "RESOLVE_AFTER_S",
            "COLLECTIONS_AT",
        ),
    ),
    Service(
        name="ledger-api",
        module="ledger_svc",
        role="api",
        database_role="ledger_reader",
        signs_ledger=True,
        port="ledger",
        default_port=8002,
        health="/health",
    ),
    Service(
        name="ledger-writer",
        module="ledger_svc",
        role="writer",
        database_role="ledger_writer",
        tunables=("LOG_LEVEL", "RECONCILE_EVERY_S"),
        signs_ledger=True,
    ),
    Service(
        name="gateway",
        module="gateway_sandbox",
        uses_amqp=False,
        port="gateway",
        default_port=8003,
        url_variable="GATEWAY_URL",
        health="/livez",
        knows_webhooks=True,
        sends_webhooks=True,
        data_file="gateway/gateway.db",
        tunables=("LOG_LEVEL", "GATEWAY_LATENCY_MS"),
    ),
)

# Those that serve HTTP, by their port's name.
HTTP_SERVICES = {service.port: service for service in SERVICES if service.port}

# Login roles of the services. Migrations grant each of them what it needs in its own schema.
DATABASE_ROLES = tuple(dict.fromkeys(each.database_role for each in SERVICES if each.database_role))

# Packages with a `migrate` role, run once by the owner before any service starts.
MIGRATIONS = tuple(dict.fromkeys(each.module for each in SERVICES if each.database_role))

# The variable that tells clients where a service is, by its port's name.
URL_VARIABLES = {
    port: service.url_variable or f"{port.upper()}_SERVICE_URL" for port, service in HTTP_SERVICES.items()
}
