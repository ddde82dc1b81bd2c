"""Waiting for what happens by itself: always by asking again, always with a deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.2


async def eventually(look: Callable[[], Awaitable[T]], what: str, within_s: float = 60.0) -> T:
    """The first truthy answer of `look`. AssertionError with `what` when there is none in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    pause_s = FIRST_PAUSE_S
    while not (found := await look()):
        assert loop.time() < deadline, f"not within {within_s} s: {what} (last: {found!r})"
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
    return found


async def on_lanes(at_once: int, works: list[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results of all `works`, at most `at_once` of them under way at a time."""
    places = asyncio.Semaphore(at_once)

    async def one(work: Callable[[], Awaitable[T]]) -> T:
        async with places:
            return await work()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(work)) for work in works]
    return [task.result() for task in tasks]
