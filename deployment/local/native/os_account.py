"""The account the database and the broker run under when the stack is started by root.

PostgreSQL refuses to run as root, and the broker has no need to. Started by an ordinary user, everything runs
as that user and there is no such account.
"""

import os
import pwd
import subprocess
from pathlib import Path

import msgspec

from deployment.errors import StackError

_CANDIDATES = ("postgres", "_postgres", "nobody")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An unprivileged login."""

    name: str
    uid: int
    gid: int

    def can_enter(self, directory: Path) -> bool:
        """Whether this account can use files in `directory`, asked of the kernel by trying."""
        tried = subprocess.run(
            ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)],
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return tried.returncode == 0


def server_account() -> Account | None:
    """Who runs the servers: None for the present user, who then is not root.

    Raises StackError where there is no unprivileged account at all.
    """
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid != 0:
            return Account(name=name, uid=found.pw_uid, gid=found.pw_gid)
    raise StackError(
        "PostgreSQL refuses to run as root, and this machine has no account for it.",
        "Create one (`useradd --system postgres`), or run make as an ordinary user.",
    )
