"""What the system consists of, as data.

This table is the only place that knows which processes exist, what they are started with and which port they
listen on. The native stack is generated from it, and a test holds compose.yaml to it.
"""

import msgspec

# The database everything lives in, and the role that owns it. Services never get the owner's password.
DATABASE = "lease_payments"
OWNER = "lease_owner"
AMQP_USER = "lease_amqp"

# Login roles of the services. Migrations grant each of them what it needs in its own schema.
DATABASE_ROLES = ("lease_svc", "payment_svc", "ledger_writer", "ledger_reader")

# Packages with a `migrate` role, run once by the owner before any service starts.
MIGRATIONS = ("lease_svc", "payment_svc", "ledger_svc")

# Settings a user may give in the environment of `make up`, with what they are otherwise; empty: not set.
# `tunables` of a Service names those that reach its process.
TUNABLES = {
    "LOG_LEVEL": "info",
    "GATEWAY": "sandbox",
    "STRIPE_API_KEY": "",
    "WEBHOOK_SECRET": "",  # the stack makes one for its sandbox gateway; Stripe has its own
    "GATEWAY_TIMEOUT_S": "10",
    "RESOLVE_AFTER_S": "5,30,300,3600",
    "GATEWAY_LATENCY_MS": "50-150",
    "COLLECTIONS_AT": "06:00",
    "RECONCILE_EVERY_S": "300",
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
    # Field of `Ports` it listens on; None: it serves no HTTP.
    port: str | None = None
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
        name="gateway",
        module="gateway_sandbox",
        uses_amqp=False,
        port="gateway",
        health="/livez",
        knows_webhooks=True,
        sends_webhooks=True,
        data_file="gateway/gateway.db",
        tunables=("LOG_LEVEL", "GATEWAY_LATENCY_MS"),
    ),
    Service(
        name="lease-api",
        module="lease_svc",
        role="api",
        database_role="lease_svc",
        port="lease",
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
)
