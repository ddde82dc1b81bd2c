"""The same system in containers: compose.yaml, given the ports and settings of this checkout.

`docker compose up` does without: what compose.yaml leaves open has defaults, and it makes its passwords.
"""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from common.stack import credentials, handout
from common.stack.account import server_account
from common.stack.console import Terminal
from common.stack.credentials import Credentials
from common.stack.errors import StackError
from common.stack.layout import Layout
from common.stack.ports import VARIABLES
from common.stack.roles import SERVICES, TUNABLES
from common.stack.settings import PROJECT, Addresses, Settings

# Present in the run directory while the stack of this checkout is one of containers.
FILE = "containers"
# The service that makes the secrets.
_CREDENTIALS = "credentials"


def chosen(command: str, environment: Mapping[str, str], run_dir: Path) -> bool:
    """Whether containers are meant: STACK says so, or for what follows an `up`, that `up` did.

    Raises StackError for any other STACK than `docker` and `native`.
    """
    stack = environment.get("STACK", "")
    if stack not in ("", "docker", "native"):
        raise StackError(f"STACK={stack} is neither `docker` nor `native`.")
    return stack == "docker" or (stack == "" and command != "up" and (run_dir / FILE).exists())


def variables(settings: Settings) -> dict[str, str]:
    """What compose.yaml may be told."""
    ports = {variable: str(settings.ports.of(field)) for field, variable in VARIABLES.items()}
    return ports | TUNABLES | settings.tunables


def run(command: str, settings: Settings, names: Sequence[str], lines: int) -> int:
    """Carry out one command with Docker Compose. Returns the exit status; raises StackError."""
    if command == "up" and (settings.amqp_url or settings.database_url):
        raise StackError(
            "STACK=docker brings its own servers; AMQP_URL and DATABASE_URL are for STACK=native.",
            "Unset them, or leave out STACK.",
        )
    _require_engine()
    layout = Layout(settings.run_dir)
    match command:
        case "up":
            layout.prepare(server_account())
            settings.remember()
            (layout.real / FILE).touch()
            with Terminal().step("docker compose up"):
                _compose(settings, "up", "--detach", "--build", "--wait")
        case "rotate-key":
            rotate = ("common.stack", "credentials", "--rotate-ledger-key")
            _compose(settings, "run", "--rm", "--no-deps", "-T", _CREDENTIALS, *rotate)
            # They read it when they start.
            names = [each.name for each in SERVICES if each.signs_ledger]
            _compose(settings, "up", "--detach", "--wait", "--no-deps", "--force-recreate", *names)
        case "down":
            _compose(settings, "down")
            (layout.real / FILE).unlink(missing_ok=True)
        case "clean":
            _compose(settings, "down", "--volumes")
            layout.remove()
        case "ps":
            _compose(settings, "ps", "--all")
        case "logs":
            _compose(settings, "logs", "--tail", str(lines), *names)
        case "env":
            from common.stack.commands import print_exports

            # Those of the containers, whatever servers the environment names.
            own = Settings(run_dir=settings.run_dir, ports=settings.ports)
            print_exports(Addresses(own, _credentials(settings)))
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


def _credentials(settings: Settings) -> Credentials:
    """Copied out of the container that made them: what a container prints would be in its log."""
    source = f"{_CREDENTIALS}:{handout.KEPT / credentials.FILE}"
    archive = _compose(settings, "cp", source, "-", output=subprocess.PIPE)
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        kept = members.extractfile(credentials.FILE)
        assert kept is not None
        return msgspec.json.decode(kept.read(), type=Credentials)


def _compose(settings: Settings, *arguments: str, output: int | None = None) -> bytes:
    command = ["docker", "compose", "--project-directory", str(PROJECT), *arguments]
    # Complete, so that nothing of the user's shell gets in.
    environment = os.environ | variables(settings)
    done = subprocess.run(command, env=environment, stdout=output, check=False)
    if done.returncode != 0:
        raise StackError(f"`docker compose {arguments[0]}` failed.", "`STACK=docker make logs` shows more.")
    return done.stdout or b""


_ADVICE = "Start Docker (with Compose 2), or leave out STACK: the system runs without containers."
