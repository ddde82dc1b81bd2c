"""Latencies in HDR histograms: merged without loss, percentiles never averaged.

Source of the method: HdrHistogram (http://hdrhistogram.org). Three significant digits, 1 ns to 10 minutes.
The only way to a percentile here: a latency that was seen, to these digits, never one between two.
"""

from collections.abc import Iterable

from hdrh.histogram import HdrHistogram

LONGEST_NS = 600 * 10**9
DIGITS = 3


class Latencies:
    """How long things took; recorded in seconds, asked in milliseconds."""

    def __init__(self, seconds: Iterable[float] = (), digits: int = DIGITS) -> None:
        self._recorded = HdrHistogram(1, LONGEST_NS, digits)
        self._later = tuple(seconds)  # put into the histogram when somebody asks: 2 µs each

    def record(self, seconds: float) -> None:
        """One more. What is below 1 ns counts as that, what is above 10 minutes too."""
        self._recorded.record_value(min(max(round(seconds * 1e9), 1), LONGEST_NS))

    def merge(self, other: "Latencies") -> None:
        """Take in all that another holds."""
        self._histogram.add(other._histogram)

    @property
    def _histogram(self) -> HdrHistogram:
        later, self._later = self._later, ()
        for each in later:
            self.record(each)
        return self._recorded

    @property
    def count(self) -> int:
        """How many were recorded."""
        return int(self._histogram.total_count)

    @property
    def mean_ms(self) -> float:
        """Arithmetic mean, of the middles of the recorded steps; 0 where nothing was recorded."""
        if not self.count:
            return 0.0
        its = self._histogram  # its own way visits every empty step as well: a tenth of a second
        total = sum(
            count * ((lowest + its.get_highest_equivalent_value(lowest) + 1) // 2)
            for lowest, count in (
                (its.get_value_from_index(index), count) for index, count in enumerate(its.counts) if count
            )
        )
        return float(total) / self.count / 1e6

    @property
    def max_ms(self) -> float:
        """The longest; 0 where nothing was recorded."""
        return float(self._histogram.get_max_value()) / 1e6 if self.count else 0.0

    @property
    def min_ms(self) -> float:
        """The shortest; 0 where nothing was recorded."""
        return float(self._histogram.get_min_value()) / 1e6 if self.count else 0.0

    def percentile_ms(self, percent: float) -> float:
        """The latency that so many of them were not above; 0 where nothing was recorded."""
        return float(self._histogram.get_value_at_percentile(percent)) / 1e6

    def spectrum(self) -> list[tuple[float, float]]:
        """(percentile, ms) pairs, denser towards 100: for a percentile plot."""
        percents = [0.0]
        rest = 100.0
        while self.count and rest > 100.0 / self.count:
            rest /= 10
            percents += [100 - rest * tenth for tenth in (10, 7.5, 5, 2.5)]
        return [(percent, self.percentile_ms(percent)) for percent in [*percents[1:], 100.0]]
