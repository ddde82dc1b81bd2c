"""The gate between revisions: a slow-down is caught, noise is not."""

import math
import time

import numpy as np
import pytest

from perf.stats import regression_gate
from perf.thresholds import Compare

ROUNDS = 10
RUNS = 20
WORK = 4_000
BOUNDS = Compare(factor=1.1, level=0.01)


def _simulated(seed: int, slowdown: float) -> regression_gate.Verdict:
    """Rounds on a machine that drifts (both feel it) and scatters by 8 % (each for itself)."""
    generator = np.random.default_rng(seed)
    drift = np.exp(generator.normal(0, 0.25, ROUNDS))
    base = 1_000 * drift * np.exp(generator.normal(0, 0.08, ROUNDS))
    head = 1_000 / slowdown * drift * np.exp(generator.normal(0, 0.08, ROUNDS))
    return regression_gate.compare(list(base), list(head), higher_is_better=True, bounds=BOUNDS, seed=seed)


def test_a_planted_slowdown_is_caught_and_noise_is_not() -> None:
    """Over 20 runs each: 30 % slower is caught every time, the same revision never."""
    assert all(_simulated(seed, 1.3).slower for seed in range(RUNS))
    assert not any(_simulated(seed, 1.0).slower for seed in range(RUNS))


def _measured(seed: int, slowdown: float) -> regression_gate.Verdict:
    def work(amount: int) -> float:
        began = time.thread_time()
        total = 0
        for number in range(amount):
            total += number * number
        return time.thread_time() - began

    def best(amount: int) -> float:
        return min(work(amount) for _ in range(12))

    pairs = [(best(WORK), best(round(WORK * slowdown))) for _ in range(ROUNDS + 4)]
    base, head = zip(*pairs, strict=True)
    return regression_gate.compare(base, head, higher_is_better=False, bounds=BOUNDS, seed=seed)


def test_with_real_work() -> None:
    """The same with work that is really done on this machine, in its CPU time: 20 runs each."""
    assert sum(_measured(seed, 1.3).slower for seed in range(RUNS)) >= RUNS - 1
    assert sum(_measured(seed, 1.0).slower for seed in range(RUNS)) == 0


def test_both_conditions() -> None:
    """Significant but small is let pass, and so is large but by chance; faster never fails."""
    flat = [100.0] * ROUNDS
    small = regression_gate.compare(flat, [95.0] * ROUNDS, higher_is_better=True, bounds=BOUNDS)
    assert (small.p < 0.01, small.slower) == (True, False)
    assert small.ratio == pytest.approx(0.95)
    wild = [math.exp(value) * 100 for value in (2, -1.5, 2, -1.5, 2, -1.5, 2, -1.5, 1, -1)]
    by_chance = regression_gate.compare(
        flat, [10_000 / value for value in wild], higher_is_better=True, bounds=BOUNDS
    )
    assert (by_chance.ratio < 0.91, by_chance.slower) == (True, False)
    assert not regression_gate.compare(flat, [200.0] * ROUNDS, higher_is_better=True, bounds=BOUNDS).slower
    assert regression_gate.compare(flat, [200.0] * ROUNDS, higher_is_better=False, bounds=BOUNDS).slower


def test_too_few_rounds() -> None:
    """With fewer than eight nothing could be told from chance."""
    with pytest.raises(ValueError, match="at least 8"):
        regression_gate.compare([1.0] * 7, [2.0] * 7, higher_is_better=True, bounds=BOUNDS)
    with pytest.raises(ValueError, match="of both"):
        regression_gate.compare([1.0] * 8, [2.0] * 9, higher_is_better=True, bounds=BOUNDS)
