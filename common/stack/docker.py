"""The same system in containers: compose.yaml, given the passwords and ports of this checkout."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.stack.account import server_account
from common.stack.bootstrap import PASSWORD_VARIABLES
from common.stack.console import Terminal
from common.stack.credentials import Credentials, load_or_create, rotate_ledger_key, write_private
from common.stack.errors import StackError
from common.stack.layout import Layout
from common.stack.ports import VARIABLES
from common.stack.roles import SERVICES, TUNABLES
from common.stack.settings import PROJECT, Addresses, Settings

# Present in the run directory while the stack of this checkout is one of containers.
FILE = "compose.env"


def chosen(command: str, environment: Mapping[str, str], run_dir: Path) -> bool:
    """Whether containers are meant: STACK says so, or for what follows an `up`, that `up` did.

    Raises StackError for any other STACK than `docker` and `native`.
    """
    stack = environment.get("STACK", "")
    if stack not in ("", "docker", "native"):
        raise StackError(f"STACK={stack} is neither `docker` nor `native`.")
    return stack == "docker" or (stack == "" and command != "up" and (run_dir / FILE).exists())


def variables(settings: Settings, credentials: Credentials) -> dict[str, str]:
    """What compose.yaml needs to be told."""
    ports = {variable: str(settings.ports.of(field)) for field, variable in VARIABLES.items()}
    passwords = {PASSWORD_VARIABLES[role]: password for role, password in credentials.roles.items()}
    own = {
        "OWNER_PASSWORD": credentials.owner,
        "AMQP_PASSWORD": credentials.amqp,
        "LEDGER_KEY": credentials.ledger_key,
    }
    tunables = TUNABLES | {"WEBHOOK_SECRET": credentials.webhook} | settings.tunables
    return ports | own | passwords | tunables


def run(command: str, settings: Settings, names: Sequence[str], lines: int) -> int:
    """Carry out one command with Docker Compose. Returns the exit status; raises StackError."""
    if settings.amqp_url or settings.database_url:
        raise StackError(
            "STACK=docker brings its own servers; AMQP_URL and DATABASE_URL are for STACK=native.",
            "Unset them, or leave out STACK.",
        )
    _require_engine()
    layout = Layout(settings.run_dir)
    layout.prepare(server_account())
    if command == "rotate-key":
        rotate_ledger_key(layout.real)
    credentials = load_or_create(layout.real)
    file = layout.real / FILE
    content = "".join(f"{key}={value}\n" for key, value in variables(settings, credentials).items())
    write_private(file, content.encode())
    match command:
        case "up":
            with Terminal().step("docker compose up"):
                _compose(file, "up", "--detach", "--build", "--wait")
        case "rotate-key":  # whoever is given another key is made anew
            _compose(file, "up", "--detach", "--wait", *(each.name for each in SERVICES if each.signs_ledger))
        case "down":
            _compose(file, "down")
            file.unlink()
        case "clean":
            _compose(file, "down", "--volumes")
            layout.remove()
        case "ps":
            _compose(file, "ps", "--all")
        case "logs":
            _compose(file, "logs", "--tail", str(lines), *names)
        case "env":
            from common.stack.commands import print_exports

            print_exports(Addresses(settings, credentials))
    return 0


def engine_answers() -> bool:
    """Whether containers can be started here."""
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def _require_engine() -> None:
    if not shutil.which("docker"):
        raise StackError("STACK=docker, but there is no `docker` here.", _ADVICE)
    questions = ((["info"], "no Docker engine answers"), (["compose", "version"], "there is no Compose"))
    for question, missing in questions:
        asked = subprocess.run(["docker", *question], capture_output=True, text=True, check=False)
        if asked.returncode != 0:
            raise StackError(f"STACK=docker, but {missing}.", _ADVICE, asked.stderr[-500:])


def _compose(file: Path, *arguments: str) -> None:
    command = ["docker", "compose", "--env-file", str(file), "--project-directory", str(PROJECT), *arguments]
    # The file is complete; variables of the user's shell would take precedence over it.
    own = ("_PORT", "_PASSWORD", "LEDGER_KEY", *TUNABLES)
    environment = {key: value for key, value in os.environ.items() if not key.endswith(own)}
    done = subprocess.run(command, env=environment, check=False)
    if done.returncode != 0:
        raise StackError(f"`docker compose {arguments[0]}` failed.", "`STACK=docker make logs` shows more.")


_ADVICE = "Start Docker (with Compose 2), or leave out STACK: the system runs without containers."
