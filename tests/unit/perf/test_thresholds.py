"""What passes and what fails: benchmarks against stored figures, stress and load runs against thresholds."""

from datetime import date
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from perf import thresholds
from perf.bench import baseline
from perf.checks import conservation
from perf.load.references import References
from perf.loadtest import report as load_report
from perf.loadtest import verdict
from perf.loadtest.verdict import Endpoint, LoadRun
from perf.probes import machine
from perf.stats.latencies import Latencies
from perf.stress import report as stress_report
from perf.stress.scenarios import SCENARIOS, Outcome

BOUNDS = thresholds.load()
HERE = machine.this()
DAY = date(2026, 12, 1)


def measured(name: str = "lease_creation", times: float = 1.0, bare: float = 1.0) -> baseline.Measured:
    """An operation of about 3 ms beside a bare reference of 1 ms, each so many times as slow."""
    seconds = [0.003 * times * (1 + 0.01 * (number % 7)) for number in range(100)]
    return baseline.measured(name, "words", seconds, [0.001 * bare] * 100)


def kept(folder: Path, *results: baseline.Measured) -> dict[str, baseline.Kept]:
    baseline.write(HERE, "abc1234", DAY, results, folder)
    return dict(baseline.read(HERE, folder))


def shown() -> tuple[Console, StringIO]:
    text = StringIO()
    return Console(file=text, width=160), text


# --- benchmarks ---


def test_figures_are_kept_by_machine(tmp_path: Path) -> None:
    """What was stored is read again, by operation; another kind of machine has none."""
    assert baseline.read(HERE, tmp_path) == {}
    now = measured()
    [(name, one)] = kept(tmp_path, now).items()
    assert (name, one.commit, one.day, one.rounds) == ("lease_creation", "abc1234", DAY, 100)
    assert one.median_ms == pytest.approx(now.median_ms, abs=1e-3)
    other = msgspec.structs.replace(HERE, processor="another")
    assert baseline.read(other, tmp_path) == {}
    assert set(kept(tmp_path, measured("schedule"))) == {"lease_creation", "schedule"}


def test_slower_in_itself_and_beside_the_bare_one(tmp_path: Path) -> None:
    """30 % slower is seen; neither a slower machine nor a faster bare reference is taken for it."""
    [before] = kept(tmp_path, measured()).values()
    allowed = BOUNDS.bench.regression
    assert baseline.slower(measured(times=1.3), before) == pytest.approx(1.3, rel=0.01)
    assert baseline.slower(measured(times=1.3), before) > allowed
    assert baseline.slower(measured(times=1.3, bare=1.3), before) < allowed
    assert baseline.slower(measured(bare=0.5), before) < allowed
    assert baseline.slower(measured(times=1.2), before) < allowed
    assert baseline.slower(measured(times=2.6, bare=2.0), before) > allowed


# --- stress ---


def found(succeeded: float = 1.0, peak_mb: float = 400.0, conserved: bool = True) -> stress_report.Found:
    outcomes = [
        Outcome(
            asked=100,
            succeeded=round(100 * succeeded),
            seconds=0.5,
            latencies=Latencies([0.001, 0.002, 0.003]),
        )
        for _ in SCENARIOS
    ]
    references = References(bare_per_s=20_000, direct_per_s=800, direct_at_rate=None)
    return stress_report.Found(SCENARIOS, outcomes, peak_mb, conserved, references)


@pytest.mark.parametrize(
    ("succeeded", "peak_mb", "conserved", "passes"),
    [
        (1.0, 400.0, True, True),
        (0.96, 499.0, True, True),
        (0.95, 400.0, True, False),
        (1.0, 500.0, True, False),
        (1.0, 400.0, False, False),
    ],
)
def test_verdict_of_a_stress_run(succeeded: float, peak_mb: float, conserved: bool, passes: bool) -> None:
    """More than 95 %, less than 500 MB, and nothing lost or doubled: each of the three can fail it."""
    console, text = shown()
    run = found(succeeded, peak_mb, conserved)
    assert stress_report.show(console, run, BOUNDS.stress) is passes
    assert ("missed" in text.getvalue()) is not passes
    page = stress_report.run_of(run, BOUNDS.stress, passes)
    assert bool(page.remarks) is not conserved


def test_table_of_a_stress_run() -> None:
    """The guide's scenarios with its numbers, its columns, and the capacity numbers."""
    console, text = shown()
    stress_report.show(console, found(), BOUNDS.stress)
    for words in ("50 × 10", "10 × 100", "20 × 50", "min", "avg", "p95", "p99", "per s", "× bare", "0.25"):
        assert words in text.getvalue()
    assert "Concurrent lease creation: 200 leases/s" in text.getvalue()
    assert "Ledger event storm: 200 events/s" in text.getvalue()
    assert "Read amplification: 200 reads/s" in text.getvalue()


# --- load ---


def endpoint(name: str = "GET /api/v1/leases", **changes: object) -> Endpoint:
    usual = Endpoint(
        name=name,
        requests=1_000,
        failures=0,
        min_ms=1,
        mean_ms=10,
        p50_ms=9,
        p95_ms=20,
        p99_ms=30,
        max_ms=40,
        per_second=200,
    )
    return msgspec.structs.replace(usual, **changes)


def run(*endpoints: Endpoint, users: int = 50, **changes: object) -> LoadRun:
    usual = LoadRun(endpoints=endpoints or [endpoint()], users={"LeaseServiceLoadTest": users}, answers={})
    return msgspec.structs.replace(usual, **changes)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (run(), []),
        (run(endpoint(failures=10)), []),
        (run(endpoint(failures=11)), ["98.90% succeeded"]),
        (run(endpoint(failures=51)), ["overloaded"]),
        (run(endpoint(failures=11), endpoint("GET /health of lease", requests=9_000)), []),
        (run(endpoint(requests=0)), ["no request"]),
        (run(errors=2), ["2 exceptions"]),
        (run(conservation=conservation.ConservationResult(failures=["lost: of the leases"])), ["lost"]),
    ],
)
def test_what_fails_a_load_run(made: LoadRun, words: list[str]) -> None:
    """Less than 99 % as expected, no answer at all, a test that is broken itself, and what was lost."""
    found = verdict.failures(made, BOUNDS.load)
    assert len(found) == len(words)
    assert all(each in line for each, line in zip(words, found, strict=True))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (run(), []),
        (run(conservation=conservation.ConservationResult(warnings=["not checked"])), ["not checked"]),
        (run(endpoint(mean_ms=101)), ["100 were expected"]),
        (run(endpoint(mean_ms=1_001)), ["red flag"]),
        (run(endpoint("GET /health of lease", mean_ms=900)), []),
        (run(endpoint("GET /health of lease", mean_ms=1_001)), ["red flag"]),
        (run(endpoint(p99_ms=5_001)), ["p99"]),
        (run(endpoint(per_second=149)), ["150 were expected of 50 users"]),
        (run(endpoint(per_second=31), users=10), []),
        (run(endpoint(per_second=200, set_up=True), users=10), ["0.0 requests/s"]),
        (msgspec.structs.replace(run(endpoint(per_second=1)), users={"One": 5, "Another": 5}), []),
    ],
)
def test_what_a_load_run_warns_of(made: LoadRun, words: list[str]) -> None:
    """Slower than the guide expects, its red flags, and less requests than that many users should make."""
    found = verdict.warnings(made, BOUNDS.load)
    assert len(found) == len(words)
    assert all(each in line for each, line in zip(words, found, strict=True))


def test_table_of_a_load_run() -> None:
    """Endpoints with what was expected, what was answered instead, warnings and the reason why it failed."""
    console, text = shown()
    made = run(
        endpoint("POST /api/v1/payments/{id}/attempt [declined]", failures=500, mean_ms=1_500),
        answers={"POST …/attempt: 500 instead of 402": 500},
    )
    load_report.show(console, made, BOUNDS.load)
    for words in (
        "attempt [declined]",
        "500 × POST …/attempt: 500 instead of 402",
        "warning",
        "failed: 50.00%",
    ):
        assert words in text.getvalue()
    console, text = shown()
    load_report.show(console, run(), BOUNDS.load)
    assert "40–100" in text.getvalue()
    assert "kept: at least 99% succeeded" in text.getvalue()


def test_beside_a_bare_server_and_the_ledger() -> None:
    """Terminal and page show what both have come to, and the settings."""
    made = run(
        endpoint(mean_ms=30),
        bare_ms=2.0,
        conservation=conservation.ConservationResult(
            lines=[conservation.Comparison(what="leases", sent=7, done=7, recorded=7)]
        ),
    )
    console, text = shown()
    load_report.show(console, made, BOUNDS.load)
    assert " 15.0 " in text.getvalue()
    assert "all of it is in the ledger, once" in text.getvalue()
    page = load_report.run_of(made, BOUNDS.load, {"spawn rate": "1 a second"}, [], [])
    assert "15.0" in page.tables[0].rows[0]
    assert page.tables[1].rows == [["leases", "7", "7", "0", "7", "all, once"]]
    assert page.settings == {"spawn rate": "1 a second"}
