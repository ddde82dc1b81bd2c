"""Passwords and keys of a stack: made once, kept in one file that only its owner can read."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import msgspec

from deployment.errors import StackError
from deployment.roles import DATABASE_ROLES, PROJECT

FILE = "secrets.json"
_BYTES = 24


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """Everything secret in a stack. `repr` shows none of it."""

    # Password of the database owner.
    owner: str
    # Password of the broker's only user.
    amqp: str
    # Passwords of the services' database roles, by role.
    roles: dict[str, str]
    # What the sandbox gateway signs its webhooks with.
    webhook: str = ""
    # What the ledger signs its checkpoints with: LEDGER_KEY.
    ledger_key: str = ""

    def __repr__(self) -> str:
        return "Credentials(…)"


def generate() -> Credentials:
    """Fresh passwords of 192 random bits, in characters that need no quoting in a URL, a file or a shell.

    The ledger's key is none of them: `load_or_create` has the ledger make one.
    """
    roles = {role: secrets.token_urlsafe(_BYTES) for role in DATABASE_ROLES}
    return Credentials(
        owner=secrets.token_urlsafe(_BYTES),
        amqp=secrets.token_urlsafe(_BYTES),
        roles=roles,
        webhook=secrets.token_urlsafe(_BYTES),
    )


def load_or_create(directory: Path) -> Credentials:
    """The passwords kept in `directory`, made now if there are none. Raises StackError for a broken file."""
    path = directory / FILE
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Credentials)
    except FileNotFoundError:
        kept = generate()
    except (msgspec.DecodeError, OSError) as error:
        raise StackError(
            f"{path} cannot be read ({error}).",
            "It holds the passwords of the data beside it: restore it, or start afresh with `make clean`.",
        ) from error
    missing = {role: secrets.token_urlsafe(_BYTES) for role in DATABASE_ROLES if role not in kept.roles}
    if missing or not kept.webhook or not kept.ledger_key:
        kept = msgspec.structs.replace(
            kept,
            roles=kept.roles | missing,
            webhook=kept.webhook or secrets.token_urlsafe(_BYTES),
            ledger_key=kept.ledger_key or _new_ledger_key(),
        )
        write_private(path, msgspec.json.encode(kept))
    return kept


def rotate_ledger_key(directory: Path) -> None:
    """Put a new key in the place of the ledger's, of the same name. Raises StackError."""
    kept = load_or_create(directory)
    name = kept.ledger_key.split("+")[2]  # PRIVATE+KEY+<name>+…
    kept = msgspec.structs.replace(kept, ledger_key=_new_ledger_key("--name", name))
    write_private(directory / FILE, msgspec.json.encode(kept))


def _new_ledger_key(*options: str) -> str:
    """Made by the ledger, which alone knows the format; this package imports no service."""
    command = [sys.executable, "-m", "ledger_svc", "keygen", *options]
    made = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise StackError("No key could be made for the ledger.", log=made.stderr[-2000:])
    return made.stdout.strip()


def write_private(path: Path, content: bytes, uid: int = -1, gid: int = -1) -> None:
    """Put `content` at `path` with mode 0600 from its first byte on, whole or not at all."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        if (uid, gid) != (-1, -1):
            os.fchown(file.fileno(), uid, gid)
    beside.replace(path)
