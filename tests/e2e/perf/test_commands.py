"""What `make demo` and `make figures` run, against the session's system: their claims hold."""

import asyncio
import os
import sys

import pytest

from perf.system import outages, unknown_resolution
from tests.support.oracles.invariants import come_to_rest
from tests.support.system.system import System


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
    code, output = await _run(system, "demo")
    assert code == 0, output
    assert "checks held" in output
    assert "✗" not in output


@pytest.mark.parametrize("form", outages.FORMS)
async def test_resolution(system: System, form: str) -> None:
    """An outage of some seconds amid attempts: each is resolved soon after it, and no money moves twice."""
    found = await unknown_resolution.measure(system.stack, form, 60, 5.0, lambda *_: None)
    assert found.in_doubt > 0
    assert (len(found.resolved_s), found.agree, found.twice) == (found.in_doubt, True, 0)
    assert found.p99_s <= 60
    await come_to_rest(system)


async def test_figures(system: System) -> None:
    """A short run: every creation is in the ledger, nothing was refused; speed is another matter."""
    _, output = await _run(system, "perf.system.headline", "--seconds", "2", "--connections", "50")
    assert ": holds" in output, output
    await come_to_rest(system)
