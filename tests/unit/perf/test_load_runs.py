"""What a load run looks like over time and by kind of request, and what the open model is held to."""

from collections import Counter

import msgspec
import pytest

from perf import thresholds
from perf.checks.conservation import ConservationResult, RequestCounts
from perf.load.result import Request, Result
from perf.loadtest import open_model, request_mix
from perf.loadtest import report as load_report
from perf.loadtest.report import Asked
from perf.stats.latencies import Latencies
from perf.stats.run import Run
from perf.stats.timeline import WINDOWS_MAX, Timeline

BOUNDS = thresholds.load().load


# --- over time ---


def points(timeline: Timeline, ended_s: float) -> dict[str, list[tuple[float, float]]]:
    return {each.name: each.points for each in timeline.series(ended_s)}


def test_seconds() -> None:
    """Answers, failures and users of every second; what the end cuts short is not shown as a slump."""
    timeline = Timeline()
    for at_s, latency_s, failed in ((0.1, 0.010, False), (0.9, 0.020, True), (2.5, 0.030, False)):
        timeline.answered(at_s, latency_s, failed=failed)
    timeline.users(0.0, 2)
    timeline.users(1.0, 3)
    timeline.answered(3.1, 9.0, failed=True)
    found = points(timeline, 3.5)
    assert found["answers"] == [(0.5, 2), (1.5, 0), (2.5, 1)]
    assert found["of them failed"] == [(0.5, 1), (1.5, 0), (2.5, 0)]
    assert found["users"] == [(0.5, 2), (1.5, 3)]
    # where nothing was answered there is no latency, not one of 0
    assert [at for at, _ in found["p95"]] == [0.5, 2.5]
    assert [ms for _, ms in found["p95"]] == pytest.approx([20, 30], rel=0.01)


def test_a_long_run_has_longer_windows() -> None:
    """However long it is: a plot's worth of windows, nothing lost, percentiles of what they then hold."""
    timeline = Timeline()
    seconds = 10 * WINDOWS_MAX
    for second in range(seconds):
        timeline.answered(second + 0.5, 0.001 * (1 + second % 16), failed=second % 2 == 0)
        timeline.users(second + 0.5, second)
    found = points(timeline, seconds)
    assert len(found["answers"]) == seconds / 16 <= WINDOWS_MAX
    assert {rate for _, rate in found["answers"]} == {1.0}
    assert {rate for _, rate in found["of them failed"]} == {0.5}
    assert [ms for _, ms in found["p50"]] == pytest.approx([8] * len(found["p50"]), rel=0.01)
    assert found["users"][-1] == (seconds - 8, seconds - 1)


def test_nothing_was_measured() -> None:
    """A process that only counts users has nothing to plot."""
    timeline = Timeline()
    timeline.users(0.0, 5)
    assert timeline.series(10) == []


# --- by kind of request ---


def test_spectra() -> None:
    """Commands by themselves, reads of a service together, the bare ones; no line of a single answer."""
    some = Latencies([0.001, 0.002])
    found = {
        Asked("lease", "POST /api/v1/leases"): some,
        Asked("lease", "GET /api/v1/leases"): some,
        Asked("lease", "GET /api/v1/leases/{id}"): some,
        Asked("lease", "GET /health of lease"): some,
        Asked("ledger", "POST /api/v1/audit/leases/{id}/state-at-point"): some,
        Asked("payment", "POST /api/v1/payments/{id}/attempt [paid]"): some,
        Asked("payment", "POST /api/v1/leases/{id}/payoff"): Latencies([0.001]),
    }
    made = load_report.spectra(found, some)
    names = ["lease service, reads", "POST /api/v1/leases", "ledger service, reads", load_report.BARE]
    assert [each.name for each in made] == names
    assert load_report.spectra({}, some) == []


def test_times_bare() -> None:
    """A multiple; nothing where one of the two was not measured."""
    assert load_report.times_bare(30, 2) == "15.0"
    assert load_report.times_bare(30, 0) == load_report.times_bare(0, 2) == "–"


# --- the open model ---


def opened(
    latency_s: float = 0.01, lag_s: float = 0.001, wrong: int = 0, lost: int = 0, **changes: object
) -> Run:
    """The report of 1,000 requests of each service."""
    asked = request_mix.mixes(
        request_mix.Stock(looked_at=["0199"], payments=["01"], payoffs=["02"]), 1, RequestCounts()
    )
    results = []
    for each in asked:
        result = Result(intended=1_000, seconds=10, began=0, windows=[Latencies()])
        result.latencies = Latencies([latency_s] * (1_000 - lost))
        result.statuses = Counter({200: 1_000 - lost})
        result.lag = Latencies([lag_s])
        result.unanswered = lost
        name = next(iter(each.wrong))
        each.wrong[name] = wrong
        each.latencies[name] = result.latencies
        results.append(result)
    outcome = msgspec.structs.replace(ConservationResult(), **changes)
    return open_model.run_of({"seed": "1"}, asked, results, Latencies([0.001]), outcome, BOUNDS)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (opened(), []),
        (opened(wrong=10), []),
        (opened(wrong=11), ["succeeded: 98.9 %"]),
        (opened(lost=11), ["succeeded: 98.9 %"]),
        (opened(latency_s=5.1), ["p99 of all: 5,1"]),
        (opened(lag_s=0.06), ["void"] * 3),
        (opened(failures=["lost: of the leases"]), ["lost"]),
    ],
)
def test_what_fails_an_open_run(run: Run, words: list[str]) -> None:
    """Wrong answers, none, late ones, a late generator, and what the ledger does not have: each by itself."""
    assert run.verdict is not bool(words)
    assert len(run.remarks) == len(words)
    assert all(each in line for each, line in zip(words, run.remarks, strict=True))
    assert all(each.kept is not False for each in run.figures) or words


def test_what_an_open_run_warns_of() -> None:
    """It is told, and does not fail the run."""
    run = opened(warnings=["not checked"])
    assert (run.verdict, run.remarks) == (True, ["not checked"])


def test_figures_of_an_open_run() -> None:
    """Only answers as expected count; every service is seen over time, and beside the bare answers."""
    run = opened(wrong=5)
    assert run.figures[0].value == pytest.approx(3 * 995 / 10)
    assert {each.name.split(",")[0] for each in run.series} == {"lease", "payment", "ledger"}
    [table] = run.tables
    assert table.rows[0][-1] == "10.0"
    assert table.rows[1][-1] == "–"


def test_answers_of_a_mix() -> None:
    """By the status that each kind of request expects; and what was sent is in the books."""
    books = RequestCounts()
    lease, *_ = request_mix.mixes(request_mix.Stock(looked_at=["0199"]), 1, books)
    for number in range(200):
        made = lease.make(number)
        created = made.startswith(b"POST /api/v1/leases HTTP")
        status = (201, 202)[number % 2] if created else 200
        lease.answered(Request(number, 0, answered=1_000_000, status=status), b"{}")
    assert lease.wrongs == lease.wrong["POST /api/v1/leases"] == books.leases.uncertain > 10
    assert books.leases.done + books.leases.uncertain == books.leases.sent
    assert sum(each.count for each in lease.latencies.values()) == 200
