"""A stack in a directory of its own that is gone afterwards, however the process ends that asked for it.

`python -m deployment.local.temporary DIRECTORY` is the guard: it waits for the end of its input, which the
kernel
brings about even after SIGKILL, and then takes the stack in that directory down.
"""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from deployment.errors import StackError
from deployment.local.console import Reporter
from deployment.local.native.orphan_processes import left_over
from deployment.local.ports import Ports
from deployment.local.settings import Settings
from deployment.local.stack import Stack
from deployment.roles import MIGRATIONS, PROJECT, SERVICES, Service


def temporary_directory() -> Path:
    """A fresh place for a stack; the servers' own account can enter it."""
    parent = Path(tempfile.mkdtemp(prefix="lease-stack-"))
    parent.chmod(0o711)
    return parent / "run"


def guard(run_dir: Path) -> subprocess.Popen[bytes]:
    """Start a process that takes the stack in `run_dir` down when this one ends, by whatever cause."""
    return subprocess.Popen(
        [sys.executable, "-m", "deployment.local.temporary", str(run_dir)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def remove(stack: Stack) -> None:
    """End a stack and delete its directory. Raises RuntimeError where a process of it is left."""
    real = stack.layout.real
    stack.clean()
    if left := left_over(real):
        raise RuntimeError(f"still running after the end of their stack: {left}")
    with contextlib.suppress(FileNotFoundError):
        stack.layout.root.parent.rmdir()


@contextmanager
def temporary_stack(
    *,
    services: Sequence[Service] = SERVICES,
    migrations: Sequence[str] = MIGRATIONS,
    tunables: Mapping[str, str] | None = None,
    hops_dir: str = "",
    reporter: Reporter | None = None,
) -> Iterator[Stack]:
    """A running stack on free ports, for as long as the block. Raises StackError."""
    settings = Settings(
        run_dir=temporary_directory(), ports=Ports.free(), tunables=dict(tunables or {}), hops_dir=hops_dir
    )
    stack = Stack(settings, services=services, migrations=migrations)
    watch = guard(settings.run_dir)
    try:
        stack.up(reporter)
        yield stack
    finally:
        remove(stack)
        assert watch.stdin is not None
        watch.stdin.close()
        watch.wait(timeout=60)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    with contextlib.suppress(StackError):
        remove(Stack(Settings(run_dir=Path(sys.argv[1])), services=(), migrations=()))
