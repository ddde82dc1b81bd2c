"""Pacing: under load, let work gather into larger batches; when it is quiet, do it at once."""

import asyncio


class Pacer:
    """Keeps the beginnings of batches at least `interval_s` apart.

    A commit costs the same for one message as for a hundred. What comes after a pause is not held up;
    what comes in a stream is taken in bites of `interval_s`.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._last = 0.0

    async def wait(self) -> None:
        """Return when the next batch may begin; to be called with its first message in hand."""
        loop = asyncio.get_running_loop()
        early_s = self._last + self._interval_s - loop.time()
        if early_s > 0:
            await asyncio.sleep(early_s)
        self._last = loop.time()
