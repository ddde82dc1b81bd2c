"""How slow the pretended third party is, and how much it takes on at once."""

from __future__ import annotations

import msgspec

BODY_BYTES = 64 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds the sandbox; every one of them may be lowered by a test."""

    slow_ms: int = 3_000  # what `pm_slow` waits before it answers, in milliseconds
    hold_s: float = 60.0  # how long a connection that never gets its answer is kept open, in seconds
    held: int = 1_000  # connections held open at once; one more is dropped straight away, just as unanswered
    in_flight: int = 4_000  # charges being worked on or held at once; one more is refused with a 503
    body_s: float = 10.0  # a request body that takes longer to arrive is refused with a 408, in seconds
