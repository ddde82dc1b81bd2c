"""Finds the programs of PostgreSQL and RabbitMQ that are on this machine."""

import os
import re
import shutil
from collections.abc import Iterable
from glob import glob
from pathlib import Path

import msgspec

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
