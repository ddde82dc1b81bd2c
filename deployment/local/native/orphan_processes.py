"""Finds and ends processes of a stack that outlived their process manager."""

import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path

import psutil

from deployment.local.native.supervisord_config import DIRECTORY_VARIABLE


def left_over(directory: Path) -> list[psutil.Process]:
    """Processes started by the stack of this run directory, as far as this user may see them."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(DIRECTORY_VARIABLE) == str(directory):
                found.append(process)
    return found


def end(processes: Sequence[psutil.Process], grace_s: float) -> None:
    """Ask these processes to finish, and kill what is left after `grace_s` seconds."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            # Postgres takes TERM for "when the clients are gone", INT for "now, in good order".
            process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=5)


def holder(port: int) -> str:
    """Who has a port of this machine, in words: who listens there, else whose connection begins there."""
    found = "a process of another user"
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            if not connection.laddr or tuple(connection.laddr)[1] != port:
                continue
            if connection.status == psutil.CONN_LISTEN:
                return _name(connection.pid) or found
            if connection.status == psutil.CONN_TIME_WAIT:
                found = "a connection that has ended; the kernel sets it free within a minute"
            else:
                found = f"a connection of {_name(connection.pid) or found}"
    return found


def _name(pid: int | None) -> str | None:
    with contextlib.suppress(psutil.Error):
        return f"{psutil.Process(pid).name()} (pid {pid})" if pid else None
    return None
