"""The reference servers, each a process of its own beside the system under test."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from deployment.local.stack import Stack
from perf.load import http_generator
from perf.load.http_messages import get, post
from perf.load.result import Result
from perf.load.sample_lease import creation

READY_WITHIN_S = 20.0
REFERENCE_S = 5.0  # that each is measured for


@dataclass(frozen=True)
class References:
    """What else this machine can do, in the same run."""

    bare_per_s: float  # answers of an aiohttp server that does nothing else, closed loop
    direct_per_s: float  # a creation's inserts in a handler of their own, no broker, closed loop
    direct_at_rate: Result | None  # the same at the measurement's own rate, open model


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


async def references(
    stack: Stack,
    lease_id: str,
    *,
    connections: int,
    starts: Sequence[float] = (),
    seconds: float = REFERENCE_S,
) -> References:
    """Measure them beside a system that rests; `lease_id` names a lease of it, whose rows are the pattern.

    Raises TimeoutError where a server does not come up, OSError where it cannot be reached.
    """
    async with running("perf.targets.echo_baseline") as url:
        asked = get(url)
        bare = await http_generator.closed_loop(
            url, lambda _: asked, seconds=seconds, connections=connections
        )
    environment = {"DATABASE_URL": stack.addresses.database}
    async with running("perf.targets.direct_baseline", lease_id, environment=environment) as url:
        request = post(url, creation(0))
        fast = await http_generator.closed_loop(
            url, lambda _: request, seconds=seconds, connections=connections
        )
        at_rate = await http_generator.open_loop(url, lambda _: request, starts) if starts else None
    return References(bare.rate_of(200), fast.rate_of(201), at_rate)
