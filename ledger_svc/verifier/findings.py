"""What is wrong with an export, and the report that it ends in."""

from typing import Literal

import msgspec

from ledger_svc.verifier.strict_json import shown
from ledger_svc.views import point_in_time

MAX_PROBLEMS = 100  # then the file is read no further

Check = Literal[
    "form",
    "checkpoint",
    "bytes",
    "inclusion",
    "order",
    "sequences",
    "shown",
    "events",
    "manifest",
    "consistency",
]


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is not as it has to be."""

    check: Check  # which one failed
    words: str
    seq: int | None = None  # the entry it is about
    event_id: str | None = None
    line: int | None = None  # of the file, from 1; of JSON in another layout, the place among the entries
    expected: str | None = None
    found: str | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How one check ended."""

    check: Check
    ok: bool | None  # None: it could not be made, or was not asked for
    words: str


class LedgerSums(msgspec.Struct, frozen=True, kw_only=True):
    """What all leases of a whole ledger add up to; money in minor units, by currency."""

    leases: dict[str, int]  # by status
    billed: dict[str, int]
    collected: dict[str, int]  # and not given back
    outstanding: dict[str, int]
    no_longer_owed: dict[str, int]  # the rest of what was billed


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the verifier says of one file."""

    ok: bool
    file: str
    format: str
    lease_id: str | None  # None: the whole ledger
    exported_at: str
    entries: int
    tree_size: int | None  # by the checkpoint, where there is one to be read
    root_hash: str | None
    signed_by: str | None  # the public key, where the checkpoint's signature is good
    checks: list[Result]
    problems: list[Problem]
    # From the events, once they are verified:
    currency: str | None = None
    lease: point_in_time.Snapshot | None = None
    ledger: LedgerSums | None = None
    notes: list[str] = []


class TooMany(Exception):
    """So much is wrong that the rest does not matter."""


class Findings:
    """Gathers problems. Raises TooMany once there are MAX_PROBLEMS."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    def add(
        self,
        check: Check,
        words: str,
        *,
        seq: int | None = None,
        event_id: str | None = None,
        line: int | None = None,
        expected: object = None,
        found: object = None,
    ) -> None:
        """One more problem; its values are made safe to show."""
        self.problems.append(
            Problem(
                check=check,
                words=shown(words),
                seq=seq,
                event_id=None if event_id is None else shown(event_id),
                line=line,
                expected=None if expected is None else shown(expected),
                found=None if found is None else shown(found),
            )
        )
        if len(self.problems) >= MAX_PROBLEMS:
            raise TooMany

    def note(self, words: str) -> None:
        """Something to know that is not wrong; once."""
        if words not in self.notes:
            self.notes.append(words)
