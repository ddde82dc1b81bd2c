"""Whether one revision is slower than another: past the factor *and* not by chance.

Rounds of both are measured in turn, so that what the machine does meanwhile falls on both. Of each round the
logarithm of the two figures' ratio counts; whether their mean is other than 0 is said by a sign-flip
permutation test (E. J. G. Pitman, "Significance tests which may be applied to samples from any populations",
1937).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perf.thresholds import Compare

PERMUTATIONS = 10_000
ROUNDS_MIN = 8  # with fewer, hardly anything could be significant: 2^-7 is the smallest level there is


@dataclass(frozen=True)
class Verdict:
    """How the head compares with the base."""

    ratio: float  # head's figure over the base's, geometric mean over the rounds
    p: float  # probability of a mean so far to the slow side by chance
    slower: bool


def compare(
    base: Sequence[float],
    head: Sequence[float],
    *,
    higher_is_better: bool,
    bounds: Compare,
    seed: int = 1,
) -> Verdict:
    """The figures of the rounds, in order, both of the same rounds. Raises ValueError for too few of them."""
    if len(base) != len(head) or len(base) < ROUNDS_MIN:
        raise ValueError(f"at least {ROUNDS_MIN} rounds of both are needed")
    logs = np.log(np.asarray(head) / np.asarray(base))
    slowness = -logs if higher_is_better else logs
    observed = slowness.mean()
    signs = np.random.default_rng(seed).choice((-1, 1), size=(PERMUTATIONS, len(logs)))
    by_chance = (signs * slowness).mean(axis=1)
    p = float((1 + (by_chance >= observed).sum()) / (1 + PERMUTATIONS))
    ratio = math.exp(logs.mean())
    return Verdict(ratio=ratio, p=p, slower=bool(observed > math.log(bounds.factor) and p < bounds.level))
