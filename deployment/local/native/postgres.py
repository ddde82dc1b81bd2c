"""The private PostgreSQL server: its files, its settings and whether it answers."""

import os
import subprocess
from pathlib import Path

import psycopg

from deployment.credentials import Credentials, write_private
from deployment.errors import StackError
from deployment.local.directories import Layout
from deployment.local.native.os_account import Account
from deployment.local.native.supervisord_config import Program
from deployment.local.ports import LOOPBACK, Ports
from deployment.roles import OWNER

NAME = "postgres"
_INITDB_TIMEOUT_S = 120

# Every commit is flushed before it is acknowledged (fsync, synchronous_commit): what the ledger says stays
# said. Checkpoints are far apart and spread out, because full pages after each of them are the larger part of
# what is written; jit is off, because compiling takes longer than any query here runs.
_SETTINGS = """\
# Written anew by `make up`; changes made here do not last.
listen_addresses = '{host}'
port = {port}
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
max_connections = 100
password_encryption = 'scram-sha-256'
shared_buffers = 256MB
fsync = on
synchronous_commit = on
max_wal_size = 4GB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
jit = off
default_toast_compression = lz4
autovacuum_naptime = 15s
track_io_timing = on
timezone = 'UTC'
log_timezone = 'UTC'
log_destination = 'stderr'
logging_collector = off
log_line_prefix = '%m [%p] %q%u@%d '
"""

_ACCESS = """\
local all all scram-sha-256
host  all all {host}/32 scram-sha-256
"""


def version_of_data(layout: Layout) -> str | None:
    """Major version that wrote the data directory; None where there is none yet."""
    try:
        return (layout.postgres / "data" / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return None


def prepare(
    layout: Layout, ports: Ports, credentials: Credentials, bin_dir: Path, account: Account | None
) -> None:
    """Make the cluster where there is none, and write its settings. Raises StackError when initdb fails."""
    data = layout.postgres / "data"
    socket = layout.postgres / "socket"
    owner = (account.uid, account.gid) if account else (-1, -1)
    socket.mkdir(mode=0o700, exist_ok=True)
    os.chown(socket, *owner)
    if version_of_data(layout) is None:
        _initdb(layout, credentials, bin_dir, account)
    settings = _SETTINGS.format(host=LOOPBACK, port=ports.of("postgres"), socket=socket)
    write_private(data / "postgresql.conf", settings.encode(), *owner)
    write_private(data / "pg_hba.conf", _ACCESS.format(host=LOOPBACK).encode(), *owner)


def program(layout: Layout, bin_dir: Path, account: Account | None) -> Program:
    """How the process manager runs it."""
    return Program(
        name=NAME,
        command=(str(bin_dir / "postgres"), "-D", str(layout.postgres / "data")),
        directory="/",
        user=account.name if account else None,
        # "Fast": ends sessions and writes a checkpoint. TERM would wait for clients to leave.
        stop_signal="INT",
        stop_wait_s=60,
        # The postmaster tells its own children; signalling them too would only make them log it.
        signal_group=False,
        environment={"LC_ALL": "C"},
    )


def is_ready(url: str) -> bool:
    """Whether the server lets the owner in. A wrong password raises StackError: waiting would not help."""
    try:
        with psycopg.connect(url, dbname="postgres", connect_timeout=2):
            return True
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise StackError(
                f"PostgreSQL does not accept the password kept for `{OWNER}`.",
                "The data and secrets.json are not of the same stack: `make clean` starts afresh.",
            ) from error
        return False


def _initdb(layout: Layout, credentials: Credentials, bin_dir: Path, account: Account | None) -> None:
    data = layout.postgres / "data"
    password = layout.postgres / "owner-password"
    owner = (account.uid, account.gid) if account else (-1, -1)
    write_private(password, credentials.owner.encode(), *owner)
    command = [str(bin_dir / "initdb"), "-D", str(data), "-U", OWNER, f"--pwfile={password}"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    command += ["--data-checksums", "--no-instructions"]
    try:
        made = subprocess.run(
            command,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            cwd="/",
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=_INITDB_TIMEOUT_S,
            check=False,
        )
    finally:
        password.unlink(missing_ok=True)
    if made.returncode != 0:
        advice = "`make clean` removes what it left."
        raise StackError("PostgreSQL's initdb failed.", advice, made.stderr[-2000:])
