"""Latencies in few numbers. A percentile is a latency that was seen, never one between two."""

import math
from collections.abc import Iterable, Sequence

import msgspec


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What many latencies come to; all in ms, NaN where there are none."""

    count: int
    min_ms: float
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of these ascending values with `percent` of the others not above it.

    That is numpy's method "higher": it errs towards the slow side. NaN where there are no values.
    """
    if not ordered:
        return math.nan
    return ordered[math.ceil((len(ordered) - 1) * (percent / 100))]


def summarise(latencies_ms: Iterable[float]) -> Summary:
    """The summary of latencies in any order."""
    ordered = sorted(latencies_ms)
    return Summary(
        count=len(ordered),
        min_ms=percentile(ordered, 0),
        mean_ms=math.fsum(ordered) / len(ordered) if ordered else math.nan,
        p50_ms=percentile(ordered, 50),
        p95_ms=percentile(ordered, 95),
        p99_ms=percentile(ordered, 99),
        max_ms=percentile(ordered, 100),
    )
