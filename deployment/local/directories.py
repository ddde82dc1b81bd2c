"""Where a stack keeps its files, and whether that place can be used.

.run/                       only ever made and removed by this package; carries a marker file
    secrets.json            passwords (0600)
    settings.json           what it was started with, from `up` until `down` (0600)
    supervisord.conf .sock  the process manager's (0600, 0700)
    log/                    what the programs print, rotated
    postgres/data           database cluster, owned by the server account
    rabbitmq/               configuration, log and data of the broker, owned by the server account
    gateway/                the sandbox gateway's file
"""

import os
import shutil
import tempfile
from pathlib import Path

from deployment.errors import StackError
from deployment.local.native.os_account import Account

MARKER = ".lease-stack"
# Outlasts restarts and tidying, unlike /tmp and /var/tmp, and every account may enter it. Only root needs it.
_ELSEWHERE = "/var/lib"
# A Unix socket's path holds 107 bytes (103 on macOS); the longest name below the directory has 32.
_MAX_PATH_BYTES = 70
# supervisord's and Erlang's configuration cannot carry these in a path.
_AWKWARD = set(" \t\n\r\"'\\;#%,$`")
_MIN_FREE_BYTES = 500_000_000


class Layout:
    """Paths below one run directory. `root` is where the user sees it, `real` where the files are."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))

    @property
    def real(self) -> Path:
        """The directory itself, when `root` is a link to it."""
        return self.root.resolve()

    @property
    def log(self) -> Path:
        """Directory of the programs' output, `<program>.log` each."""
        return self.real / "log"

    @property
    def postgres(self) -> Path:
        """Directory of the database server."""
        return self.real / "postgres"

    @property
    def rabbitmq(self) -> Path:
        """Directory of the broker."""
        return self.real / "rabbitmq"

    def exists(self) -> bool:
        """Whether a stack was made here."""
        return (self.real / MARKER).is_file()

    def prepare(self, account: Account | None) -> str | None:
        """Make the run directory, or take the one that is there; safe to repeat.

        Returns a sentence for the user when the files had to go elsewhere, else None. Raises StackError where
        the directory cannot be made or is not ours.
        """
        try:
            return self._prepare(account)
        except PermissionError as error:
            raise StackError(
                f"{error.filename or self.root} cannot be written ({error.strerror}).",
                "Make the directory writable for you, or use a copy of the project that is. If root made it, "
                "`sudo make clean` removes it.",
            ) from error
        except OSError as error:
            raise StackError(
                f"{error.filename or self.root} cannot be made ({error.strerror}).",
                "Use a copy of the project on a disk that can be written.",
            ) from error

    def _prepare(self, account: Account | None) -> str | None:
        said = None
        if self.root.is_symlink() and (not self.real.exists() or self._is_copied_link()):
            # What it pointed to was tidied away, or belongs to the checkout this one was copied from.
            self.root.unlink()
        if not self.root.exists():
            self.root.mkdir(mode=0o711 if account else 0o700)
            self._mark(self.root)
        self.require_ours()
        if not self.root.is_symlink():
            self.root.chmod(0o711 if account else 0o700)
            if reason := self._unusable(account):
                said = self._move(reason, account)
        self._require_space()
        self.log.mkdir(mode=0o700, exist_ok=True)
        for directory in (self.postgres, self.rabbitmq):
            directory.mkdir(mode=0o700, exist_ok=True)
            if account:
                os.chown(directory, account.uid, account.gid)
        return said

    def require_ours(self) -> None:
        """Raise StackError unless this directory was made here, by this user: only then may it be removed."""
        if not self.exists():
            raise StackError(
                f"{self.root} exists, but was not made by this project.", "Move it away, then try again."
            )
        owner = (self.real / MARKER).stat().st_uid
        if owner != os.geteuid():
            raise StackError(
                f"{self.root} belongs to another user (uid {owner}).",
                "Run the same command as that user, or let that user remove it with `make clean`.",
            )

    def remove(self) -> None:
        """Delete everything, data included. Raises StackError where the directory is not ours."""
        if not self.root.exists() and not self.root.is_symlink():
            return
        if self.root.exists():
            self.require_ours()
            shutil.rmtree(self.real)
        if self.root.is_symlink():
            self.root.unlink()

    def _unusable(self, account: Account | None) -> str | None:
        text = str(self.real)
        if _AWKWARD.intersection(text) or not text.isascii():
            return "has characters that the servers' configuration files cannot hold"
        if len(os.fsencode(text)) > _MAX_PATH_BYTES:
            return "is too long for the name of a socket"
        if account and not account.can_enter(self.real):
            return f"cannot be entered by the account `{account.name}`, which runs the servers"
        return None

    def _move(self, reason: str, account: Account | None) -> str:
        """Put the files below _ELSEWHERE under a fresh name and leave a link."""
        if [path.name for path in self.root.iterdir()] != [MARKER]:
            raise StackError(
                f"{self.root} {reason}, and holds data already.",
                "Move the project back to where it was, or drop the data with `make clean`.",
            )
        target = Path(tempfile.mkdtemp(prefix="lease-stack-", dir=_ELSEWHERE))
        target.chmod(0o711 if account else 0o700)
        self._mark(target)
        (self.root / MARKER).unlink()
        self.root.rmdir()
        self.root.symlink_to(target)
        return f"{self.root} {reason}; the files are in {target}."

    def _mark(self, directory: Path) -> None:
        (directory / MARKER).write_bytes(os.fsencode(self.root))

    def _is_copied_link(self) -> bool:
        try:
            original = Path(os.fsdecode((self.real / MARKER).read_bytes()))
        except FileNotFoundError:
            return False
        return original != self.root and original.is_symlink() and original.resolve() == self.real

    def _require_space(self) -> None:
        free = shutil.disk_usage(self.real).free
        if free < _MIN_FREE_BYTES:
            raise StackError(
                f"{self.real} has only {free // 1_000_000} MB left; 500 MB are needed.",
                "Free some space (`make clean` removes the data of this stack), then try again.",
            )
