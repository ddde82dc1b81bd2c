"""What a measurement leaves behind: numbers with their units, kept as JSON beside the page made of them."""

from datetime import datetime

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number, and what is asked of it."""

    name: str
    value: float
    unit: str
    threshold: float | None = None
    at_least: bool = False  # else at most

    @property
    def kept(self) -> bool | None:
        """Whether the threshold is kept; None where there is none."""
        if self.threshold is None:
            return None
        return self.value >= self.threshold if self.at_least else self.value <= self.threshold


def at_least(name: str, value: float, unit: str, threshold: float) -> Figure:
    """A figure that may not be less."""
    return Figure(name=name, value=value, unit=unit, threshold=threshold, at_least=True)


def at_most(name: str, value: float, unit: str, threshold: float | None) -> Figure:
    """A figure that may not be more; with no threshold it is only shown."""
    return Figure(name=name, value=value, unit=unit, threshold=threshold)


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """A table of words and numbers as they are to be read."""

    title: str
    columns: list[str]
    rows: list[list[str]]


class Spectrum(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies of one kind of request by percentile."""

    name: str
    points: list[tuple[float, float]]  # percentile, ms


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """The hops of one kind of request: mean ms of each, in order; they add up to its mean latency."""

    name: str
    hops: list[tuple[str, float]]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """A quantity over another, mostly over time; those with the same `group` share a plot."""

    group: str
    name: str
    unit: str
    points: list[tuple[float, float]]  # where on the axis (from the start), value
    across: str = "seconds"  # what the axis is of


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one measurement."""

    kind: str  # also the beginning of the files' names
    title: str
    at: datetime
    commit: str
    machine: str
    settings: dict[str, str]  # what it was asked to do, the seed among them
    verdict: bool
    remarks: list[str] = []  # what a reader has to know first: why it failed, why it is void
    figures: list[Figure] = []
    tables: list[Rows] = []
    spectra: list[Spectrum] = []
    stacks: list[Stack] = []
    series: list[Series] = []
