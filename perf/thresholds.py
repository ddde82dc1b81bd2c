"""The thresholds, from the one file that has them."""

import os
import sys
from pathlib import Path

import msgspec

FILE = Path(__file__).with_name("thresholds.toml")
VARIABLE = "PERF_THRESHOLDS"


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file: all of its keys are needed, and no other is taken."""


class Bench(_Table, frozen=True, kw_only=True):
    """Of the benchmarks."""

    regression: float  # times the stored median
    mean_ms: dict[str, float]  # at most, by operation


class Stress(_Table, frozen=True, kw_only=True):
    """Of the stress tests."""

    success_rate: float  # more than this, of 1
    peak_memory_mb: float  # less than this


class Range(_Table, frozen=True, kw_only=True):
    """What is expected."""

    low: float
    high: float


class Rate(Range, frozen=True, kw_only=True):
    """What is expected of a number of users together, a second."""

    users: int


class Load(_Table, frozen=True, kw_only=True):
    """Of the load tests."""

    success_rate: float  # at least, of 1
    overloaded: float  # below this success rate the system is overloaded
    mean_ms: float  # of any endpoint; more is a warning
    p99_ms: float  # the same
    per_second: dict[str, Rate]  # by class of users
    response_ms: dict[str, Range]  # means, by endpoint


class E2eLatency(_Table, frozen=True, kw_only=True):
    """At half of what a closed loop does; from the intended start."""

    creation_p99_ms: float
    attempt_p99_ms: float
    ledger_p99_ms: float  # from the commit until auditors can see it


class Capacity(_Table, frozen=True, kw_only=True):
    """What a sustained rate keeps, and how high it has to be."""

    p99_ms: float  # from the intended start
    ledger_lag_s: float  # after the last answer
    creations_per_s: float  # at least


class Soak(_Table, frozen=True, kw_only=True):
    """Of a long run."""

    memory_mb_per_hour: float  # of any Python process
    files_per_hour: float  # open ones, of any Python process
    waiting: float  # messages and events, mean of the last tenth
    p99_ratio: float  # of the last tenth to the first
    ledger_lag_s: float  # after the last answer


class Compare(_Table, frozen=True, kw_only=True):
    """Between revisions."""

    factor: float  # slower by less is let pass
    level: float  # of significance


class Ledger(_Table, frozen=True, kw_only=True):
    """Of a large ledger."""

    appended_per_s: float  # events from the stream, one writer
    ratio: float  # of a large log's medians to a small one's
    metrics_ms: float  # /audit/metrics of the large one


class Figures(_Table, frozen=True, kw_only=True):
    """Of the headline figures."""

    creations_per_s: float
    creation_p99_ms: float
    reads_per_s: float
    ledger_lag_s: float
    python_rss_mb: float


class Collections(_Table, frozen=True, kw_only=True):
    """Of a run of collections."""

    attempts_per_s: float
    worker_growth_mb: float


class Resolution(_Table, frozen=True, kw_only=True):
    """Of attempts in doubt when the gateway returns from an outage."""

    p99_s: float  # from its return


class Thresholds(_Table, frozen=True, kw_only=True):
    """The whole file."""

    bench: Bench
    stress: Stress
    load: Load
    figures: Figures
    collections: Collections
    resolution: Resolution
    e2e_latency: E2eLatency
    capacity: Capacity
    soak: Soak
    compare: Compare
    ledger: Ledger


def load() -> Thresholds:
    """The file of this project, or the one that PERF_THRESHOLDS names. Exits where it cannot be used."""
    path = Path(os.environ.get(VARIABLE) or FILE)
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Thresholds)
    except (OSError, ValueError) as error:
        sys.exit(f"{path} ({VARIABLE}) cannot be used: {error}")
