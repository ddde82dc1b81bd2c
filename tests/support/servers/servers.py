"""A PostgreSQL and a RabbitMQ for the tests, theirs alone and gone afterwards.

`start_servers()` is called once a session. It uses, in this order: AMQP_URL and DATABASE_URL when both are
set and the database is fresh (servers of a CI job; never a system that is in use); private servers in a
temporary directory; containers, where the programs are missing and a Docker engine answers.
"""

import atexit
import contextlib
import os
from collections.abc import Callable

import psycopg

from deployment import credentials, database_setup
from deployment.local.console import Terminal
from deployment.local.native import server_binaries
from deployment.local.native.server_binaries import ensure
from deployment.local.stack import Stack
from deployment.local.temporary import temporary_stack
from deployment.roles import AMQP_USER, DATABASE, OWNER

SCHEMAS = [["lease", "payment", "ledger"]]
_POSTGRES_IMAGE = "postgres:16-alpine"
_RABBITMQ_IMAGE = "rabbitmq:4"


class Servers:
    """Addresses of running servers with the database and its roles made; migrations are not applied."""

    def __init__(
        self,
        amqp_url: str,
        database_url: str,
        passwords: dict[str, str],
        stop: Callable[[], object],
        stack: Stack | None,
    ) -> None:
        self.amqp_url = amqp_url
        # The owner's: may create schemas, roles and databases.
        self.database_url = database_url
        # The private stack, to stop, kill and start `postgres` or `rabbitmq` in it; None for servers given.
        self.stack = stack
        self._passwords = passwords
        self._stop = stop

    def dsn(self, role: str) -> str:
        """The database as one of deployment.roles.DATABASE_ROLES sees it."""
        return database_setup.role_url(self.database_url, role, self._passwords[role])

    def stop(self) -> None:
        """End the servers and delete their data. Safe to repeat."""
        atexit.unregister(self.stop)
        self._stop()


def start_servers() -> Servers:
    """Servers for this session; they end with `stop`, or with this process, however it ends."""
    servers = _given() or _private_or_contained()
    atexit.register(servers.stop)
    return servers


def _given() -> Servers | None:
    amqp_url, database_url = os.environ.get("AMQP_URL"), os.environ.get("DATABASE_URL")
    if not (amqp_url and database_url) or _in_use(database_url):
        return None
    passwords = credentials.generate().roles
    database_setup.create_roles(database_url, passwords)
    return Servers(amqp_url, database_url, passwords, lambda: None, None)


def _in_use(database_url: str) -> bool:
    """Whether a system lives there (`make env` was sourced): tests would change its passwords and data."""
    with psycopg.connect(database_url, connect_timeout=10) as connection:
        row = connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname = ANY(%s)", SCHEMAS)
        return row.fetchone() != (0,)


def _private_or_contained() -> Servers:
    missing = server_binaries.find().missing()
    if missing:
        with contextlib.suppress(Exception):
            return _contained()
        ensure(missing, Terminal())
    with contextlib.ExitStack() as held:
        stack = held.enter_context(temporary_stack(services=(), migrations=()))
        addresses = stack.addresses
        passwords = credentials.load_or_create(stack.layout.real).roles
        kept = held.pop_all()
    return Servers(addresses.amqp, addresses.database, passwords, kept.close, stack)


def _contained() -> Servers:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    made = credentials.generate()
    database = (
        DockerContainer(_POSTGRES_IMAGE)
        .with_env("POSTGRES_USER", OWNER)
        .with_env("POSTGRES_PASSWORD", made.owner)
        .with_exposed_ports(5432)
        .waiting_for(LogMessageWaitStrategy("listening on IPv4 address"))
    )
    broker = (
        DockerContainer(_RABBITMQ_IMAGE)
        .with_env("RABBITMQ_DEFAULT_USER", AMQP_USER)
        .with_env("RABBITMQ_DEFAULT_PASS", made.amqp)
        .with_exposed_ports(5672)
        .waiting_for(LogMessageWaitStrategy("Server startup complete"))
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(database)
        stack.enter_context(broker)
        at = f"{database.get_container_host_ip()}:{database.get_exposed_port(5432)}"
        database_url = f"postgresql://{OWNER}:{made.owner}@{at}/{DATABASE}"
        at = f"{broker.get_container_host_ip()}:{broker.get_exposed_port(5672)}"
        database_setup.create_roles(database_url, made.roles)
        kept = stack.pop_all()
    return Servers(f"amqp://{AMQP_USER}:{made.amqp}@{at}/", database_url, made.roles, kept.close, None)
