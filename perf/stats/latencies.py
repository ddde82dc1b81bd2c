"""Latencies in HDR histograms: merged without loss, percentiles never averaged.

Source of the method: HdrHistogram (http://hdrhistogram.org). Three significant digits, 1 µs to 10 minutes.
"""

from collections.abc import Iterable

from hdrh.histogram import HdrHistogram

LONGEST_US = 600 * 1_000_000
DIGITS = 3


class Latencies:
    """How long things took; recorded in seconds, asked in milliseconds."""

    def __init__(self, seconds: Iterable[float] = (), digits: int = DIGITS) -> None:
        self._histogram = HdrHistogram(1, LONGEST_US, digits)
        for each in seconds:
            self.record(each)

    def record(self, seconds: float) -> None:
        """One more. What is below 1 µs counts as that, what is above 10 minutes too."""
        self._histogram.record_value(min(max(round(seconds * 1e6), 1), LONGEST_US))

    def merge(self, other: "Latencies") -> None:
        """Take in all that another holds."""
        self._histogram.add(other._histogram)

    @property
    def count(self) -> int:
        """How many were recorded."""
        return int(self._histogram.total_count)

    @property
    def mean_ms(self) -> float:
        """Arithmetic mean; 0 where nothing was recorded."""
        return float(self._histogram.get_mean_value()) / 1000

    @property
    def max_ms(self) -> float:
        """The longest; 0 where nothing was recorded."""
        return float(self._histogram.get_max_value()) / 1000 if self.count else 0.0

    @property
    def min_ms(self) -> float:
        """The shortest; 0 where nothing was recorded."""
        return float(self._histogram.get_min_value()) / 1000 if self.count else 0.0

    def percentile_ms(self, percent: float) -> float:
        """The latency that so many of them were not above; 0 where nothing was recorded."""
        return float(self._histogram.get_value_at_percentile(percent)) / 1000

    def spectrum(self) -> list[tuple[float, float]]:
        """(percentile, ms) pairs, denser towards 100: for a percentile plot."""
        percents = [0.0]
        rest = 100.0
        while self.count and rest > 100.0 / self.count:
            rest /= 10
            percents += [100 - rest * tenth for tenth in (10, 7.5, 5, 2.5)]
        return [(percent, self.percentile_ms(percent)) for percent in [*percents[1:], 100.0]]
