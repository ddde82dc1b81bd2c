"""The process manager, supervisord: its start and the calls made to it.

Its XML-RPC interface is described at https://supervisord.org/api.html.
"""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from supervisor.xmlrpc import SupervisorTransport

from deployment.credentials import write_private
from deployment.errors import StackError
from deployment.local.directories import Layout
from deployment.local.native.supervisord_config import DIRECTORY_VARIABLE

_START_TIMEOUT_S = 20
_STOP_TIMEOUT_S = 90
_KILL_TRIES = 20
_POLL_S = 0.05
# What reaches the programs from the user's environment. The rest (PGHOST, RABBITMQ_…, PYTHONPATH) could
# point them somewhere else than the stack says.
_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


class State(msgspec.Struct, frozen=True, kw_only=True):
    """One program at this moment."""

    name: str
    # STOPPED, STARTING, RUNNING, BACKOFF (died at once, tried again soon), STOPPING, EXITED, FATAL, UNKNOWN.
    name_of_state: str
    # Process id; 0 when there is none.
    pid: int
    # Unix time of the last start, seconds; 0 when never started.
    started_at: int
    # Seconds since then, when it is running.
    up_s: int

    @property
    def running(self) -> bool:
        """Whether it has been up for at least a second."""
        return self.name_of_state == "RUNNING"


class Supervisor:
    """The supervisord of one run directory, running or not."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @property
    def _config(self) -> Path:
        return self._layout.real / "supervisord.conf"

    def _call(self, method: str, *arguments: object) -> Any:
        socket_url = f"unix://{self._layout.real}/supervisor.sock"
        transport = SupervisorTransport(None, None, socket_url)
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def answers(self) -> bool:
        """Whether it is running and takes calls."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except (OSError, xmlrpc.client.Error, http.client.HTTPException):
            return False

    def config(self) -> str | None:
        """The configuration last written; None when there is none."""
        try:
            return self._config.read_text()
        except FileNotFoundError:
            return None

    def write(self, config: str) -> None:
        """Keep a configuration for the next `start` or `reload`."""
        write_private(self._config, config.encode())

    def start(self) -> None:
        """Start supervisord in the background; no program is started by that."""
        environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        environment |= {DIRECTORY_VARIABLE: str(self._layout.real), "PYTHONUNBUFFERED": "1"}
        started = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._config)],
            cwd=self._layout.real,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while started.returncode == 0 and time.monotonic() < deadline:
            if self.answers():
                return
            time.sleep(_POLL_S)
        log = started.stdout or self.tail("supervisord")
        problem = "The process manager (supervisord) did not start."
        raise StackError(problem, "`make down`, then try again.", log)

    def reload(self, name: str) -> None:
        """Take the written configuration of one program, which must be stopped."""
        self._call("reloadConfig")
        self._call("removeProcessGroup", name)
        self._call("addProcessGroup", name)

    def states(self) -> dict[str, State]:
        """All programs by name; empty when supervisord is not running."""
        try:
            rows = self._call("getAllProcessInfo")
        except (OSError, http.client.HTTPException):
            return {}
        return {
            row["name"]: State(
                name=row["name"],
                name_of_state=row["statename"],
                pid=row["pid"],
                started_at=row["start"],
                up_s=row["now"] - row["start"] if row["pid"] else 0,
            )
            for row in rows
        }

    def request_start(self, name: str) -> None:
        """Ask for a program to be started; nothing happens to one that runs."""
        self._ask("startProcess", name, xmlrpc_done=60)  # ALREADY_STARTED

    def request_stop(self, name: str) -> None:
        """Ask for a program to be stopped; nothing happens to one that does not run."""
        self._ask("stopProcess", name, xmlrpc_done=70)  # NOT_RUNNING

    def _ask(self, method: str, name: str, *, xmlrpc_done: int) -> None:
        try:
            self._call(method, name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != xmlrpc_done:
                raise StackError(f"{name}: {fault.faultString}", log=self.tail(name)) from fault

    def stop(self, names: Sequence[str]) -> None:
        """Stop these programs together and wait until they are gone; supervisord kills those that linger."""
        for name in names:
            self.request_stop(name)
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            states = self.states()
            if not any(states[name].pid for name in names if name in states):
                return
            time.sleep(_POLL_S)
        raise StackError(f"{', '.join(names)} did not stop within {_STOP_TIMEOUT_S} s.")

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a program and all its children. Returns the process id it had."""
        for _ in range(_KILL_TRIES):
            pid = self.states()[name].pid
            if not pid:
                break
            # supervisord makes each program the leader of a process group, a moment after it was forked.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)
                return pid
            time.sleep(0.05)
        raise StackError(f"{name} is not running.")

    def shutdown(self) -> None:
        """End supervisord; programs still running are stopped first."""
        pid = int(self._call("getPID"))
        self._call("shutdown")
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(_POLL_S)

    def tail(self, name: str, lines: int = 20) -> str:
        """The last lines a program printed."""
        try:
            with (self._layout.log / f"{name}.log").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 64 * 1024))
                kept = file.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(kept[-lines:])
