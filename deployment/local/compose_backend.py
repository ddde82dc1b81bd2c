"""The same system in containers: compose.yaml, given the ports and settings of this checkout.

`docker compose up` does without: what compose.yaml leaves open has defaults, and it makes its passwords.
"""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence

import msgspec

from deployment import credentials, secret_files
from deployment.credentials import Credentials
from deployment.errors import StackError
from deployment.local import preflight, requested_settings
from deployment.local.console import Terminal
from deployment.local.directories import Layout
from deployment.local.native.os_account import server_account
from deployment.local.native.supervisord import Supervisor
from deployment.local.ports import VARIABLES
from deployment.local.settings import Addresses, Settings
from deployment.roles import HTTP_SERVICES, PROJECT, SERVICES, TUNABLES

# Present in the run directory while the stack of this checkout is one of containers.
FILE = "containers"
# Names of the ports that compose.yaml publishes on the machine.
_PUBLISHED = ("postgres", "amqp", *HTTP_SERVICES)
# The service that makes the secrets.
_CREDENTIALS = "credentials"


def chosen(command: str, environment: Mapping[str, str], settings: Settings) -> bool:
    """Whether containers are meant: STACK says so, or the last `up` did and was not followed by `down`.

    Raises StackError for any other STACK than `docker` and `native`, and where `up` asks for one of them and
    the other runs.
    """
    stack = environment.get("STACK", "")
    if stack not in ("", "docker", "native"):
        raise StackError(f"STACK={stack} is neither `docker` nor `native`.")
    if command != "up":
        return stack == "docker" or (stack == "" and (settings.run_dir / FILE).exists())
    # What is marked may be gone by now, along with Docker.
    running = "docker" if _runs(settings) else ""
    if not running and stack == "docker" and Supervisor(Layout(settings.run_dir)).answers():
        running = "native"
    if running and stack not in ("", running):
        raise StackError(
            f"The stack runs already, with STACK={running}, not {stack}.",
            f"`make down STACK={running}` first. To use it as it runs, leave STACK={stack} out.",
        )
    return "docker" in (running, stack)


def _runs(settings: Settings) -> bool:
    """Whether the stack of this checkout is one of containers, and they run."""
    if not (settings.run_dir / FILE).exists() or not engine_answers():
        return False
    try:
        return bool(_compose(settings.recall(), "ps", "--quiet", output=subprocess.PIPE).strip())
    except StackError:
        return False


def variables(settings: Settings) -> dict[str, str]:
    """What compose.yaml may be told."""
    ports = {variable: str(settings.ports.of(field)) for field, variable in VARIABLES.items()}
    return ports | TUNABLES | settings.tunables


def run(command: str, settings: Settings, names: Sequence[str], lines: int) -> int:
    """Carry out one command with Docker Compose. Returns the exit status; raises StackError."""
    _require_engine()
    layout = Layout(settings.run_dir)
    match command:
        case "up":
            _up(settings, layout)
        case "rotate-key":
            rotate = ("deployment", "credentials", "--rotate-ledger-key")
            _compose(settings, "run", "--rm", "--no-deps", "-T", _CREDENTIALS, *rotate)
            # They read it when they start.
            names = [each.name for each in SERVICES if each.signs_ledger]
            _compose(settings, "up", "--detach", "--wait", "--no-deps", "--force-recreate", *names)
        case "down":
            _compose(settings, "down")
            (layout.real / FILE).unlink(missing_ok=True)
            settings.forget()
        case "clean":
            _compose(settings, "down", "--volumes")
            layout.remove()
        case "ps":
            _compose(settings, "ps", "--all")
        case "logs":
            _compose(settings, "logs", "--tail", str(lines), *names)
        case "env":
            print(Addresses(_own(settings), _credentials(settings)).shell_exports())
    return 0


def _up(settings: Settings, layout: Layout) -> None:
    """Bring the containers up. Those that run are built anew, with the settings they were started with."""
    terminal = Terminal()
    if (kept := settings.kept()) and _runs(settings):
        requested_settings.refuse_changes(kept, os.environ, _credentials(kept))
        settings = kept
    elif settings.amqp_url or settings.database_url:
        raise StackError(
            "STACK=docker brings its own servers; AMQP_URL and DATABASE_URL are for STACK=native.",
            "Unset them, or leave out STACK.",
        )
    elif said := preflight.warning(settings.ports, _PUBLISHED):
        terminal.say(said)
    layout.prepare(server_account())
    settings.remember()
    (layout.real / FILE).touch()
    with terminal.step("docker compose up"):
        _compose(settings, "up", "--detach", "--build", "--wait")


def _own(settings: Settings) -> Settings:
    """With the containers' own servers, whatever servers the environment names."""
    return Settings(run_dir=settings.run_dir, ports=settings.ports)


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
    source = f"{_CREDENTIALS}:{secret_files.KEPT / credentials.FILE}"
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
