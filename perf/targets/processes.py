"""The reference servers, each a process of its own beside the system under test."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping

READY_WITHIN_S = 20.0


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
