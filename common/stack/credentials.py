"""Passwords of a stack: made once, kept in one file that only its owner can read."""

import os
import secrets
from pathlib import Path

import msgspec

from common.stack.errors import StackError
from common.stack.roles import DATABASE_ROLES

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

    def __repr__(self) -> str:
        return "Credentials(…)"


def generate() -> Credentials:
    """Fresh passwords of 192 random bits, in characters that need no quoting in a URL, a file or a shell."""
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
        write_private(path, msgspec.json.encode(kept))
        return kept
    except (msgspec.DecodeError, OSError) as error:
        raise StackError(
            f"{path} cannot be read ({error}).",
            "It holds the passwords of the data beside it: restore it, or start afresh with `make clean`.",
        ) from error
    missing = {role: secrets.token_urlsafe(_BYTES) for role in DATABASE_ROLES if role not in kept.roles}
    if missing or not kept.webhook:
        webhook = kept.webhook or secrets.token_urlsafe(_BYTES)
        kept = msgspec.structs.replace(kept, roles=kept.roles | missing, webhook=webhook)
        write_private(path, msgspec.json.encode(kept))
    return kept


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
