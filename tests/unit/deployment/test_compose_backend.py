"""STACK=docker: what Docker Compose is called with, by a `docker` that only takes notes."""

import io
import os
import tarfile
from pathlib import Path

import msgspec
import pytest

from deployment.credentials import FILE, Credentials, generate
from deployment.errors import StackError
from deployment.local import compose_backend
from deployment.local.ports import Ports
from deployment.local.settings import Addresses, Settings

NOTING = """#!/bin/sh
echo "$@ LEASE_PORT=$LEASE_PORT LOG_LEVEL=$LOG_LEVEL" >> "{directory}/calls"
case "$*" in
  *" cp "*) cat "{directory}/archive.tar" ;;
  *" ps --quiet"*) cat "{directory}/running" 2>/dev/null || true ;;
esac
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(NOTING.format(directory=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("LOG_LEVEL", "from-the-shell")
    return tmp_path


def calls(place: Path) -> list[str]:
    lines = (place / "calls").read_text().splitlines()
    return [line for line in lines if "--project-directory" in line and " ps --quiet" not in line]


def archive(place: Path) -> Credentials:
    """What the container that makes the secrets keeps."""
    passwords = generate()
    with tarfile.open(place / "archive.tar", "w") as files:
        content = msgspec.json.encode(passwords)
        member = tarfile.TarInfo(FILE)
        member.size = len(content)
        files.addfile(member, io.BytesIO(content))
    return passwords


def test_ports_and_settings_are_passed_and_remembered(place: Path) -> None:
    """`up` passes all that compose.yaml asks for, whatever the shell has; what comes after follows it."""
    settings = Settings(run_dir=place / "run", ports=Ports(lease=9000))
    compose_backend.run("up", settings, [], 0)
    assert compose_backend.chosen("ps", {}, settings)
    compose_backend.run("rotate-key", Settings(run_dir=place / "run").recall(), [], 0)
    compose_backend.run("down", settings, [], 0)
    assert not compose_backend.chosen("ps", {}, settings)
    up, rotate, anew, _ = calls(place)
    assert "up --detach --build --wait" in up
    assert "credentials deployment credentials --rotate-ledger-key" in rotate
    assert "--force-recreate ledger-api ledger-writer" in anew
    assert all("LEASE_PORT=9000 LOG_LEVEL=info" in call for call in calls(place))
    assert settings.kept() is None


def test_running_containers_are_used_as_they_are(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`up` without STACK and settings: those of the start, also with `make env` sourced; others are told."""
    passwords = archive(place)
    monkeypatch.delenv("LOG_LEVEL")
    plain = Settings(run_dir=place / "run")
    compose_backend.run("up", Settings(run_dir=place / "run", ports=Ports(lease=9000)), [], 0)
    assert not compose_backend.chosen("up", {}, plain)
    (place / "running").write_text("0123456789ab\n")
    assert compose_backend.chosen("up", {}, plain)
    monkeypatch.setenv("AMQP_URL", Addresses(plain, passwords).amqp)
    compose_backend.run("up", Settings.from_environment(os.environ, plain), [], 0)
    assert calls(place)[-1].endswith("LEASE_PORT=9000 LOG_LEVEL=info")
    monkeypatch.setenv("LEASE_PORT", "9100")
    with pytest.raises(StackError, match="LEASE_PORT: 9000, not 9100"):
        compose_backend.run("up", Settings.from_environment(os.environ, plain), [], 0)
    with pytest.raises(StackError, match="`make down STACK=docker` first"):
        compose_backend.chosen("up", {"STACK": "native"}, plain)


def test_addresses_are_those_of_the_containers(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`env` takes the passwords from where they were made; other servers' addresses do not matter."""
    passwords = archive(place)
    settings = Settings(run_dir=place / "run", database_url="postgresql://elsewhere/x")
    compose_backend.run("env", settings, [], 0)
    own = Addresses(Settings(run_dir=place / "run"), passwords)
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"export AMQP_URL={own.amqp}",
        f"export DATABASE_URL={own.database}",
    ]
    assert not settings.run_dir.exists()
