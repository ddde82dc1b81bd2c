"""What one stack is made of: its place, its ports, and the servers it was given instead of its own."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from deployment.credentials import Credentials, write_private
from deployment.database_setup import role_url
from deployment.errors import StackError
from deployment.local.ports import LOOPBACK, Ports
from deployment.roles import (
    AMQP_USER,
    DATABASE,
    OWNER,
    PROJECT,
    TUNABLES,
    URL_VARIABLES,
    WEBHOOK_PATH,
    Service,
)

_FILE = "settings.json"
_SCHEMES = {"AMQP_URL": ("amqp", "amqps"), "DATABASE_URL": ("postgresql", "postgres")}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Choices of the user; everything else follows from the table of roles."""

    # Directory of the stack's files.
    run_dir: Path
    ports: Ports = msgspec.field(default_factory=Ports)
    # Servers to use instead of private ones; None: a private one.
    amqp_url: str | None = None
    database_url: str | None = None
    # Values of roles.TUNABLES that differ from the defaults.
    tunables: dict[str, str] = {}
    # Where processes write the stamps of traced requests (common/observability/trace_stamps.py), for a
    # measurement; empty: nowhere.
    hops_dir: str = ""
    # Directory `python -m <module>` is run in.
    project: Path = PROJECT

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], base: "Settings | None" = None) -> "Settings":
        """`base` (None: the stack of this checkout by default), as the user's environment asks for it.

        Raises StackError for values that cannot be meant.
        """
        base = base or cls(run_dir=PROJECT / ".run")
        for variable, schemes in _SCHEMES.items():
            parts = urlsplit(environment.get(variable, ""))
            if parts.geturl() and not (parts.scheme in schemes and parts.hostname):
                raise StackError(f"{variable} does not look like {schemes[0]}://user:password@host/….")
        given = {name: environment[name] for name in TUNABLES if environment.get(name)}
        return msgspec.structs.replace(
            base,
            ports=Ports.from_environment(environment, base.ports),
            amqp_url=environment.get("AMQP_URL") or base.amqp_url,
            database_url=environment.get("DATABASE_URL") or base.database_url,
            tunables=base.tunables | given,
        )

    def remember(self) -> None:
        """Keep these settings in the run directory: they hold from `up` until `down`."""
        write_private(self.run_dir / _FILE, msgspec.json.encode(self, enc_hook=str))

    def forget(self) -> None:
        """Undo `remember`."""
        (self.run_dir / _FILE).unlink(missing_ok=True)

    def kept(self) -> "Settings | None":
        """The settings that the stack in this run directory was started with; None after `down`."""
        try:
            kept = msgspec.json.decode(
                (self.run_dir / _FILE).read_bytes(), type=Settings, dec_hook=lambda kind, text: kind(text)
            )
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return msgspec.structs.replace(kept, run_dir=self.run_dir, project=self.project)

    def recall(self) -> "Settings":
        """The settings that the stack in this run directory was started with; these, after `down`."""
        return self.kept() or self


class Addresses:
    """The URLs of a stack.

    A server given by its URL that is the stack's own private one (`make env` was sourced) counts as private,
    also where that was on another port: nobody else has its password.
    """

    def __init__(self, settings: Settings, credentials: Credentials) -> None:
        self._ports = settings.ports
        self._credentials = credentials
        private_database = (
            f"postgresql://{OWNER}:{credentials.owner}@{LOOPBACK}:{self._ports.of('postgres')}/{DATABASE}"
        )
        private_amqp = f"amqp://{AMQP_USER}:{credentials.amqp}@{LOOPBACK}:{self._ports.of('amqp')}/"
        self.private_postgres = _is_own(settings.database_url, private_database)
        self.private_rabbitmq = _is_own(settings.amqp_url, private_amqp)
        self.database = private_database if self.private_postgres else settings.database_url or ""
        self.amqp = private_amqp if self.private_rabbitmq else settings.amqp_url or ""

    def dsn(self, role: str) -> str:
        """The database as one of roles.DATABASE_ROLES sees it."""
        return role_url(self.database, role, self._credentials.roles[role])

    def http(self, port: str) -> str:
        """Base URL of what listens on the port of that name, without a slash at the end."""
        return f"http://{LOOPBACK}:{self._ports.of(port)}"

    def exports(self) -> dict[str, str]:
        """What `make env` prints."""
        return {
            "AMQP_URL": self.amqp,
            "DATABASE_URL": self.database,
            **{variable: self.http(port) for port, variable in URL_VARIABLES.items()},
        }

    def shell_exports(self) -> str:
        """The same as lines for a shell: the one place where passwords are shown."""
        return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in self.exports().items())

    def variables(self, service: Service, settings: Settings, directory: Path) -> dict[str, str]:
        """The environment of a service's process; its names are `service.variables()`."""
        values = {
            **TUNABLES,
            **settings.tunables,
            "HOST": LOOPBACK,
            "AMQP_URL": self.amqp,
            "GATEWAY_URL": self.http("gateway"),
            "WEBHOOK_SECRET": settings.tunables.get("WEBHOOK_SECRET") or self._credentials.webhook,
            "WEBHOOK_URL": self.http("payment") + WEBHOOK_PATH,
            "LEDGER_KEY": self._credentials.ledger_key,
        }
        if service.port:
            values["PORT"] = str(self._ports.of(service.port))
        if service.database_role:
            values["DATABASE_URL"] = self.dsn(service.database_role)
        if service.data_file:
            values["GATEWAY_DB"] = str(directory / service.data_file)
        chosen = {name: values[name] for name in service.variables()}
        return chosen | ({"HOPS_DIR": settings.hops_dir} if settings.hops_dir else {})


def _is_own(url: str | None, private: str) -> bool:
    """Whether no server was given, or one that differs from the private one by nothing but its port."""
    return not url or _without_port(url) == _without_port(private)


def _without_port(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    return (*parts._replace(netloc=parts.netloc.rpartition("@")[0]), parts.hostname or "")
