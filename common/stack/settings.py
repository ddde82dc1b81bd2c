"""What one stack is made of: its place, its ports, and the servers it was given instead of its own."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from common.stack.bootstrap import role_url
from common.stack.credentials import Credentials, write_private
from common.stack.errors import StackError
from common.stack.ports import LOOPBACK, Ports
from common.stack.roles import AMQP_USER, DATABASE, OWNER, TUNABLES, Service

PROJECT = Path(__file__).resolve().parents[2]
_FILE = "settings.json"
_SCHEMES = {"AMQP_URL": ("amqp", "amqps"), "DATABASE_URL": ("postgresql", "postgres")}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Choices of the user; everything else follows from the table of roles."""

    # Directory of the stack's files.
    run_dir: Path
    ports: Ports = Ports()
    # Servers to use instead of private ones; None: a private one.
    amqp_url: str | None = None
    database_url: str | None = None
    # Values of roles.TUNABLES that differ from the defaults.
    tunables: dict[str, str] = {}
    # Directory `python -m <module>` is run in.
    project: Path = PROJECT

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """The stack of this checkout, as the user's environment asks for it.

        Raises StackError for values that cannot be meant.
        """
        for variable, schemes in _SCHEMES.items():
            parts = urlsplit(environment.get(variable, ""))
            if parts.geturl() and not (parts.scheme in schemes and parts.hostname):
                raise StackError(f"{variable} does not look like {schemes[0]}://user:password@host/….")
        return cls(
            run_dir=PROJECT / ".run",
            ports=Ports.from_environment(environment),
            amqp_url=environment.get("AMQP_URL") or None,
            database_url=environment.get("DATABASE_URL") or None,
            tunables={name: environment[name] for name in TUNABLES if environment.get(name)},
        )

    def remember(self) -> None:
        """Keep these settings in the run directory."""
        write_private(self.run_dir / _FILE, msgspec.json.encode(self, enc_hook=str))

    def recall(self) -> "Settings":
        """The settings of the last `up` in the same run directory; these, where there was none."""
        try:
            kept = msgspec.json.decode(
                (self.run_dir / _FILE).read_bytes(), type=Settings, dec_hook=lambda kind, text: kind(text)
            )
        except (FileNotFoundError, msgspec.DecodeError):
            return self
        return msgspec.structs.replace(kept, run_dir=self.run_dir, project=self.project)


class Addresses:
    """The URLs of a stack.

    A server given by its URL that is the stack's own private one (`make env` was sourced) counts as private.
    """

    def __init__(self, settings: Settings, credentials: Credentials) -> None:
        self._ports = settings.ports
        self._credentials = credentials
        private_database = (
            f"postgresql://{OWNER}:{credentials.owner}@{LOOPBACK}:{self._ports.postgres}/{DATABASE}"
        )
        private_amqp = f"amqp://{AMQP_USER}:{credentials.amqp}@{LOOPBACK}:{self._ports.amqp}/"
        self.database = settings.database_url or private_database
        self.amqp = settings.amqp_url or private_amqp
        self.private_postgres = self.database == private_database
        self.private_rabbitmq = self.amqp == private_amqp

    def dsn(self, role: str) -> str:
        """The database as one of roles.DATABASE_ROLES sees it."""
        return role_url(self.database, role, self._credentials.roles[role])

    def http(self, port_field: str) -> str:
        """Base URL of what listens on that field of Ports, without a slash at the end."""
        return f"http://{LOOPBACK}:{self._ports.of(port_field)}"

    def exports(self) -> dict[str, str]:
        """What `make env` prints."""
        return {
            "AMQP_URL": self.amqp,
            "DATABASE_URL": self.database,
            "LEASE_SERVICE_URL": self.http("lease"),
            "PAYMENT_SERVICE_URL": self.http("payment"),
            "LEDGER_SERVICE_URL": self.http("ledger"),
            "GATEWAY_URL": self.http("gateway"),
        }

    def variables(self, service: Service, settings: Settings, directory: Path) -> dict[str, str]:
        """The environment of a service's process; its names are `service.variables()`."""
        values = {
            **TUNABLES,
            **settings.tunables,
            "HOST": LOOPBACK,
            "AMQP_URL": self.amqp,
            "GATEWAY_URL": self.http("gateway"),
            "WEBHOOK_SECRET": settings.tunables.get("WEBHOOK_SECRET") or self._credentials.webhook,
            "WEBHOOK_URL": f"{self.http('payment')}/api/v1/webhooks/gateway",
            "LEDGER_KEY": self._credentials.ledger_key,
        }
        if service.port:
            values["PORT"] = str(self._ports.of(service.port))
        if service.database_role:
            values["DATABASE_URL"] = self.dsn(service.database_role)
        if service.data_file:
            values["GATEWAY_DB"] = str(directory / service.data_file)
        return {name: values[name] for name in service.variables()}
