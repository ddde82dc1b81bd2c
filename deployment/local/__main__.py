"""`python -m deployment.local <command>`: what the Makefile calls.

up, down, ps, logs, env, rotate-key, clean: the stack of this checkout.
install: the servers' packages, when they are missing.
credentials: all passwords and keys, each handed to the process that needs it, for compose.yaml.
bootstrap: the database's roles and migrations, for a server started by something else (there, too).
health: whether a page answers 200, for the health checks there.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence

from deployment.errors import StackError


def main(arguments: Sequence[str]) -> int:
    """Run one command. Returns the exit status: 1 for a StackError, which is told on stderr."""
    parser = argparse.ArgumentParser(prog="python -m deployment.local", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "down", "ps", "env", "rotate-key", "clean", "install", "bootstrap"):
        commands.add_parser(name)
    logs = commands.add_parser("logs")
    logs.add_argument("names", nargs="*", help="programs; default: all")
    logs.add_argument("--lines", type=int, default=20, help="lines of each (default: 20)")
    commands.add_parser("credentials").add_argument(
        "--rotate-ledger-key", action="store_true", help="give the ledger a new one"
    )
    commands.add_parser("health").add_argument("url", help="exits with 0 if this page answers 200")
    chosen = parser.parse_args(arguments)
    try:
        # The first three are run in the container image, where what the others import is not installed.
        if chosen.command == "credentials":
            from deployment import secret_files

            secret_files.hand_out(rotate=chosen.rotate_ledger_key)
            return 0
        if chosen.command == "bootstrap":
            _bootstrap()
            return 0
        if chosen.command == "health":
            from deployment import healthcheck

            return 0 if healthcheck.answers_ok(chosen.url) else 1
        from deployment.local import cli as native

        return native.run(chosen.command, getattr(chosen, "names", []), getattr(chosen, "lines", 0))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Interrupted. {shlex.quote(sys.argv[0])} down stops what was started.", file=sys.stderr)
        return 130


def _bootstrap() -> None:
    """Roles and migrations on DATABASE_URL, with the passwords that the environment holds or names."""
    from common.runtime.settings import variable
    from deployment import database_setup
    from deployment.local.settings import PROJECT
    from deployment.roles import MIGRATIONS

    needed = ("DATABASE_URL", *database_setup.PASSWORD_VARIABLES.values())
    try:
        given = {name: variable(os.environ, name) for name in needed}
    except ValueError as error:
        raise StackError(f"{error}.") from error
    if missing := [name for name, value in given.items() if not value]:
        raise StackError(f"Not set: {', '.join(missing)}.")
    passwords = {role: given[name] for role, name in database_setup.PASSWORD_VARIABLES.items()}
    database_setup.create_roles(given["DATABASE_URL"], passwords)
    database_setup.migrate(given["DATABASE_URL"], MIGRATIONS, PROJECT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
