"""What `make demo` and `make figures` run, against the session's system: their claims hold."""

import asyncio
import os
import sys

from tests.e2e.invariants import come_to_rest
from tests.e2e.system import System


async def _run(system: System, module: str, *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        env={**os.environ, **system.stack.addresses.exports(), "COLUMNS": "120"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, output.decode()


async def test_demo(system: System) -> None:
    """Every check of the story holds."""
    code, output = await _run(system, "perf.demo")
    assert code == 0, output
    assert "checks held" in output
    assert "✗" not in output


async def test_resolution(system: System) -> None:
    """Attempts without an answer, a few of them: the gateway's record and ours agree one to one."""
    code, output = await _run(system, "perf.resolution", "--attempts", "48")
    assert code == 0, output
    await come_to_rest(system)


async def test_figures(system: System) -> None:
    """A short run: every creation is in the ledger, nothing was refused; speed is another matter."""
    _, output = await _run(system, "perf.figures", "--seconds", "2", "--connections", "50")
    assert ": holds" in output, output
    await come_to_rest(system)
