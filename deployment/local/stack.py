"""A whole system on one machine: servers, database, services, as programs of one process manager."""

import fcntl
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from deployment.credentials import load_or_create, rotate_ledger_key
from deployment.errors import StackError
from deployment.local import preflight, requested_settings
from deployment.local.bringup import SERVICE_TIMEOUT_S, Bringup
from deployment.local.console import Reporter
from deployment.local.directories import Layout
from deployment.local.native import postgres, rabbitmq, server_binaries
from deployment.local.native.os_account import server_account
from deployment.local.native.plan import Plan
from deployment.local.native.server_binaries import ensure
from deployment.local.native.supervisord import State, Supervisor
from deployment.local.ports import VARIABLES
from deployment.local.settings import Addresses, Settings
from deployment.roles import MIGRATIONS, SERVICES, Service


class Stack:
    """One system, by its run directory; several can run side by side on different ports.

    `services` and `migrations` can be fewer than all: with none of either, only the servers come up, with the
    database and its roles made. `environment` adds variables to single programs, by name.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        services: Sequence[Service] = SERVICES,
        migrations: Sequence[str] = MIGRATIONS,
        environment: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._settings = settings
        self._services = tuple(services)
        self._migrations = tuple(migrations)
        self._environment = {name: dict(extra) for name, extra in (environment or {}).items()}
        self._account = server_account()
        self.layout = Layout(settings.run_dir)
        self.supervisor = Supervisor(self.layout)

    @property
    def addresses(self) -> Addresses:
        """All URLs, with passwords. Raises StackError before the first `up`."""
        if not self.layout.exists():
            raise StackError("There is no stack yet.", "`make up` makes one.")
        return Addresses(self._settings, load_or_create(self.layout.real))

    def up(self, reporter: Reporter | None = None, asked: Mapping[str, str] | None = None) -> bool:
        """Bring everything up, or what is missing of it. Returns False when there was nothing to do.

        `asked` is a user's environment: a stack that was not taken down then has the settings that it was
        started with, as `requested_settings` says; with None, this object's. Raises StackError, with what is
        running left running, so that its logs can be read.
        """
        reporter = reporter or Reporter()
        if said := self.layout.prepare(self._account):
            reporter.say(said)
        with self._only_one(reporter):
            if asked is not None:
                self._hold_to_what_was_started(asked, reporter)
            bringup = self._bringup(plan := self._plan(reporter), reporter)
            if self._repairable(plan, reporter):
                if bringup.is_up():
                    return False
                reporter.say("Something is not running: starting it again.")
            else:
                bringup.start_manager(self._settings)
            bringup.start_servers()
            bringup.start_services()
        return True

    def down(self, reporter: Reporter | None = None) -> bool:
        """Stop everything; data stays, settings do not. Returns False when nothing was running."""
        if not self.layout.exists():
            return False
        self.layout.require_ours()
        with self._only_one(reporter or Reporter()):
            was_up = self._down()
            self._settings.forget()
            return was_up

    def rotate_ledger_key(self, reporter: Reporter | None = None) -> None:
        """Make a new key for the ledger, and restart those who have it where they run. Raises StackError."""
        reporter = reporter or Reporter()
        if not self.layout.exists():
            raise StackError("There is no stack yet.", "`make up` makes one.")
        self.layout.require_ours()
        with self._only_one(reporter):
            rotate_ledger_key(self.layout.real)
            if not self.supervisor.answers():
                return  # the next `up` takes it in
            names = [service.name for service in self._services if service.signs_ledger]
            self.supervisor.stop(names)
            plan = self._plan(reporter)
            self.supervisor.write(plan.config)
            for name in names:
                self.supervisor.reload(name)
                self.supervisor.request_start(name)
            with reporter.step("The ledger's processes, with the new key"):
                self._bringup(plan, reporter).wait(names, SERVICE_TIMEOUT_S)

    def clean(self, reporter: Reporter | None = None) -> None:
        """Stop everything and delete the run directory, data included."""
        self.down(reporter)
        self.layout.remove()

    # --- single programs, for tests and for repairs by hand ---

    def states(self) -> dict[str, State]:
        """All programs by name; empty when the stack is down."""
        return self.supervisor.states()

    def stop_program(self, name: str) -> None:
        """Stop one program in good order and wait until it is gone. It stays down until started."""
        self.supervisor.stop([name])

    def start_program(self, name: str, timeout_s: float = SERVICE_TIMEOUT_S) -> int:
        """Start one program and wait until it is ready. Returns its process id."""
        self.supervisor.request_start(name)
        self.wait_ready(name, timeout_s)
        return self.states()[name].pid

    def kill_program(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to one program and its children. Returns the process id it had."""
        return self.supervisor.kill(name, number)

    def wait_restarted(self, name: str, old_pid: int, timeout_s: float = SERVICE_TIMEOUT_S) -> int:
        """Wait until a program that died runs again and is ready. Returns its new process id."""
        deadline = time.monotonic() + timeout_s
        while (state := self.states()[name]).pid in (0, old_pid) or not state.running:
            if time.monotonic() > deadline:
                raise StackError(f"{name} was not started again.", log=self.supervisor.tail(name))
            time.sleep(0.05)
        self.wait_ready(name, timeout_s)
        return state.pid

    def wait_ready(self, name: str, timeout_s: float = SERVICE_TIMEOUT_S) -> None:
        """Wait until one program works: /health for a front, running for a worker, a login for a server."""
        silent = Reporter()
        self._bringup(self._plan(silent), silent).wait([name], timeout_s)

    def set_environment(self, name: str, extra: Mapping[str, str]) -> None:
        """Replace the added variables of one program, which is stopped for it and not started again."""
        self._environment[name] = dict(extra)
        self.stop_program(name)
        self.supervisor.write(self._plan(Reporter()).config)
        self.supervisor.reload(name)

    # --- what the above is made of ---

    def _hold_to_what_was_started(self, asked: Mapping[str, str], reporter: Reporter) -> None:
        credentials = load_or_create(self.layout.real)
        kept = self._settings.kept()
        if kept and self.supervisor.answers():
            requested_settings.refuse_changes(kept, asked, credentials)
            self._settings = kept
            return
        given = Settings.from_environment(asked, kept or self._settings)
        self._settings = requested_settings.without_own_servers(given, credentials)
        if kept is None:
            return
        if said := requested_settings.differing_from_default(self._settings):
            reporter.say(f"It was not taken down by `make down`, so its settings hold: {said}")

    def _plan(self, reporter: Reporter) -> Plan:
        addresses = self.addresses
        needs = {"postgres": addresses.private_postgres, "rabbitmq": addresses.private_rabbitmq}
        version = postgres.version_of_data(self.layout)
        found = server_binaries.find(postgres_version=version)
        if missing := found.missing(**needs):
            if "postgresql" in missing and version:
                raise StackError(
                    f"The data in {self.layout.root} is of PostgreSQL {version}, which is not installed.",
                    f"Install PostgreSQL {version}, or drop the data with `make clean`.",
                )
            ensure(missing, reporter)
            found = server_binaries.find()
        return Plan(
            layout=self.layout,
            settings=self._settings,
            addresses=addresses,
            tools=found,
            account=self._account,
            services=self._services,
            migrations=self._migrations,
            extra=self._environment,
        )

    def _bringup(self, plan: Plan, reporter: Reporter) -> Bringup:
        return Bringup(self.layout, self.supervisor, plan, reporter)

    def _repairable(self, plan: Plan, reporter: Reporter) -> bool:
        """Whether a process manager with the right configuration is running; one with another is ended.

        With the same settings, it is another one where the code has changed.
        """
        if not self.supervisor.answers():
            return False
        if self.supervisor.config() == plan.config:
            return True
        # Nothing is stopped for ports that cannot be had; those in use now become free by stopping.
        kept = self._settings.recall().ports
        used = {kept.of(field) for field in VARIABLES}
        ports = self._settings.ports
        preflight.check_ports(ports, [field for field in plan.port_fields if ports.of(field) not in used])
        with reporter.step("What is to run has changed: stopping what runs"):
            self._down()
        return False

    def _down(self) -> bool:
        was_up = self.supervisor.answers()
        if was_up:
            names = list(self.states())
            servers = [name for name in (postgres.NAME, rabbitmq.NAME) if name in names]
            services = [name for name in names if name not in (*servers, rabbitmq.EPMD)]
            # Services first, so that they drain into servers that still answer.
            self.supervisor.stop(services)
            self.supervisor.stop(servers)
            # Left to its own shutdown, supervisord would take a second for each program it has.
            self.supervisor.stop([name for name in names if name == rabbitmq.EPMD])
            self.supervisor.shutdown()
        return preflight.recover(self.layout) or was_up

    @contextmanager
    def _only_one(self, reporter: Reporter) -> Iterator[None]:
        """Hold the lock of this run directory, so that two commands do not work against each other."""
        with (self.layout.real / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                reporter.say("Another command is at work on this stack: waiting for it.")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
