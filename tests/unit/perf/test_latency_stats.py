"""Latency histograms against numpy."""

import numpy as np
import pytest

from perf.stats.latencies import Latencies

PERCENTS = (1, 25, 50, 90, 95, 99, 99.9)


def _close(measured: float, expected: float) -> bool:
    return measured == pytest.approx(expected, rel=2e-3, abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_merged_percentiles_are_those_of_all(seed: int) -> None:
    """Histograms of three machines, merged, have the percentiles of all their values; averages would not."""
    generator = np.random.default_rng(seed)
    parts = [generator.lognormal(mean, 1.0, 2_000) / 1000 for mean in (0.5, 2.0, 4.0)]
    merged = Latencies()
    for part in parts:
        merged.merge(Latencies(part))
    together = np.concatenate(parts) * 1000
    ordered = np.sort(together)
    for percent in PERCENTS:
        rank = int(np.searchsorted(ordered, np.percentile(together, percent, method="higher")))
        measured = merged.percentile_ms(percent)  # which of two neighbours it is, is a matter of rounding
        assert ordered[rank - 1] * 0.995 <= measured <= ordered[min(rank + 1, 5_999)] * 1.005, percent
    averaged = np.mean([Latencies(part).percentile_ms(99) for part in parts])
    assert not _close(float(averaged), float(np.percentile(together, 99, method="higher")))
    assert merged.count == 6_000
    assert _close(merged.mean_ms, float(together.mean()))
    assert _close(merged.max_ms, float(together.max()))
    assert _close(merged.min_ms, float(together.min()))


def test_a_generator_is_read_at_once() -> None:
    """What it refers to may change before anybody asks for a percentile."""
    made = [Latencies(seconds / 1000 for _ in range(3)) for seconds in (1, 2, 3)]
    assert [round(each.mean_ms) for each in made] == [1, 2, 3]


def test_limits() -> None:
    """What is too short or too long is kept at the ends; of nothing there is nothing to say."""
    odd = Latencies([0.0, -1.0, 10_000.0])
    assert odd.count == 3
    assert odd.min_ms == 1e-6
    assert _close(odd.max_ms, 600_000)
    nothing = Latencies()
    assert (nothing.count, nothing.mean_ms, nothing.max_ms, nothing.percentile_ms(99)) == (0, 0, 0, 0)
    assert nothing.spectrum() == [(100.0, 0.0)]


def test_spectrum_rises_to_the_maximum() -> None:
    """Percentiles in order, latencies in order, and the last is the longest."""
    latencies = Latencies(np.random.default_rng(1).exponential(0.01, 10_000))
    percents, values = zip(*latencies.spectrum(), strict=True)
    assert list(percents) == sorted(set(percents))
    assert list(values) == sorted(values)
    assert values[-1] == latencies.max_ms
    assert percents[-1] == 100
    assert any(99.9 < percent < 100 for percent in percents)
