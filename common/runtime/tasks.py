"""Ending tasks for certain."""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any

CANCEL_AGAIN_AFTER_S = 0.5


async def run_until_first_failure(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run them until one fails, which is raised, or until cancelled; then end the others.

    A TaskGroup would cancel each of them once only: see `cancel_and_wait`.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        await cancel_and_wait(tasks)


async def cancel_and_wait(tasks: Collection[asyncio.Future[Any]]) -> None:
    """Cancel tasks and return when all have ended; what they raised stays with them.

    One cancellation is not enough: a library that cleans up after it may raise an error of its own instead
    (asyncpg does where the connection is lost at that moment), which reads like an outage to be sat out.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_AFTER_S)
