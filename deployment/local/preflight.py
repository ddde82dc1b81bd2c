"""What is checked before anything is started, with messages that say what to do."""

import contextlib
import socket
from collections.abc import Iterable
from pathlib import Path

import psutil

from deployment.errors import StackError
from deployment.local.directories import Layout
from deployment.local.native import orphan_processes
from deployment.local.ports import LOOPBACK, VARIABLES, Ports, ephemeral_ports


def check_ports(ports: Ports, fields: Iterable[str]) -> None:
    """Raise StackError naming every port of `fields` that somebody else listens on."""
    taken = []
    for field in fields:
        port = ports.of(field)
        if not _is_free(port):
            who = orphan_processes.holder(port)
            taken.append(f"Port {port} is taken by {who}. {VARIABLES[field]}=<port> chooses another.")
    if taken:
        raise StackError("\n".join(taken), "Stop what listens there, or set the variable for `make up`.")


def warning(ports: Ports, fields: Iterable[str]) -> str | None:
    """What to know of ports that the kernel may give to somebody else; None where there are none of them."""
    given_away = ephemeral_ports()
    found = [f"{VARIABLES[field]}={ports.of(field)}" for field in fields if ports.of(field) in given_away]
    if not found:
        return None
    return (
        f"Warning: {', '.join(found)}: this machine gives the ports {min(given_away)} to {max(given_away)} "
        "to outgoing connections. When a server was killed, one of these may take its port, and nothing can "
        "listen there until a minute after that connection's end. Ports outside of that range are safe."
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Connections that lately ended there do not matter, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) != 0


def recover(layout: Layout) -> bool:
    """Clear away what a crash left: processes without a manager, and a lock file that names a stranger.

    Only to be called while no supervisord answers. Returns whether there was anything.
    """
    orphans = orphan_processes.left_over(layout.real)
    orphan_processes.end(orphans, grace_s=30)
    return _remove_stale_lock(layout.postgres / "data" / "postmaster.pid") or bool(orphans)


def _remove_stale_lock(lock: Path) -> bool:
    """After the machine crashed, the process id in Postgres' lock file may be another program's by now.

    Postgres then believes that it is running already. A file is kept whose process works in that directory.
    """
    try:
        pid = int(lock.read_text().split("\n", 1)[0])
    except FileNotFoundError:
        return False
    except ValueError:
        # Cut short by a full disk; Postgres refuses to judge such a file.
        pid = None
    # A process of another user cannot be ours, and its directory cannot be seen.
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        if pid and Path(psutil.Process(pid).cwd()) == lock.parent:
            raise StackError(
                f"A PostgreSQL server (pid {pid}) uses {lock.parent}, and was not started by this stack.",
                f"End it (kill -INT {pid}), then try again.",
            )
    lock.unlink()
    return True
