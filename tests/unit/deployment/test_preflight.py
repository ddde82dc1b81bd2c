"""What is wrong before anything starts is said with what to do about it."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployment.errors import StackError
from deployment.local import compose_backend, directories, preflight
from deployment.local import ports as ephemeral
from deployment.local.directories import MARKER, Layout
from deployment.local.native.os_account import Account
from deployment.local.native.supervisord import Supervisor
from deployment.local.ports import LOOPBACK, VARIABLES, Ports, _hold
from deployment.local.settings import Settings

as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        # As every server of the stack does.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((LOOPBACK, Ports.free().of("lease")))
        server.listen()
        yield server


def test_taken_port_names_port_holder_and_variable(listener: socket.socket) -> None:
    """The message says which port, who holds it and which variable changes it."""
    port = listener.getsockname()[1]
    with pytest.raises(StackError) as caught:
        preflight.check_ports(Ports(lease=port), ["lease"])
    assert f"Port {port} is taken" in str(caught.value)
    assert "LEASE_PORT=<port>" in str(caught.value)
    assert f"(pid {os.getpid()})" in str(caught.value)


def test_port_left_by_a_closed_connection_is_free(listener: socket.socket) -> None:
    """A connection that lately ended on a port does not keep `up` from using it."""
    port = listener.getsockname()[1]
    with socket.create_connection((LOOPBACK, port)):
        accepted, _ = listener.accept()
        accepted.close()
    listener.close()
    preflight.check_ports(Ports(lease=port), ["lease"])


@pytest.mark.parametrize("value", ["0", "65536", "http", "-1", "٣", "1" * 5000])
def test_bad_port_names_its_variable(value: str) -> None:
    """A value that is no port is refused by the name of its variable."""
    with pytest.raises(StackError, match="LEDGER_PORT"):
        Ports.from_environment({"LEDGER_PORT": value})


def test_two_things_on_one_port_are_refused() -> None:
    """Both variables are named."""
    with pytest.raises(StackError, match="LEASE_PORT and GATEWAY_PORT are both 8003"):
        Ports.from_environment({"LEASE_PORT": "8003"})


def test_free_ports_differ() -> None:
    """Ports for a test are all different."""
    ports = Ports.free()
    assert len({ports.of(field) for field in VARIABLES}) == len(VARIABLES)


def test_free_ports_are_given_away_once() -> None:
    """Who chooses at the same time, here or in another process, gets others, though nobody listens yet."""
    chosen = [Ports.free() for _ in range(10)]
    assert len({ports.of(field) for ports in chosen for field in VARIABLES}) == 10 * len(VARIABLES)
    for field in VARIABLES:
        assert _hold(chosen[-1].of(field)) is None
        with socket.create_server((LOOPBACK, chosen[-1].of(field))):
            pass  # a listener is not kept off


@pytest.mark.parametrize("first", [1_024, 10_000, 16_000, 32_768])
def test_free_ports_are_not_the_kernels(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie outside of what a machine gives to outgoing connections, wherever that is; no defaults."""
    given_away = frozenset(range(first, 61_000))
    monkeypatch.setattr("deployment.local.ports.ephemeral_ports", lambda: given_away)
    chosen = {Ports.free().of(field) for _ in range(20) for field in VARIABLES}
    assert not chosen & given_away
    assert not chosen & {Ports().of(field) for field in VARIABLES}


def test_default_ports_are_not_the_kernels() -> None:
    """Neither Linux nor macOS gives one of them to an outgoing connection, as they come."""
    for field in VARIABLES:
        assert Ports().of(field) not in range(32_768, 61_000)
        assert Ports().of(field) not in range(49_152, 65_536)


def test_ports_that_the_kernel_may_take_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """RABBITMQ_PORT=35670 on Linux as it comes: told by its variable, with the reason. Defaults are not."""
    monkeypatch.setattr(preflight, "ephemeral_ports", lambda: frozenset(range(32_768, 61_000)))
    said = preflight.warning(Ports(amqp=35_670), VARIABLES)
    assert said is not None
    assert "RABBITMQ_PORT=35670: this machine gives the ports 32768 to 60999 to outgoing connections" in said
    assert preflight.warning(Ports(), VARIABLES) is None
    assert preflight.warning(Ports(amqp=35_670), ["lease"]) is None


def test_the_kernels_ports_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its range without what is reserved from it; nothing where there is no such file."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ephemeral, "_RANGE", tmp_path / "range")
    monkeypatch.setattr(ephemeral, "_RESERVED", tmp_path / "reserved")
    assert ephemeral.ephemeral_ports() == frozenset()
    (tmp_path / "range").write_text("32768\t32775\n")
    assert ephemeral.ephemeral_ports() == frozenset(range(32_768, 32_776))
    for reserved, left in (("\n", 8), ("32770\n", 7), ("8080,32769-32771,32775\n", 4)):
        (tmp_path / "reserved").write_text(reserved)
        assert len(ephemeral.ephemeral_ports()) == left


def test_port_of_an_outgoing_connection_is_told(listener: socket.socket) -> None:
    """What keeps a server off is not always a listener: whose connection it is, or that it has just ended."""
    with socket.create_connection(listener.getsockname()) as connection:
        accepted, _ = listener.accept()
        port = connection.getsockname()[1]
        with pytest.raises(StackError, match=rf"taken by a connection of .* \(pid {os.getpid()}\)"):
            preflight.check_ports(Ports(lease=port), ["lease"])
    accepted.close()
    with pytest.raises(StackError, match="taken by a connection that has ended"):
        preflight.check_ports(Ports(lease=port), ["lease"])


def test_run_directory_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    """A directory without our marker is neither used nor removed."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").touch()
    place = Layout(tmp_path / "run")
    with pytest.raises(StackError, match="not made by this project"):
        place.prepare(None)
    with pytest.raises(StackError, match="not made by this project"):
        place.remove()
    assert (tmp_path / "run" / "precious").exists()


@as_user
def test_read_only_directory_is_said(tmp_path: Path) -> None:
    """Where `.run` cannot be made, the message names it."""
    tmp_path.chmod(0o500)
    with pytest.raises(StackError, match=r"cannot be written \(Permission denied\)"):
        Layout(tmp_path / "run").prepare(None)


def test_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than 500 MB left is refused before a database is made."""
    monkeypatch.setattr(directories, "_MIN_FREE_BYTES", 1 << 62)
    with pytest.raises(StackError, match="500 MB are needed"):
        Layout(tmp_path / "run").prepare(None)


@pytest.mark.parametrize("name", ["with space", "x" * 90, "ümlaut", "50%"])
def test_awkward_path_moves_the_files_elsewhere(tmp_path: Path, name: str) -> None:
    """A path that servers or sockets cannot hold gets a link to one that they can, said once."""
    place = Layout(tmp_path / name / ".run")
    place.root.parent.mkdir()
    try:
        said = place.prepare(None)
        assert said is not None
        assert str(place.real) in said
        assert place.root.is_symlink()
        assert place.real.parent == Path("/var/lib").resolve()
        assert place.prepare(None) is None
    finally:
        target = place.real
        place.remove()
    assert not target.exists()
    assert not place.root.is_symlink()


def test_copied_checkout_does_not_share_the_files(tmp_path: Path) -> None:
    """A copy of a checkout whose `.run` is a link gets files of its own."""
    original, copy = Layout(tmp_path / "a b" / ".run"), Layout(tmp_path / "c d" / ".run")
    for place in (original, copy):
        place.root.parent.mkdir()
    try:
        original.prepare(None)
        copy.root.symlink_to(original.real)
        copy.prepare(None)
        assert copy.real != original.real
    finally:
        copy.remove()
        original.remove()


def test_lost_target_of_the_link_is_made_anew(tmp_path: Path) -> None:
    """When the files were deleted, the dangling link does not stand in the way."""
    place = Layout(tmp_path / "run")
    place.root.symlink_to(tmp_path / "gone")
    place.prepare(None)
    assert place.root.is_dir()
    assert not place.root.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")
def test_closed_checkout_moves_the_files_elsewhere(tmp_path: Path) -> None:
    """Where the servers' account cannot enter the checkout, the files are where it can."""
    tmp_path.chmod(0o700)
    place = Layout(tmp_path / "run")
    account = Account(name="nobody", uid=65534, gid=65534)
    try:
        assert "cannot be entered by the account `nobody`" in (place.prepare(account) or "")
        assert account.can_enter(place.postgres)
        assert (place.postgres).stat().st_uid == 65534
        assert (place.real / MARKER).stat().st_uid == 0
    finally:
        place.remove()


def test_lock_of_a_crashed_machine_is_cleared(tmp_path: Path) -> None:
    """postmaster.pid that names a process which is no PostgreSQL of ours is removed, so that it can start."""
    place = Layout(tmp_path / "run")
    place.prepare(None)
    lock = place.postgres / "data" / "postmaster.pid"
    lock.parent.mkdir()
    for content in (f"{os.getpid()}\n{lock.parent}\n", "", "999999999\n"):
        lock.write_text(content)
        assert preflight.recover(place)
        assert not lock.exists()
    assert not preflight.recover(place)


def test_docker_is_a_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers are used when asked for, and then by the commands that follow until they are taken down."""
    monkeypatch.setenv("PATH", str(tmp_path))  # no containers run
    settings = Settings(run_dir=tmp_path)
    assert not compose_backend.chosen("up", {}, settings)
    assert compose_backend.chosen("up", {"STACK": "docker"}, settings)
    (tmp_path / compose_backend.FILE).touch()
    assert compose_backend.chosen("ps", {}, settings)
    assert not compose_backend.chosen("up", {}, settings)
    assert not compose_backend.chosen("ps", {"STACK": "native"}, settings)
    with pytest.raises(StackError, match="neither"):
        compose_backend.chosen("up", {"STACK": "podman"}, settings)


def test_containers_are_refused_beside_a_running_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STACK=docker while the processes of this checkout run: told, with what to do; `ps` may follow it."""
    monkeypatch.setattr(Supervisor, "answers", lambda self: True)
    settings = Settings(run_dir=tmp_path)
    assert not compose_backend.chosen("up", {}, settings)
    assert not compose_backend.chosen("up", {"STACK": "native"}, settings)
    with pytest.raises(StackError, match="`make down STACK=native` first"):
        compose_backend.chosen("up", {"STACK": "docker"}, settings)
    assert compose_backend.chosen("ps", {"STACK": "docker"}, settings)


def test_docker_without_an_engine_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STACK=docker where nothing answers ends with what to do instead."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match="leave out STACK"):
        compose_backend.run("up", Settings(run_dir=tmp_path / "run"), [], 0)


def test_bad_addresses_are_refused() -> None:
    """An AMQP_URL or DATABASE_URL that is no such address is named."""
    with pytest.raises(StackError, match="DATABASE_URL does not look like"):
        Settings.from_environment({"DATABASE_URL": "localhost"})
    with pytest.raises(StackError, match="AMQP_URL does not look like"):
        Settings.from_environment({"AMQP_URL": "http://localhost"})
