"""compose.yaml, Dockerfile and the native stack run the same processes with the same variables."""

import configparser
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from common.runtime.settings import SECRETS
from deployment import secret_files
from deployment.credentials import generate, load_or_create
from deployment.database_setup import PASSWORD_VARIABLES, role_url
from deployment.local import compose_backend
from deployment.local.ports import VARIABLES, Ports
from deployment.local.settings import Addresses, Settings
from deployment.roles import AMQP_USER, DATABASE, DATABASE_ROLES, OWNER, PROJECT, SERVICES, TUNABLES, Service

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yaml").read_text())
HANDED_OUT = secret_files.files(msgspec.structs.replace(generate(), ledger_key="PRIVATE+KEY+…"))
BY_NAME = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)


def test_compose_runs_exactly_these_processes() -> None:
    """Besides the servers and what runs once, compose.yaml has each role once, and no other."""
    assert set(COMPOSE["services"]) == {service.name for service in SERVICES} | {
        "postgres",
        "rabbitmq",
        "credentials",
        "migrate",
    }


@BY_NAME
def test_compose_gives_each_process_its_command_and_variables(service: Service) -> None:
    """A role is started with the same arguments and variables in a container; secrets are in files."""
    there = COMPOSE["services"][service.name]
    assert tuple(there["command"]) == service.arguments
    secret = HANDED_OUT[service.name]
    names = {f"{name}_FILE" if name in secret else name for name in service.variables()}
    # The user's own goes before the one that was made for the sandbox.
    assert set(there["environment"]) == names | (secret.keys() & TUNABLES.keys())


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
    passwords = generate()
    url = secret_files.files(passwords)[service.name].get("DATABASE_URL")
    if service.database_role is None:
        assert url is None
        return
    nobody = f"postgresql://postgres:5432/{DATABASE}"
    assert url == role_url(nobody, service.database_role, passwords.roles[service.database_role])


def test_compose_starts_services_after_the_migrations() -> None:
    """Whatever uses the database waits until `migrate` has ended well."""
    for service in SERVICES:
        if service.database_role:
            waits = COMPOSE["services"][service.name]["depends_on"]
            assert waits["migrate"] == {"condition": "service_completed_successfully"}
            assert waits["rabbitmq"] == {"condition": "service_healthy"}


def test_compose_makes_the_secrets_before_anything_else_runs() -> None:
    """Every other service waits for `credentials`, some through another that does."""
    services = COMPOSE["services"]
    done = {"condition": "service_completed_successfully"}

    def waits(name: str) -> bool:
        before = services[name].get("depends_on", {})
        return before.get("credentials") == done or any(waits(other) for other in before)

    assert services["credentials"]["command"] == ["deployment", "credentials"]
    assert "depends_on" not in services["credentials"]
    assert all(waits(name) for name in services if name != "credentials")


def test_compose_hands_each_service_its_own_secrets_only() -> None:
    """Whoever is handed something has a volume of its own, which it cannot write; `credentials` has all."""
    services = COMPOSE["services"]
    given = {f"{name}-secrets:{secret_files.HANDED_OUT}/{name}" for name in HANDED_OUT}
    assert set(services["credentials"]["volumes"]) == given | {f"credentials:{secret_files.KEPT}"}
    for name in services.keys() - {"credentials"}:
        about_secrets = [each for each in services[name]["volumes"] if "secrets" in each or "credent" in each]
        assert about_secrets == [f"{name}-secrets:/run/secrets:ro"]
        files = {key: value for key, value in services[name]["environment"].items() if key.endswith("_FILE")}
        assert set(files.values()) == {f"/run/secrets/{file}" for file in HANDED_OUT[name]}
        assert all(
            key in (f"{Path(value).name}_FILE", "RABBITMQ_CONFIG_FILE") for key, value in files.items()
        )
    volumes = {each.partition(":")[0] for service in services.values() for each in service["volumes"]}
    assert set(COMPOSE["volumes"]) == volumes


def test_compose_needs_to_be_told_nothing_and_holds_no_secret() -> None:
    """Every variable has a default, `make up STACK=docker` passes all of them, and no secret is spelt out."""
    text = (PROJECT / "compose.yaml").read_text()
    asked = re.findall(r"\$\{(\w+)(:-)?", text)
    assert all(default for _, default in asked)
    assert {name for name, _ in asked} <= set(compose_backend.variables(Settings(run_dir=PROJECT)))
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            if name.lower() in SECRETS or "PASS" in name:
                assert value == f"${{{name}:-}}" or name.endswith("_FILE")


def test_image_and_handout_agree_on_who_reads() -> None:
    """The processes' user in the image is the one that their files are given to."""
    assert f"--uid {secret_files.OUR_UID} " in (PROJECT / "Dockerfile").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to somebody else")
def test_secrets_are_handed_out_again_as_they_are(tmp_path: Path) -> None:
    """Each file is its reader's alone. A repetition changes nothing, a rotation the ledger's key only."""
    kept, to = tmp_path / "kept", tmp_path / "to"
    for directory in (kept, *(to / name for name in HANDED_OUT)):
        directory.mkdir(parents=True)

    def look() -> dict[str, str]:
        return {str(path.relative_to(to)): path.read_text() for path in to.glob("*/*")}

    secret_files.hand_out(kept, to)
    first = look()
    assert first == {
        f"{service}/{name}": content
        for service, files in secret_files.files(load_or_create(kept)).items()
        for name, content in files.items()
    }
    for name, uid in (("postgres", 0), ("rabbitmq", 999), ("migrate", 10001), ("ledger-api", 10001)):
        stats = [path.stat() for path in (to / name).iterdir()]
        assert {(each.st_uid, stat.S_IMODE(each.st_mode)) for each in stats} == {(uid, 0o600)}
    secret_files.hand_out(kept, to)
    assert look() == first
    secret_files.hand_out(kept, to, rotate=True)
    assert {name for name, content in look().items() if content != first[name]} == {
        "ledger-api/LEDGER_KEY",
        "ledger-writer/LEDGER_KEY",
    }


def test_compose_uses_the_names_of_the_native_stack() -> None:
    """Owner, database and broker user are called the same in both, so that the same URLs work."""
    services = COMPOSE["services"]
    assert services["postgres"]["environment"]["POSTGRES_USER"] == OWNER
    assert services["postgres"]["environment"]["POSTGRES_DB"] == DATABASE
    assert f"default_user = {AMQP_USER}\n" in HANDED_OUT["rabbitmq"]["rabbitmq.conf"]
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
    """What the containers run of this package imports nothing of the extras."""
    code = (
        "import sys\n"
        "for name in ('supervisor', 'psutil', 'rich', 'yaml', 'pytest'): sys.modules[name] = None\n"
        "sys.modules['deployment.local'] = None\n"
        "from deployment.__main__ import main\n"
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


def test_image_installs_what_the_services_need() -> None:
    """The Dockerfile's own command prints what is always installed and the extra `services`, nothing else."""
    dockerfile = (PROJECT / "Dockerfile").read_text()
    command = re.search(r'python -c "(.+?)" >', dockerfile)
    assert command
    done = subprocess.run(
        [sys.executable, "-c", command[1]], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    setup = configparser.RawConfigParser()
    setup.read(PROJECT / "setup.cfg")
    needed = (setup["options"]["install_requires"], setup["options.extras_require"]["services"])
    printed = {line.strip() for line in done.stdout.split("\n") if line.strip()}
    assert printed == {line for text in needed for line in text.split("\n") if line}
