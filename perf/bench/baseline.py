"""Stored figures of a machine, and whether new ones are worse.

One file for each kind of machine, to be committed: what is measured on another kind is not compared. A
machine has slower days as well, so an operation is worse only when it is so in itself *and* beside the bare
piece of work that was timed between its rounds. That second condition is why pytest-benchmark's own
`--benchmark-compare-fail` does not do: it knows an operation by itself alone, and not the kind of machine.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from perf.probes.machine import Machine
from perf.stats.latencies import Latencies

FOLDER = Path(__file__).with_name("baselines")


@dataclass(frozen=True)
class Measured:
    """One operation of one run."""

    name: str
    what: str  # is timed
    latencies: Latencies
    bare_ms: float  # median of the bare reference between its rounds

    @property
    def median_ms(self) -> float:
        """The operation's own median."""
        return self.latencies.percentile_ms(50)

    @property
    def times_bare(self) -> float:
        """How many bare references it takes."""
        return self.median_ms / self.bare_ms if self.bare_ms else math.nan


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One operation as it is stored."""

    commit: str
    day: date
    rounds: int
    min_ms: float
    mean_ms: float
    median_ms: float
    p95_ms: float
    p99_ms: float
    bare_ms: float


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """One file."""

    machine: Machine
    operations: dict[str, Kept] = {}


def measured(name: str, what: str, seconds: Sequence[float], bare_s: Sequence[float]) -> Measured:
    """From durations in seconds."""
    return Measured(name, what, Latencies(seconds), bare_ms=statistics.median(bare_s) * 1000)


def path_of(machine: Machine, folder: Path = FOLDER) -> Path:
    """Where its figures are kept."""
    return folder / f"{machine.key}.json"


def read(machine: Machine, folder: Path = FOLDER) -> Mapping[str, Kept]:
    """What is stored of this kind of machine, by operation; nothing where nothing is."""
    try:
        text = path_of(machine, folder).read_bytes()
    except FileNotFoundError:
        return {}
    return msgspec.json.decode(text, type=Baseline).operations


def write(
    machine: Machine, commit: str, day: date, results: Sequence[Measured], folder: Path = FOLDER
) -> Path:
    """Store these; operations that were not measured now keep what they have."""
    kept = dict(read(machine, folder))
    for each in results:
        kept[each.name] = Kept(
            commit=commit,
            day=day,
            rounds=each.latencies.count,
            min_ms=round(each.latencies.min_ms, 4),
            mean_ms=round(each.latencies.mean_ms, 4),
            median_ms=round(each.median_ms, 4),
            p95_ms=round(each.latencies.percentile_ms(95), 4),
            p99_ms=round(each.latencies.percentile_ms(99), 4),
            bare_ms=round(each.bare_ms, 4),
        )
    path = path_of(machine, folder)
    path.parent.mkdir(exist_ok=True)
    text = msgspec.json.encode(Baseline(machine=machine, operations=kept))
    path.write_bytes(msgspec.json.format(text, indent=2) + b"\n")
    return path


def slower(now: Measured, kept: Kept) -> float:
    """How many times the stored median: in itself, or beside the bare reference, whichever is less."""
    in_itself = now.median_ms / kept.median_ms
    beside_bare = now.times_bare / (kept.median_ms / kept.bare_ms)
    return min(in_itself, beside_bare)
