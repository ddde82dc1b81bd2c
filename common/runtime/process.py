"""Running a role: the event loop, its tasks, signals, and a drain that ends within ten seconds."""

import argparse
import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import structlog
import uvloop
from prometheus_client import start_http_server

from common.observability import trace_stamps
from common.observability.logging import configure_logging
from common.runtime.settings import Settings
from common.runtime.tasks import cancel_and_wait

log = structlog.get_logger()

DRAIN_S = 8.0


class Draining(Protocol):
    """Something that works until it is told to stop, and then finishes what it has in hand."""

    async def run(self) -> None: ...
    def stop(self) -> None: ...


Role = Callable[[Settings], AbstractAsyncContextManager[None]]
Task = Callable[[Settings], Coroutine[Any, Any, None]]


def main(
    service: str,
    about: str,
    *,
    roles: Mapping[str, Role],
    tasks: Mapping[str, Task],
) -> None:
    """Entry point of a service's `__main__`.

    `roles` run until SIGTERM or SIGINT; with no role named, all of them in one process. `tasks` run to their
    end.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {service}", description=about)
    parser.add_argument(
        "role",
        nargs="?",
        choices=[*roles, *tasks],
        help=f"without one: {' and '.join(roles)} in one process",
    )
    parser.epilog = (
        f"Configured by environment variables: {', '.join(sorted(Settings.variables()))};"
        " or by files, which the same variables with _FILE at their end name"
    )
    role = parser.parse_args().role
    try:
        settings = Settings.from_environment()
    except ValueError as error:
        sys.exit(f"{service}: {error}")
    # What is loaded by now stays: the collector need not look at it again, nor so often at what is new.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    configure_logging(settings.log_level, service=service, role=role or "all")
    if role in tasks:
        uvloop.run(tasks[role](settings))
        return
    try:
        trace_stamps.start(settings.hops_dir, f"{service}-{role or 'all'}")
    except OSError as error:
        sys.exit(f"{service}: environment variable HOPS_DIR: {error}")
    if settings.metrics_port:
        start_http_server(settings.metrics_port, addr=settings.host)
    uvloop.run(_run([roles[role]] if role else list(roles.values()), settings))


async def _run(roles: list[Role], settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as running:
        for role in roles:
            await running.enter_async_context(role(settings))
        await running.enter_async_context(background(trace_stamps.keep_flushed()))
        log.info("role.started")
        await stop.wait()
        log.info("role.stopping")


@asynccontextmanager
async def background(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Tasks that run beside the block and are cancelled after it. One that fails ends the process.

    A process manager starts it again: better than going on with half of the parts.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    for task in tasks:
        task.add_done_callback(_fail_loudly)
    try:
        yield
    finally:
        await cancel_and_wait(tasks)


@asynccontextmanager
async def drained(consumers: Sequence[Draining]) -> AsyncIterator[None]:
    """Consumers that run beside the block; afterwards each finishes the batch it has in hand."""
    tasks = [asyncio.ensure_future(consumer.run()) for consumer in consumers]
    for task in tasks:
        task.add_done_callback(_fail_loudly)
    try:
        yield
    finally:
        for consumer in consumers:
            consumer.stop()
        await asyncio.wait(tasks, timeout=DRAIN_S)
        await cancel_and_wait(tasks)


def _fail_loudly(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.critical("task.failed", exc_info=task.exception())
        signal.raise_signal(signal.SIGTERM)
