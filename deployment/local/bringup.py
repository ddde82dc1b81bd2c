"""The steps from a plan to a running system, in the order that is fastest."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from deployment import database_setup, healthcheck
from deployment.credentials import load_or_create
from deployment.errors import StackError
from deployment.local import preflight
from deployment.local.console import Reporter
from deployment.local.directories import Layout
from deployment.local.native import postgres, rabbitmq
from deployment.local.native.plan import Plan
from deployment.local.native.supervisord import Supervisor
from deployment.local.settings import Settings

SERVER_TIMEOUT_S = 90.0
SERVICE_TIMEOUT_S = 60.0
# A server that somebody else runs is there or is not.
_GIVEN_TIMEOUT_S = 10.0
_POLL_S = 0.1
# A program that was started this often without becoming ready will not become ready by waiting.
_MAX_STARTS = 4
_ADVICE = "`make ps` shows all programs, `make logs` more of their logs; `make up` carries on from here."


class Bringup:
    """One attempt to bring a plan up. Each step can be repeated: what runs is left as it is."""

    def __init__(self, layout: Layout, supervisor: Supervisor, plan: Plan, reporter: Reporter) -> None:
        self._layout = layout
        self._supervisor = supervisor
        self._plan = plan
        self._reporter = reporter

    def is_up(self) -> bool:
        """Whether every program runs and is ready."""
        states = self._supervisor.states()
        names = self._plan.names
        return all(name in states and states[name].pid and self.ready(name) for name in names)

    def ready(self, name: str) -> bool:
        """Whether one program does its work, as far as it can be asked."""
        if check := self._plan.checks.get(name):
            return check()
        state = self._supervisor.states().get(name)
        return state is not None and state.running

    def wait(self, names: Sequence[str], timeout_s: float) -> None:
        """Return when all of these are ready. Raises StackError, with the log of the one that is not."""
        try:
            _wait(self._supervisor, {name: partial(self.ready, name) for name in names}, timeout_s)
        except StackError as error:
            ill = [
                url for name, url in self._plan.health_urls.items() if name in names and not self.ready(name)
            ]
            problem = "\n".join([error.problem, *map(healthcheck.explain, ill)])
            raise StackError(problem, error.advice, error.log) from error

    def start_manager(self, settings: Settings) -> None:
        """Check the ground, write all files and start the process manager, with nothing running in it yet.

        From here on the settings are kept.
        """
        if preflight.recover(self._layout):
            self._reporter.say("Cleared away what a crash had left.")
        preflight.check_ports(settings.ports, self._plan.port_fields)
        if said := preflight.warning(settings.ports, self._plan.port_fields):
            self._reporter.say(said)
        self._plan.prepare(self._reporter)
        self._supervisor.write(self._plan.config)
        settings.remember()
        self._supervisor.start()

    def start_servers(self) -> None:
        """Both at once; the database is made ready while the broker, which takes longer, boots."""
        addresses = self._plan.addresses
        if addresses.private_rabbitmq:
            self._supervisor.request_start(rabbitmq.EPMD)
            self.wait([rabbitmq.EPMD], SERVER_TIMEOUT_S)
            self._supervisor.request_start(rabbitmq.NAME)
        if addresses.private_postgres:
            self._supervisor.request_start(postgres.NAME)
            with self._reporter.step("PostgreSQL"):
                self.wait([postgres.NAME], SERVER_TIMEOUT_S)
        with self._reporter.step("Database roles and migrations"):
            database_setup.create_roles(addresses.database, load_or_create(self._layout.real).roles)
            database_setup.migrate(addresses.database, self._plan.migrations, self._plan.project)
        with self._reporter.step("RabbitMQ"):
            self._wait_for_broker()

    def start_services(self) -> None:
        """All at once, then wait until each is ready."""
        names = self._plan.service_names
        for name in names:
            self._supervisor.request_start(name)
        if names:
            with self._reporter.step("All processes of the services"):
                self.wait(names, SERVICE_TIMEOUT_S)

    def _wait_for_broker(self) -> None:
        if self._plan.addresses.private_rabbitmq:
            self.wait([rabbitmq.NAME], SERVER_TIMEOUT_S)
            return
        deadline = time.monotonic() + _GIVEN_TIMEOUT_S
        while not rabbitmq.is_ready(self._plan.addresses.amqp):
            if time.monotonic() > deadline:
                advice = "Correct AMQP_URL, or unset it to have a private broker."
                raise StackError("No RabbitMQ answers at AMQP_URL.", advice)
            time.sleep(0.2)


def _wait(supervisor: Supervisor, checks: Mapping[str, Callable[[], bool]], timeout_s: float) -> None:
    """Return when every check (by name of the program) has been true once.

    Raises StackError with the program's last log lines when one is given up by supervisord, keeps dying, or
    is not ready in time.
    """
    deadline = time.monotonic() + timeout_s
    starts: dict[str, set[int]] = {name: set() for name in checks}
    waiting = dict(checks)
    while waiting:
        waiting = {name: check for name, check in waiting.items() if not check()}
        if not waiting:
            return
        states = supervisor.states()
        for name in waiting:
            if name not in states:
                continue
            starts[name].add(states[name].started_at)
            if states[name].name_of_state == "FATAL" or len(starts[name]) > _MAX_STARTS:
                problem = f"{name} keeps ending right after its start."
                raise StackError(problem, _ADVICE, supervisor.tail(name))
        if time.monotonic() > deadline:
            name = next(iter(waiting))
            problem = f"{', '.join(waiting)}: not ready after {timeout_s:.0f} s."
            raise StackError(problem, _ADVICE, supervisor.tail(name))
        time.sleep(_POLL_S)
