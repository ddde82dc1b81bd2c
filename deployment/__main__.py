"""`python -m deployment <command>`: what an installation runs beside the services; compose.yaml does, too.

credentials: all passwords and keys, each handed to the process that needs it.
bootstrap: the database's roles and migrations. Safe to repeat.
health: whether a page answers 200.

The image has no development tools: nothing here imports `deployment.local`.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from common.runtime.settings import variable
from deployment import database_setup, healthcheck, secret_files
from deployment.errors import StackError
from deployment.roles import MIGRATIONS


def main(arguments: Sequence[str]) -> int:
    """Run one command. Returns the exit status: 1 for a StackError, which is shown on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m deployment",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("credentials").add_argument(
        "--rotate-ledger-key", action="store_true", help="give the ledger a new one"
    )
    commands.add_parser("bootstrap")
    commands.add_parser("health").add_argument("url", help="exits with 0 if this page answers 200")
    chosen = parser.parse_args(arguments)
    try:
        match chosen.command:
            case "credentials":
                secret_files.hand_out(rotate=chosen.rotate_ledger_key)
            case "bootstrap":
                _bootstrap()
            case "health":
                return 0 if healthcheck.answers_ok(chosen.url) else 1
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _bootstrap() -> None:
    """Roles and migrations on DATABASE_URL, with the passwords that the environment holds or names."""
    needed = ("DATABASE_URL", *database_setup.PASSWORD_VARIABLES.values())
    try:
        given = {name: variable(os.environ, name) for name in needed}
    except ValueError as error:
        raise StackError(f"{error}.") from error
    if missing := [name for name, value in given.items() if not value]:
        raise StackError(f"Not set: {', '.join(missing)}.")
    passwords = {role: given[name] for role, name in database_setup.PASSWORD_VARIABLES.items()}
    database_setup.create_roles(given["DATABASE_URL"], passwords)
    database_setup.migrate(given["DATABASE_URL"], MIGRATIONS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
