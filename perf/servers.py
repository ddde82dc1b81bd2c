"""The reference servers, each a process of its own beside the system under test."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from perf import loadgen, openloop

READY_WITHIN_S = 20.0


@dataclass(frozen=True)
class Direct:
    """The same inserts without a broker: as fast as it goes, and at the rate of the measurement."""

    per_second: float
    at_rate: openloop.Result


@contextlib.asynccontextmanager
async def running(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[str]:
    """`python -m module PORT arguments…` on a free port, as long as the block; gives its URL.

    Raises TimeoutError where it does not come up.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, str(port), *arguments), env=os.environ | dict(environment or {})
    )
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def echo_per_second(connections: int, seconds: float) -> float:
    """What a bare aiohttp server answers on this machine."""
    async with running("perf.echo") as url:
        request = loadgen.get(url)
        found = await loadgen.run(url, lambda: request, seconds=seconds, connections=connections)
    return found.per_second


async def direct(
    database_url: str, lease_id: str, body: bytes, connections: int, seconds: float, starts: Sequence[float]
) -> Direct:
    """What a handler does that writes a creation's rows itself; `database_url` is the owner's."""
    async with running("perf.direct", lease_id, environment={"DATABASE_URL": database_url}) as url:
        request = loadgen.post(url, body)
        fast = await loadgen.run(url, lambda: request, seconds=seconds, connections=connections)
        return Direct(fast.per_second, await openloop.run(url, lambda _: request, starts))
