"""From settings to programs: what exactly is run, where it listens and when it counts as ready."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from deployment import healthcheck
from deployment.credentials import load_or_create
from deployment.local.console import Reporter
from deployment.local.directories import Layout
from deployment.local.native import postgres, rabbitmq
from deployment.local.native.os_account import Account
from deployment.local.native.server_binaries import Tools
from deployment.local.native.supervisord_config import Program, render
from deployment.local.settings import Addresses, Settings
from deployment.roles import Service


class Plan:
    """All programs of one stack. Making it changes nothing on disk; `prepare` does."""

    def __init__(
        self,
        *,
        layout: Layout,
        settings: Settings,
        addresses: Addresses,
        tools: Tools,
        account: Account | None,
        services: Sequence[Service],
        migrations: Sequence[str],
        extra: Mapping[str, Mapping[str, str]],
    ) -> None:
        self.addresses = addresses
        self.migrations = migrations
        self.project = settings.project
        self.service_names = [service.name for service in services]
        self._layout = layout
        self._settings = settings
        self._tools = tools
        self._account = account
        self._services = services
        self._extra = extra
        programs = [*self._server_programs(), *map(self._service_program, services)]
        self.names = [program.name for program in programs]
        self.config = render(layout, programs)

    def _server_programs(self) -> list[Program]:
        found: list[Program] = []
        if self.addresses.private_rabbitmq:
            server, epmd = self._tools.rabbitmq_server, self._tools.epmd
            assert server is not None
            assert epmd is not None
            found += rabbitmq.programs(self._layout, self._settings.ports, server, epmd, self._account)
        if self.addresses.private_postgres:
            assert self._tools.postgres is not None
            found.append(postgres.program(self._layout, self._tools.postgres, self._account))
        return found

    def _service_program(self, service: Service) -> Program:
        environment = self.addresses.variables(service, self._settings, self._layout.real)
        return Program(
            name=service.name,
            command=(sys.executable, "-m", *service.arguments),
            directory=str(self._settings.project),
            environment=environment | dict(self._extra.get(service.name, {})),
        )

    @property
    def port_fields(self) -> list[str]:
        """Names of the ports that this stack is going to listen on."""
        fields = ["amqp", "dist", "epmd"] if self.addresses.private_rabbitmq else []
        fields += ["postgres"] if self.addresses.private_postgres else []
        return fields + [service.port for service in self._services if service.port]

    @property
    def checks(self) -> dict[str, Callable[[], bool]]:
        """When a program is ready, by name; one without a check is when it runs."""
        ports = self._settings.ports
        checks: dict[str, Callable[[], bool]] = {
            postgres.NAME: lambda: postgres.is_ready(self.addresses.database),
            rabbitmq.NAME: lambda: rabbitmq.is_ready(self.addresses.amqp),
            rabbitmq.EPMD: lambda: rabbitmq.epmd_is_ready(ports),
        }
        for name, url in self.health_urls.items():
            checks[name] = partial(healthcheck.answers_ok, url)
        return checks

    @property
    def health_urls(self) -> dict[str, str]:
        """The health page of each service that has one, by name."""
        return {
            service.name: self.addresses.http(service.port) + service.health
            for service in self._services
            if service.port and service.health
        }

    def prepare(self, reporter: Reporter) -> None:
        """Write everything the programs need before they start; the first time also the database cluster."""
        ports = self._settings.ports
        credentials = load_or_create(self._layout.real)
        for service in self._services:
            if service.data_file:
                (self._layout.real / service.data_file).parent.mkdir(mode=0o700, exist_ok=True)
        if self.addresses.private_rabbitmq:
            rabbitmq.prepare(self._layout, ports, credentials, self._account)
        if self.addresses.private_postgres:
            assert self._tools.postgres is not None
            if postgres.version_of_data(self._layout) is None:
                with reporter.step("New database cluster"):
                    postgres.prepare(self._layout, ports, credentials, self._tools.postgres, self._account)
            else:
                postgres.prepare(self._layout, ports, credentials, self._tools.postgres, self._account)
