"""How slow the pretended third party is, and how much it takes on at once."""

from __future__ import annotations

import msgspec

BODY_BYTES = 64 * 1024
LATENCY_MS_MAX = 60_000


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds the sandbox; every one of them may be lowered by a test."""

    slow_ms: int = 3_000  # what `pm_slow` waits before it answers, in milliseconds
    hold_s: float = 60.0  # how long a connection that never gets its answer is kept open, in seconds
    held: int = 1_000  # connections held open at once; one more is dropped straight away, just as unanswered
    in_flight: int = 4_000  # charges being worked on or held at once; one more is refused with a 503
    body_s: float = 10.0  # a request body that takes longer to arrive is refused with a 408, in seconds


def parse_latency_ms(text: str) -> tuple[int, int]:
    """Read `"50-150"` (or `"20"`: always that long) as a range of milliseconds, both ends included.

    Raises ValueError where it is not a range of whole milliseconds between 0 and 60,000.
    """
    low, dash, high = text.strip().partition("-")
    ends = (low, high if dash else low)
    if not all(end.isascii() and end.isdigit() and len(end) <= 5 for end in ends):
        raise ValueError(f"a latency is whole milliseconds such as 0 or 50-150, not {text!r}")
    least, most = int(ends[0]), int(ends[1])
    if not least <= most <= LATENCY_MS_MAX:
        raise ValueError(f"a latency is a rising range up to {LATENCY_MS_MAX} ms, not {text!r}")
    return least, most
