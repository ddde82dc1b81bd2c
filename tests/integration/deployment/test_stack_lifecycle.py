"""A stack with stand-in services: up, crash, repair, down, and what stays.

Its PostgreSQL is its own; the broker, which takes seconds to start, is the one of the session.
"""

import os
import shutil
import signal
import socket
import stat
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from deployment.errors import StackError
from deployment.local.directories import Layout
from deployment.local.native.orphan_processes import left_over
from deployment.local.ports import LOOPBACK, Ports
from deployment.local.settings import Settings
from deployment.local.stack import Stack
from deployment.local.temporary import guard, temporary_directory
from deployment.roles import Service
from tests.support.servers.servers import Servers

# A service in miniature: `migrate` ends, `api` is healthy, `worker` waits, `broken` ends at once.
_STAND_IN = """
import http.server, os, signal, sys
if sys.argv[1] == "broken":
    sys.exit("no such table: lease")
if sys.argv[1] == "worker":
    print("failpoint", os.environ.get("FAILPOINT"), flush=True)
    signal.pause()
if sys.argv[1] == "api":
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
    http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Page).serve_forever()
"""
_API = Service(name="api", module="stand_in", role="api", port="lease", health="/health")
_WORKER = Service(name="worker", module="stand_in", role="worker", database_role="lease_svc")
_BROKEN = Service(name="broken", module="stand_in", role="broken")
PORTS = Ports.free()


def listeners(stack: Stack) -> set[tuple[str, int]]:
    """Address and port of everything the processes of a stack listen on."""
    pids = {process.pid for process in left_over(stack.layout.real)}
    return {
        (connection.laddr.ip, connection.laddr.port)
        for connection in psutil.net_connections(kind="inet")
        if connection.laddr and connection.pid in pids and connection.status == psutil.CONN_LISTEN
    }


@pytest.fixture
def broker(servers: Servers) -> Stack:
    """The session's servers, where they are private ones."""
    if servers.stack is None:
        pytest.skip("the servers were given by AMQP_URL and DATABASE_URL")
    return servers.stack


@pytest.fixture(scope="module")
def stack(servers: Servers) -> Iterator[Stack]:
    directory = temporary_directory()
    (directory.parent / "stand_in.py").write_text(_STAND_IN)
    settings = Settings(run_dir=directory, ports=PORTS, amqp_url=servers.amqp_url, project=directory.parent)
    stack = Stack(settings, services=[_API, _WORKER], migrations=["stand_in"])
    watch = guard(directory)
    try:
        assert stack.up()
        yield stack
    finally:
        stack.clean()
        shutil.rmtree(directory.parent)
        assert watch.stdin is not None
        watch.stdin.close()
        watch.wait(timeout=30)
    assert left_over(directory) == []


def test_second_up_finds_nothing_to_do(stack: Stack) -> None:
    """`make up` on a healthy system changes nothing: the same processes go on."""
    stack.wait_ready("worker")
    before = {name: state.pid for name, state in stack.states().items()}
    assert not stack.up()
    assert {name: state.pid for name, state in stack.states().items()} == before


def other(stack: Stack) -> Stack:
    """The same stack as a later command knows it, which was told nothing."""
    home = stack.layout.root.parent
    settings = Settings(run_dir=stack.layout.root, project=home)
    return Stack(settings, services=[_API, _WORKER], migrations=["stand_in"])


def test_what_runs_is_used_with_its_settings(stack: Stack) -> None:
    """Another command without settings finds it on its ports; one with others is told, and stops nothing."""
    stack.wait_ready("worker")
    before = {name: state.pid for name, state in stack.states().items()}
    later = other(stack)
    assert not later.up(asked={})
    assert later.addresses.exports() == stack.addresses.exports()
    with pytest.raises(StackError, match=f"LEASE_PORT: {PORTS.of('lease')}, not 9100"):
        other(stack).up(asked={"LEASE_PORT": "9100", "POSTGRES_PORT": str(PORTS.of("postgres"))})
    assert {name: state.pid for name, state in stack.states().items()} == before


def test_everything_listens_on_loopback_only(stack: Stack, broker: Stack) -> None:
    """No process can be reached from another machine; epmd adds IPv6's loopback by itself."""
    assert listeners(stack) == {(LOOPBACK, PORTS.of("postgres")), (LOOPBACK, PORTS.of("lease"))}
    assert {address for address, _ in listeners(broker)} <= {LOOPBACK, "::1"}


def test_files_with_passwords_are_private(broker: Stack) -> None:
    """Whatever holds a password is readable by its owner alone, and no log shows one."""
    for name in ("secrets.json", "settings.json", "supervisord.conf"):
        assert stat.S_IMODE((broker.layout.real / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE((broker.layout.rabbitmq / "rabbitmq.conf").stat().st_mode) == 0o600
    urls = (broker.addresses.database, broker.addresses.amqp)
    passwords = [urlsplit(url).password or "" for url in urls]
    assert all(passwords)
    for log in [*broker.layout.log.glob("*.log"), *broker.layout.rabbitmq.glob("log/*.log")]:
        assert not any(password in log.read_text() for password in passwords), log


def test_database_keeps_what_it_confirmed(stack: Stack) -> None:
    """fsync, synchronous commits and checksums are on, passwords are SCRAM, and roles are closed out."""
    with psycopg.connect(stack.addresses.database) as owner:
        for name, value in (
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("full_page_writes", "on"),
            ("data_checksums", "on"),
            ("server_encoding", "UTF8"),
            ("TimeZone", "UTC"),
        ):
            assert owner.execute(f"SHOW {name}").fetchone() == (value,)
        stored = owner.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'lease_svc'").fetchone()
        assert stored is not None
        assert stored[0].startswith("SCRAM-SHA-256$")
    with (
        psycopg.connect(stack.addresses.dsn("ledger_reader")) as reader,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        reader.execute("CREATE SCHEMA mine")


@pytest.mark.parametrize("name", ["rabbitmq", "epmd"])
def test_killed_broker_comes_back(broker: Stack, name: str) -> None:
    """The broker and Erlang's port mapper are started again too, and a login works again."""
    old = broker.kill_program(name, signal.SIGKILL)
    assert broker.wait_restarted(name, old) != old
    broker.wait_ready("rabbitmq")


@pytest.mark.parametrize("name", ["postgres", "api", "worker"])
def test_killed_program_comes_back(stack: Stack, name: str) -> None:
    """Whatever is killed with SIGKILL is started again without help, and works."""
    old = stack.kill_program(name, signal.SIGKILL)
    assert stack.wait_restarted(name, old) != old


def test_stopped_program_is_repaired_by_up(stack: Stack) -> None:
    """`make up` starts what is missing and leaves the rest alone."""
    server = stack.states()["postgres"].pid
    stack.stop_program("api")
    assert stack.states()["api"].pid == 0
    assert stack.up()
    assert stack.states()["api"].pid
    assert stack.states()["postgres"].pid == server


def test_environment_of_one_program_can_be_changed(stack: Stack) -> None:
    """A failpoint is set for one program and taken away again, the others running on."""
    for value in ("before_commit", None):
        stack.set_environment("worker", {"FAILPOINT": value} if value else {})
        stack.start_program("worker")
        assert stack.supervisor.tail("worker").splitlines()[-1] == f"failpoint {value}"


def test_program_that_keeps_ending_is_shown_with_its_log(stack: Stack) -> None:
    """`up` does not wait out its time for a hopeless program: it says which one and what it printed."""
    settings = Settings(
        run_dir=stack.layout.root.parent / "other",
        amqp_url=stack.addresses.amqp,
        database_url=stack.addresses.database,
        project=stack.layout.root.parent,
    )
    other = Stack(settings, services=[_BROKEN], migrations=[])
    try:
        with pytest.raises(StackError) as caught:
            other.up()
    finally:
        other.clean()
    assert "broken keeps ending" in caught.value.problem
    assert "no such table: lease" in caught.value.log


def test_up_after_the_manager_was_killed(stack: Stack) -> None:
    """With the process manager dead and its programs orphaned, `up` clears them away and starts anew.

    It was not taken down, so the settings of its start hold.
    """
    with psycopg.connect(stack.addresses.database, autocommit=True) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        owner.execute("INSERT INTO kept VALUES (1)")
    os.kill(int((stack.layout.real / "supervisord.pid").read_text()), signal.SIGKILL)
    later = other(stack)
    assert later.up(asked={})
    assert later.addresses.database == stack.addresses.database
    with psycopg.connect(stack.addresses.database) as owner:
        assert owner.execute("SELECT n FROM kept").fetchone() == (1,)


def test_down_leaves_no_process_and_keeps_the_data(stack: Stack) -> None:
    """After `down` nothing of it runs, and its settings hold no more; taken ports are named at `up`."""
    assert stack.down()
    assert other(stack).addresses.database != stack.addresses.database
    assert Settings(run_dir=stack.layout.root).kept() is None
    assert left_over(stack.layout.real) == []
    assert not stack.down()
    assert Layout(stack.layout.root).exists()
    with (
        socket.create_server((LOOPBACK, PORTS.of("postgres"))),
        pytest.raises(StackError, match="POSTGRES_PORT=<port>"),
    ):
        stack.up()
    assert left_over(stack.layout.real) == []
    assert (stack.layout.postgres / "data" / "PG_VERSION").exists()
