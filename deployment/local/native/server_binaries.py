"""Finds the programs of PostgreSQL and RabbitMQ, and installs those that are missing, after saying so."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from glob import glob
from pathlib import Path

import msgspec
import psutil

from deployment.errors import StackError
from deployment.local.console import Reporter
from deployment.local.native import orphan_processes

# Where a line matches several versions, the newest comes first. Debian and Ubuntu, Red Hat, Homebrew.
_POSTGRES_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
# /usr/sbin/rabbitmq-server on Debian is a wrapper that insists on Debian's own account and directories, so
# PATH is looked at last.
_RABBITMQ_PLACES = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/usr/lib/rabbitmq/bin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
)
_ERLANG_PLACES = ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/usr/lib/erlang/bin")
OLDEST_POSTGRES = 14

_BREW = {"postgresql": "postgresql@16", "rabbitmq-server": "rabbitmq", "zsh": "zsh"}
# Services the distribution's packages start by themselves, and the processes these run.
_UNITS = {"postgresql": "postgresql", "rabbitmq-server": "rabbitmq-server"}
# What tells a server of the distribution from any other: paths in its command line, or its account.
_PATHS = ("/etc/postgresql/", "/var/lib/postgresql/", "/var/lib/rabbitmq")
_ACCOUNTS = frozenset({"rabbitmq", "epmd"})
_DAEMONS = frozenset({"postgres", "beam.smp", "epmd"})
_TIMEOUT_S = 900

Which = Callable[[str], str | None]


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """Programs found; None for those that are missing."""

    # Directory with `postgres` and `initdb`.
    postgres: Path | None
    # RabbitMQ's start script.
    rabbitmq_server: Path | None
    # Erlang's emulator and port mapper.
    erl: Path | None
    epmd: Path | None

    def missing(self, *, postgres: bool = True, rabbitmq: bool = True) -> tuple[str, ...]:
        """Which of `postgresql` and `rabbitmq-server` are needed and not there."""
        names = ["postgresql"] if postgres and not self.postgres else []
        if rabbitmq and not (self.rabbitmq_server and self.erl and self.epmd):
            names.append("rabbitmq-server")
        return tuple(names)


def find(path: str | None = None, *, postgres_version: str | None = None) -> Tools:
    """Look in the usual places and in `path` (default: PATH).

    `postgres_version` asks for that major version: a data directory can be opened by no other.
    """
    search = os.environ.get("PATH", "") if path is None else path
    return Tools(
        postgres=_postgres(search, postgres_version),
        rabbitmq_server=_first("rabbitmq-server", [*_versions(_RABBITMQ_PLACES), search]),
        erl=_first("erl", [search, *_ERLANG_PLACES]),
        epmd=_first("epmd", [search, *_ERLANG_PLACES, *glob("/usr/lib/erlang/erts-*/bin")]),
    )


def _postgres(search: str, version: str | None) -> Path | None:
    for place in [*_versions(_POSTGRES_PLACES), *search.split(os.pathsep)]:
        program = Path(place, "postgres")
        if not (place and os.access(program, os.X_OK)):
            continue
        # Linked from a directory of PATH: its companions are where the link leads.
        directory = program.resolve().parent
        if not os.access(directory / "initdb", os.X_OK):
            continue
        number = re.search(r"\d+", directory.parent.name)
        if version is not None and number and number[0] != version:
            continue
        if version is None and number and int(number[0]) < OLDEST_POSTGRES:
            continue
        return directory
    return None


def _first(name: str, places: Iterable[str]) -> Path | None:
    found = shutil.which(name, path=os.pathsep.join(places))
    return Path(found) if found else None


def _versions(patterns: Iterable[str]) -> list[str]:
    """Existing directories for the patterns; where one matches several, the newest version first."""
    found: list[str] = []
    for pattern in patterns:
        found += sorted(glob(pattern), key=_numbers, reverse=True)
    return found


def _numbers(path: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path)]


def install_commands(
    missing: Sequence[str], *, root: bool, sudo: bool, which: Which = shutil.which
) -> list[list[str]]:
    """The commands that install the packages `missing` (Debian's names).

    Raises StackError with what to install where there is no way to do it from here.
    """
    if which("apt-get") and (root or sudo):
        apt = ["apt-get"] if root else ["sudo", "-n", "apt-get"]
        return [[*apt, "update"], [*apt, "install", "-y", "--no-install-recommends", *missing]]
    if which("brew") and not root:
        return [["brew", "install", *(_BREW[name] for name in missing)]]
    if which("apt-get"):
        advice = f"Run `sudo apt-get install {' '.join(missing)}`, then try again."
    else:
        advice = "Install PostgreSQL 14 and RabbitMQ 3.10, or newer, with your system's package manager."
    urls = "To use servers you already have, set DATABASE_URL and AMQP_URL."
    raise StackError(f"Not installed: {', '.join(missing)}.", f"{advice}\n{urls}")


def ensure(missing: Sequence[str], reporter: Reporter) -> None:
    """Install what is missing. Raises StackError when that is impossible or fails."""
    root = os.geteuid() == 0
    sudo = not root and _sudo_works()
    todo = install_commands(missing, root=root, sudo=sudo)
    reporter.say(f"Not installed: {', '.join(missing)}. Installing: {' && '.join(map(' '.join, todo))}")
    before = _daemons()
    for command in todo:
        with reporter.step(" ".join(command)):
            _run(command)
    _stop_what_was_started(missing, before, root=root, sudo=sudo)


def _sudo_works() -> bool:
    if not shutil.which("sudo"):
        return False
    return subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0


def _run(command: Sequence[str]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StackError(f"`{' '.join(command)}` took longer than {_TIMEOUT_S} s.") from error
    # An update that fails for one unreachable source still leaves the others usable.
    if done.returncode != 0 and "update" not in command:
        raise StackError(f"`{' '.join(command)}` failed.", "Run it by hand to see why.", done.stdout[-2000:])


def _daemons() -> set[int]:
    """Process ids of the distribution's own servers."""
    return {
        process.pid
        for process in psutil.process_iter(["name", "username", "cmdline"])
        if process.info["name"] in _DAEMONS
        and (
            process.info["username"] in _ACCOUNTS
            or any(path in " ".join(process.info["cmdline"] or ()) for path in _PATHS)
        )
    }


def _stop_what_was_started(missing: Sequence[str], before: set[int], *, root: bool, sudo: bool) -> None:
    """Debian's packages start a server of their own at once; nobody asked for it here, and it takes memory.

    Servers that ran before are left alone.
    """
    if not (root or sudo) or not shutil.which("apt-get"):
        return
    prefix = [] if root else ["sudo", "-n"]
    if _daemons() - before:
        for name in set(missing) & set(_UNITS):
            by_systemd = ["systemctl", "disable", "--now", _UNITS[name]]
            stop = by_systemd if shutil.which("systemctl") else ["service", _UNITS[name], "stop"]
            subprocess.run([*prefix, *stop], capture_output=True, check=False)
    if root:
        started = _daemons() - before
        orphan_processes.end([psutil.Process(pid) for pid in started if psutil.pid_exists(pid)], grace_s=20)
