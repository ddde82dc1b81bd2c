"""The register of ways to falsify an export, and what they have in common."""

from collections.abc import Callable, Sequence
from random import Random

from perf.checks.export_file import Export, Row

Others = Sequence[Export]  # honest ones, to take parts from
Way = Callable[[Random, Export, Others], Export | bytes | None]

WAYS: dict[str, Way] = {}  # each changes the export that it is given, or makes another


class Unfit(Exception):
    """This export cannot be falsified in that way."""


def way(name: str) -> Callable[[Way], Way]:
    """Register one."""

    def register(change: Way) -> Way:
        WAYS[name] = change
        return change

    return register


def any_row(export: Export, chance: Random) -> Row:
    """Any entry."""
    if not export.rows:
        raise Unfit
    return chance.choice(export.rows)


def another(export: Export, others: Sequence[Export], chance: Random, *, same: bool) -> Export:
    """Another export of the same or of another lease, or of the same or the other sort."""
    about = export.head.get("lease_id")
    found = [
        each
        for each in others
        if (each.head.get("lease_id") == about) == same and each.rows and each.head != export.head
    ]
    if not found:
        raise Unfit
    return chance.choice(found)
