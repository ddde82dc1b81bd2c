"""Hop stamps: when a traced request passed the points of its way through all processes.

Off unless HOPS_DIR names a folder. A request is traced where its `traceparent` has the sampled flag (W3C
Trace Context, section 3.2.2.5); commands and events carry it on. Each process appends to a file of its own,
in lines of `trace-id point nanoseconds`, to be joined offline: no message grows, no collector takes part.

Stamps are of CLOCK_MONOTONIC, which all processes of a machine share. They say nothing across machines.
"""

import asyncio
import atexit
import os
import time
from pathlib import Path
from typing import TextIO

FLUSH_EVERY_S = 0.5
_BUFFER_BYTES = 64 * 1024

_file: TextIO | None = None


def start(directory: str, process: str) -> None:
    """Stamp from now on, into a file of `directory`; nothing where that is empty. Raises OSError."""
    global _file
    if directory:
        path = Path(directory) / f"{process}-{os.getpid()}.hops"
        _file = path.open("w", buffering=_BUFFER_BYTES)
        atexit.register(_file.close)


def on() -> bool:
    """Whether anything is stamped: for what takes work to find out."""
    return _file is not None


def now() -> int:
    """A stamp for later, ns; 0 where nothing is stamped."""
    return time.monotonic_ns() if _file is not None else 0


def stamp(traceparent: str | None, point: str, at: int = 0) -> None:
    """A request has passed a point, now or at an earlier `now()`."""
    if _file is not None and traceparent is not None and int(traceparent[-1], 16) & 1:
        _file.write(f"{traceparent[3:35]} {point} {at or time.monotonic_ns()}\n")


async def keep_flushed() -> None:
    """Write out what was stamped, twice a second, until cancelled: a killed process loses little."""
    while _file is not None:
        await asyncio.sleep(FLUSH_EVERY_S)
        _file.flush()
