"""The search for the highest sustained rate, and the slopes of a soak."""

import pytest

from perf.stats.latencies import Latencies
from perf.system.capacity import GAP, Step, search, told
from perf.system.soak import slope_per_hour, tenth


class Pretended:
    """A system that sustains rates up to its limit, but for the attempts whose numbers are unlucky."""

    def __init__(self, limit: float, unlucky: frozenset[int] = frozenset()) -> None:
        self._limit = limit
        self._unlucky = unlucky
        self._count = 0

    async def __call__(self, rate: float) -> Step:
        self._count += 1
        failed = rate > self._limit or self._count in self._unlucky
        failures = ("p99 300 ms",) if failed else ()
        return Step(rate=rate, per_second=rate, p50_ms=10, p99_ms=300 if failed else 50, failures=failures)


@pytest.mark.parametrize("limit", [3.0, 150.0, 200.0, 1_234.0, 9_000.0])
async def test_found(limit: float) -> None:
    """Whatever the limit and wherever it begins: close below it, sustained three times, steps all kept."""
    highest, steps = await search(Pretended(limit), start=200)
    assert limit / GAP <= highest <= limit
    assert sum(step.rate == highest and step.sustained for step in steps) == 3
    assert len(steps) < 40


async def test_not_confirmed() -> None:
    """A rate that was sustained by luck is not the answer: a little less is, three times."""
    lucky, steps = await search(Pretended(1_000), start=900)
    assert lucky > 950
    last = len(steps)
    unlucky, _ = await search(Pretended(1_000, frozenset({last, last + 1})), start=900)
    assert 850 < unlucky < lucky
    once, _ = await search(Pretended(1_000, frozenset({1, last})), start=900)
    assert once == lucky  # any machine has a slow moment


async def test_nothing_is_sustained() -> None:
    """Then there is no highest rate, and the search ends."""
    highest, steps = await search(Pretended(0), start=200)
    assert highest == 0
    assert 1 <= len(steps) < 40
    assert "p99" in told(steps[0])


def test_slope() -> None:
    """MB an hour from points a second apart; what is warming up in the first tenth is left out."""
    steady = [(float(second), 100 + second / 60) for second in range(1_000)]
    assert slope_per_hour(steady) == pytest.approx(60)
    warming = [(at, 10.0 if at < 100 else 100.0) for at, _ in steady]
    assert slope_per_hour(warming) == pytest.approx(0, abs=1e-6)
    assert slope_per_hour(steady[:3]) == pytest.approx(60)
    assert slope_per_hour([]) == 0


def test_tenths() -> None:
    """The first and the last windows, merged."""
    windows = [Latencies([0.010] * 10) for _ in range(54)] + [Latencies([0.030] * 10) for _ in range(6)]
    assert tenth(windows, last=False).percentile_ms(99) == pytest.approx(10, rel=0.01)
    assert tenth(windows, last=True).percentile_ms(99) == pytest.approx(30, rel=0.01)
    assert tenth(windows, last=True).count == 60
