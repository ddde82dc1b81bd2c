"""How long to wait before trying again: each time longer, up to a limit."""

import random


class Backoff:
    """Exponential back-off, in seconds.

    With `jitter`, each pause is drawn from its upper half, so that those who failed together do not come
    again together.
    """

    def __init__(
        self, first_s: float, longest_s: float, *, factor: float = 2.0, jitter: bool = False
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._factor = factor
        self._jitter = jitter
        self._pause_s = first_s

    def next(self) -> float:
        """The pause before the next try; the one after it will be longer."""
        pause_s = self._pause_s
        self._pause_s = min(pause_s * self._factor, self._longest_s)
        return pause_s * random.uniform(0.5, 1.0) if self._jitter else pause_s

    def reset(self) -> None:
        """It worked: begin again with the shortest pause."""
        self._pause_s = self._first_s
