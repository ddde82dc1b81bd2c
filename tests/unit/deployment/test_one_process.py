"""A process is one entry of deployment/roles.py; everything else follows from it."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deployment import compose_file
from deployment.roles import HTTP_SERVICES, PROJECT, SERVICES

# With a port, a login to the database of its own, and the address of the gateway.
ENTRY = """\
    Service(
        name="report-api",
        module="report_svc",
        role="api",
        database_role="report_svc",
        calls_gateway=True,
        port="report",
        default_port=8010,
        health="/health",
    ),
)

# Those that serve HTTP"""

# Run beside the changed roles.py, in an interpreter of its own.
CHECKS = """
from pathlib import Path
from deployment import secret_files
from deployment.credentials import generate
from deployment.database_setup import PASSWORD_VARIABLES
from deployment.local import compose_backend
from deployment.local.directories import Layout
from deployment.local.native.plan import Plan
from deployment.local.native.server_binaries import Tools
from deployment.local.ports import Ports
from deployment.local.settings import Addresses, Settings
from deployment.roles import DATABASE_ROLES, MIGRATIONS, PROJECT, SERVICES

settings = Settings(run_dir=PROJECT / "run")
addresses = Addresses(settings, generate())
plan = Plan(
    layout=Layout(settings.run_dir), settings=settings, addresses=addresses, account=None, services=SERVICES,
    migrations=MIGRATIONS, extra={},
    tools=Tools(postgres=Path("/pg"), rabbitmq_server=Path("/mq"), erl=Path("/erl"), epmd=Path("/epmd")),
)
assert "-m report_svc api" in plan.config and "report-api" in plan.names
assert plan.health_urls["report-api"] == "http://127.0.0.1:8010/health"
assert "report" in plan.port_fields
assert Ports.from_environment({"REPORT_PORT": "9010"}).of("report") == 9010
assert addresses.exports()["REPORT_SERVICE_URL"] == "http://127.0.0.1:8010"
assert "report_svc" in DATABASE_ROLES and "report_svc" in MIGRATIONS and "report_svc" in generate().roles
assert PASSWORD_VARIABLES["report_svc"] == "REPORT_SVC_PASSWORD"
assert "REPORT_SVC_PASSWORD" in secret_files.files(generate())["migrate"]
assert set(secret_files.files(generate())["report-api"]) == {"AMQP_URL", "DATABASE_URL"}
assert compose_backend.variables(settings)["REPORT_PORT"] == "8010"
"""


def test_compose_file_is_up_to_date() -> None:
    """What compose.yaml says of the processes is what `make docs` would write."""
    text = compose_file.COMPOSE.read_text()
    assert compose_file.rendered(text) == text, "run `make docs`"


def test_one_entry_adds_a_process(tmp_path: Path) -> None:
    """One new entry alone: native stack, ports, health, logins, secrets and compose.yaml follow."""
    shutil.copytree(PROJECT / "deployment", tmp_path / "deployment")
    shutil.copy(PROJECT / "compose.yaml", tmp_path)
    roles = tmp_path / "deployment/roles.py"
    changed = roles.read_text().replace(")\n\n# Those that serve HTTP", ENTRY)
    assert changed != roles.read_text()
    roles.write_text(changed)
    for arguments in (["-c", CHECKS], ["-m", "deployment.compose_file"]):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path}:{PROJECT}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    compose = yaml.safe_load((tmp_path / "compose.yaml").read_text())
    there = compose["services"]["report-api"]
    assert there["command"] == ["report_svc", "api"]
    assert there["ports"] == ["127.0.0.1:${REPORT_PORT:-8010}:8010"]
    assert there["environment"]["GATEWAY_URL"] == "http://gateway:8003"
    assert there["healthcheck"]["test"][-1] == "http://127.0.0.1:8010/health"
    assert there["depends_on"].keys() == {"migrate", "rabbitmq", "gateway"}
    assert "report-api-secrets" in compose["volumes"]
    assert "REPORT_SVC_PASSWORD_FILE" in compose["services"]["migrate"]["environment"]


def test_pages_name_every_process() -> None:
    """An operator finds each process of `make ps` in the documents."""
    pages = "".join(page.read_text() for page in (PROJECT / "docs").rglob("*.md"))
    assert [service.name for service in SERVICES if service.name not in pages] == []


@pytest.mark.parametrize("port", HTTP_SERVICES)
def test_default_ports_are_the_processes_own(port: str) -> None:
    """Started by hand and by the stack, a process listens on the same port."""
    service = HTTP_SERVICES[port]
    module = importlib.import_module(f"{service.module}.{'bootstrap' if service.role else '__main__'}")
    assert service.default_port == module.PORT


def test_the_image_holds_every_package_that_a_container_runs() -> None:
    """What compose.yaml starts, and all that it imports of ours, is sent to the builder."""
    sent = set(re.findall(r"^!(\w+)$", (PROJECT / ".dockerignore").read_text(), re.MULTILINE))
    services = yaml.safe_load((PROJECT / "compose.yaml").read_text())["services"]
    ours = [each for each in services.values() if each["image"] == "lease-payment-orchestration"]
    run = {each["command"][0].partition(".")[0] for each in ours}
    assert {"deployment", "gateway_sandbox", "lease_svc"} <= run
    assert run | {"common"} <= sent
