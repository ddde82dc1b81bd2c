"""What a measurement says of requests that are missing, or there twice: by its books, and by its stamps."""

from collections import Counter
from dataclasses import replace

import pytest

from perf.checks import private_system
from perf.checks.private_system import Held
from perf.load.driver import Phase
from perf.load.result import Result
from perf.probes.trace_join import Trace
from perf.system import hop_report

BEFORE = Held(committed=10, collected=10, in_ledger=10, told=25, entries=25)
AFTER = Held(committed=110, collected=110, in_ledger=110, told=125, entries=125)


@pytest.mark.parametrize(
    ("answered", "uncertain", "now", "words"),
    [
        (100, 0, AFTER, []),
        (95, 5, AFTER, []),
        (100, 5, AFTER, []),
        (101, 0, AFTER, ["101 creations were answered with 201"]),
        (99, 0, AFTER, ["99 creations were answered with 201"]),
        (90, 9, AFTER, ["of 9 the end is unknown, and 100 were committed"]),
        (100, 0, replace(AFTER, in_ledger=109), ["the ledger has 109"]),
        (100, 0, replace(AFTER, in_ledger=111), ["the ledger has 111"]),
        (100, 0, replace(AFTER, collected=109), ["payments know 109"]),
        (100, 0, replace(AFTER, entries=126), ["125 events were told, the ledger has 126"]),
        (100, 0, replace(AFTER, entries=124), ["125 events were told, the ledger has 124"]),
    ],
)
def test_books(answered: int, uncertain: int, now: Held, words: list[str]) -> None:
    """Each lease that was answered is there, once; those of which nobody knows are there once, or not."""
    found = private_system.unaccounted(BEFORE, now, answered, uncertain)
    assert len(found) == len(words)
    assert all(each in line for each, line in zip(words, found, strict=True))


def _phase(name: str, count: int = 5) -> Phase:
    """One in which all went well."""
    result = Result(intended=count, seconds=1, began=0, statuses=Counter({201: count}))
    points = ["broker.confirmed", "worker.committed", "ledger.visible"]
    if name == "attempt":
        points += ["worker.settled", "ledger.visible"]
    traces: dict[str, Trace] = {}
    for number in range(count):
        trace = traces[f"{number:032x}"] = {}
        for at, point in enumerate(points):
            trace.setdefault(point, []).append(at)
    return Phase(name, 5.0, result, traces=traces)


LAST = {"creation": "worker.committed", "attempt": "worker.settled"}


@pytest.mark.parametrize("name", LAST)
def test_stamps(name: str) -> None:
    """Every request has been everywhere, once; what was not, or twice, fails the run."""
    assert hop_report.not_conserved(_phase(name)) == []
    for point in ("broker.confirmed", LAST[name], "ledger.visible"):
        lost = _phase(name)
        del lost.traces[f"{3:032x}"][point]
        [said] = hop_report.not_conserved(lost)
        assert "4 " in said
    for point in (LAST[name], "ledger.visible"):
        twice = _phase(name)
        twice.traces[f"{3:032x}"][point].append(9)
        [said] = hop_report.not_conserved(twice)
        assert "1 committed twice" in said or "1 in the ledger twice" in said


def test_half_of_an_attempt_is_not_in_the_ledger() -> None:
    """It is told that the attempt was started; how it has ended is missing."""
    lost = _phase("attempt")
    lost.traces[f"{0:032x}"]["ledger.visible"].pop()
    [said] = hop_report.not_conserved(lost)
    assert "4 in the ledger" in said


@pytest.mark.parametrize(
    "changes", [{"dropped": 1}, {"unanswered": 1}, {"statuses": Counter({201: 4, 202: 1})}]
)
def test_answers(changes: dict[str, object]) -> None:
    """What was not sent, not answered or answered otherwise is not accounted for either."""
    phase = _phase("creation")
    phase.result = replace(phase.result, **changes)  # type: ignore[arg-type]
    assert len(hop_report.not_conserved(phase)) == 1
