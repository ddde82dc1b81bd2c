"""compose.yaml, Dockerfile and the native stack run the same processes with the same variables."""

import configparser
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from common.stack import docker
from common.stack.bootstrap import PASSWORD_VARIABLES
from common.stack.credentials import generate
from common.stack.ports import VARIABLES, Ports
from common.stack.roles import AMQP_USER, DATABASE, DATABASE_ROLES, OWNER, SERVICES, TUNABLES, Service
from common.stack.settings import PROJECT, Addresses, Settings

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yaml").read_text())
BY_NAME = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)


def test_compose_runs_exactly_these_processes() -> None:
    """Besides the servers and the migrations, compose.yaml has each role once, and no other."""
    assert set(COMPOSE["services"]) == {service.name for service in SERVICES} | {
        "postgres",
        "rabbitmq",
        "migrate",
    }


@BY_NAME
def test_compose_gives_each_process_its_command_and_variables(service: Service) -> None:
    """A role is started with the same arguments and the same names of variables in a container."""
    there = COMPOSE["services"][service.name]
    assert there["command"] == [service.module, service.role]
    assert set(there["environment"]) == set(service.variables())


@BY_NAME
def test_compose_publishes_on_loopback_only(service: Service) -> None:
    """What serves HTTP is reachable on its port from this machine, by the variable that changes the port."""
    there = COMPOSE["services"][service.name]
    if service.port is None:
        assert "ports" not in there
        return
    port = Ports().of(service.port)
    assert there["ports"] == [f"127.0.0.1:${{{VARIABLES[service.port]}:-{port}}}:{port}"]
    assert there["environment"]["PORT"] == str(port)
    assert there["healthcheck"]["test"][-1] == f"http://127.0.0.1:{port}{service.health}"


@BY_NAME
def test_compose_logs_each_process_in_with_its_own_role(service: Service) -> None:
    """No service gets the owner's login, nor another's."""
    url = COMPOSE["services"][service.name]["environment"].get("DATABASE_URL")
    if service.database_role is None:
        assert url is None
        return
    variable = PASSWORD_VARIABLES[service.database_role]
    assert url == f"postgresql://{service.database_role}:${{{variable}:?}}@postgres:5432/{DATABASE}"


def test_compose_starts_services_after_the_migrations() -> None:
    """Whatever uses the database waits until `migrate` has ended well."""
    for service in SERVICES:
        if service.database_role:
            waits = COMPOSE["services"][service.name]["depends_on"]
            assert waits["migrate"] == {"condition": "service_completed_successfully"}
            assert waits["rabbitmq"] == {"condition": "service_healthy"}


def test_compose_holds_no_secret_and_gets_all_it_asks_for(tmp_path: Path) -> None:
    """Every variable without a default is one that `make up STACK=docker` passes, and none is spelt out."""
    text = (PROJECT / "compose.yaml").read_text()
    required = set(re.findall(r"\$\{(\w+):\?", text))
    given = docker.variables(Settings(run_dir=tmp_path), generate())
    own = {"OWNER_PASSWORD", "AMQP_PASSWORD", "WEBHOOK_SECRET", "LEDGER_KEY"}
    assert required == {*own, *PASSWORD_VARIABLES.values()}
    assert required <= set(given)
    assert {name for name, _ in re.findall(r"\$\{(\w+):([-?])", text)} <= set(given)
    for line in text.splitlines():
        if ("PASS" in line or "SECRET" in line or "_KEY" in line) and ":" in line:
            assert "${" in line


def test_compose_uses_the_names_of_the_native_stack() -> None:
    """Owner, database and broker user are called the same in both, so that the same URLs work."""
    services = COMPOSE["services"]
    assert services["postgres"]["environment"]["POSTGRES_USER"] == OWNER
    assert services["postgres"]["environment"]["POSTGRES_DB"] == DATABASE
    assert services["rabbitmq"]["environment"]["RABBITMQ_DEFAULT_USER"] == AMQP_USER
    assert set(PASSWORD_VARIABLES) == set(DATABASE_ROLES)


@BY_NAME
def test_native_variables_are_those_of_the_table(service: Service, tmp_path: Path) -> None:
    """A native process gets the variables its row of the table names, empty where nothing is the default."""
    settings = Settings(run_dir=tmp_path)
    secrets = msgspec.structs.replace(generate(), ledger_key="PRIVATE+KEY+…")
    values = Addresses(settings, secrets).variables(service, settings, tmp_path)
    assert tuple(values) == service.variables()
    assert all(value for name, value in values.items() if TUNABLES.get(name) != "")


def test_image_can_bootstrap_with_runtime_packages_only() -> None:
    """`bootstrap` and `health`, which the containers run, import nothing of the extras."""
    code = (
        "import sys\n"
        "for name in ('supervisor', 'psutil', 'rich', 'yaml', 'pytest'): sys.modules[name] = None\n"
        "from common.stack.__main__ import main\n"
        "assert main(['health', 'http://127.0.0.1:1/']) == 1\n"
        "assert main(['bootstrap']) == 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Not set: DATABASE_URL" in done.stderr


def test_pins_are_exact_and_satisfy_the_ranges() -> None:
    """requirements.txt pins every package that setup.cfg asks for, inside its range, and nothing loosely."""
    lines = [
        line for line in (PROJECT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"
    ]
    assert all(re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", line) for line in lines)
    pins = {canonicalize_name(Requirement(line).name): line.partition("==")[2] for line in lines}
    assert len(pins) == len(lines)
    setup = configparser.RawConfigParser()
    setup.read(PROJECT / "setup.cfg")
    asked = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    for text in "\n".join(asked).split("\n"):
        if text and not text.startswith(setup["metadata"]["name"]):
            wanted = Requirement(text)
            assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), text
