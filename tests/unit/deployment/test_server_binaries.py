"""Programs of the servers are found where systems keep them, and installed where they are missing."""

from pathlib import Path

import pytest

from deployment.errors import StackError
from deployment.local.console import Reporter
from deployment.local.native import server_binaries


class Recorder(Reporter):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def no_programs(name: str) -> str | None:
    return None


def only(*names: str) -> server_binaries.Which:
    return lambda name: f"/usr/bin/{name}" if name in names else None


def test_install_commands_by_system() -> None:
    """apt-get for root, with sudo where it asks nothing, brew for a user of macOS."""
    missing = ("postgresql", "rabbitmq-server")
    root = server_binaries.install_commands(missing, root=True, sudo=False, which=only("apt-get"))
    assert root[-1] == ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    user = server_binaries.install_commands(missing, root=False, sudo=True, which=only("apt-get"))
    assert user[0][:3] == ["sudo", "-n", "apt-get"]
    brew = server_binaries.install_commands(missing, root=False, sudo=False, which=only("brew"))
    assert brew == [["brew", "install", "postgresql@16", "rabbitmq"]]


def test_install_impossible_says_what_to_install() -> None:
    """Without rights or without a package manager, the message is a command or the servers' names."""
    with pytest.raises(StackError, match="sudo apt-get install rabbitmq-server"):
        server_binaries.install_commands(("rabbitmq-server",), root=False, sudo=False, which=only("apt-get"))
    with pytest.raises(StackError, match=r"PostgreSQL 14 and RabbitMQ 3\.10, or newer"):
        server_binaries.install_commands(("postgresql",), root=True, sudo=False, which=no_programs)


def test_installing_is_said_and_stops_no_other_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is run is told before; a server the packages do not bring is not taken for theirs."""
    log = tmp_path / "log"
    scripts = {"apt-get": f'echo "$@" >> {log}', "sudo": 'shift; exec "$@"'}
    for name, body in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    reporter = Recorder()
    server_binaries.ensure(("postgresql",), reporter)
    assert "Not installed: postgresql. Installing: " in reporter.said[0]
    assert log.read_text().splitlines() == ["update", "install -y --no-install-recommends postgresql"]


def test_failed_install_shows_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package manager's own words are in the message."""
    for name, body in {"apt-get": "echo no space left; exit 100", "sudo": 'shift; exec "$@"'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(StackError) as caught:
        server_binaries.ensure(("postgresql",), Recorder())
    assert "no space left" in caught.value.log


def test_programs_are_found_in_a_path(tmp_path: Path) -> None:
    """A PostgreSQL linked into PATH is found where its companions are; a version asked for is kept to."""
    real = tmp_path / "14" / "bin"
    real.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (real / name).touch(mode=0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "postgres").symlink_to(real / "postgres")
    assert server_binaries.find(str(tmp_path / "bin"), postgres_version="14").postgres == real
    assert server_binaries.find(str(tmp_path / "bin"), postgres_version="3").postgres is None
