"""From programs to the text of supervisord.conf (https://supervisord.org/configuration.html)."""

import os
import shlex
from collections.abc import Sequence

import msgspec

from deployment.errors import StackError
from deployment.local.directories import Layout

# Marks every process of a stack, so that one that outlived its supervisor can be found.
DIRECTORY_VARIABLE = "LEASE_STACK_DIRECTORY"
# A program that ends at once is tried again after 1, 2, 3 … seconds: fifty tries span about twenty minutes,
# so that waiting for a server that comes back late is not given up.
_PROGRAM = """
[program:{name}]
command={command}
directory={directory}
environment={environment}
autostart=false
autorestart=true
startsecs=1
startretries=50
stopsignal={stop_signal}
stopwaitsecs={stop_wait_s}
stopasgroup={signal_group}
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""

_SUPERVISOR = """\
; Written anew by `make up`. Holds passwords: mode 0600.
[unix_http_server]
file={directory}/supervisor.sock
chmod=0700

[supervisord]
pidfile={directory}/supervisord.pid
logfile={directory}/log/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
childlogdir={directory}/log
directory=/
identifier={directory}
silent=true

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One process as the process manager runs it: what, as whom, and how it likes to be stopped."""

    # Unique; also the name of its log file.
    name: str
    # Program and arguments; no shell is involved.
    command: tuple[str, ...]
    # Working directory.
    directory: str
    # Added to the process manager's own environment.
    environment: dict[str, str] = {}
    # Account to run under; None: the one of the process manager.
    user: str | None = None
    # Signal that asks it to finish, without "SIG".
    stop_signal: str = "TERM"
    # Seconds it has for that before it is killed.
    stop_wait_s: int = 12
    # Whether its children are asked to finish too. They are always killed with it.
    signal_group: bool = True


def render(layout: Layout, programs: Sequence[Program]) -> str:
    """The text of supervisord.conf for these programs."""
    text = _SUPERVISOR.format(directory=_escape(str(layout.real)))
    if os.geteuid() == 0:
        text = text.replace("silent=true\n", "silent=true\nuser=root\n")
    for program in programs:
        environment = program.environment | {DIRECTORY_VARIABLE: str(layout.real)}
        section = _PROGRAM.format(
            name=program.name,
            command=_escape(shlex.join(program.command)),
            directory=_escape(program.directory),
            environment=",".join(f'{key}="{_escape(value)}"' for key, value in environment.items()),
            stop_signal=program.stop_signal,
            stop_wait_s=program.stop_wait_s,
            signal_group=str(program.signal_group).lower(),
            log=_escape(str(layout.log / f"{program.name}.log")),
        )
        text += section + (f"user={program.user}\n" if program.user else "")
    return text


def _escape(value: str) -> str:
    """A value as supervisord.conf can hold it. Raises StackError for what it cannot."""
    if any(character in value for character in '\n\r"\\') or " ;" in value or " #" in value:
        raise StackError(
            "A path or an address has a quote, a backslash, a line break, ` ;` or ` #` in it, which the "
            "process manager's configuration cannot hold.",
            "Use a checkout whose path has none of them, and percent-encode AMQP_URL and DATABASE_URL.",
        )
    return value.replace("%", "%%")
