"""What measurements stand on: durations, percentiles, tables, the thresholds' file, events for the ledger."""

import itertools
from pathlib import Path

import pytest

from common.kernel.ids import uuid7
from common.messaging.envelope import encode
from ledger_svc.contracts import envelope as ledger_events
from ledger_svc.event_types import registry
from perf import thresholds
from perf.load import durations
from perf.load import ledger_events as events
from perf.probes import machine
from perf.reporting import text
from perf.stats.latencies import Latencies


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("5m", 300),
        ("30m", 1_800),
        ("1h30m", 5_400),
        ("2h", 7_200),
        ("1h1m1s", 3_661),
        (" 90 ", 90),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    """Everything that the guide writes, and a bare number."""
    assert durations.seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "0", "0m", "5x", "-5s", "1.5m", "5m1h", "1h30", "10 s", "９s", "9" * 30]
)
def test_what_is_no_duration(text: str) -> None:
    """Nothing is guessed, and no run of no length is begun."""
    with pytest.raises(ValueError, match="not a duration"):
        durations.seconds(text)


def test_nothing_measured() -> None:
    """No latencies are shown as none, not as zero."""
    assert text.latencies(Latencies()) == ["–"] * 4


def test_tables() -> None:
    """The guide's columns, numbers with three digits that count, and words that are not cut."""
    table = text.table("Title", ("operation", *text.LATENCIES, ""), left=("",))
    values = [0.0412, 2.3456, 45.678, 1234.5]
    table.add_row(
        "lease_creation", *text.latencies(Latencies(ms / 1000 for ms in values)), text.verdict(False)
    )
    shown = text.rendered(table)
    head, row = (line.split() for line in shown.splitlines() if "operation" in line or "lease" in line)
    assert head == ["operation", "min", "avg", "p95", "p99"]
    assert row == ["lease_creation", "0.041", "321", "1,235", "1,235", "missed"]
    assert [text.milliseconds(value) for value in values] == ["0.041", "2.35", "45.7", "1,234"]
    assert max(map(len, shown.splitlines())) <= text.WIDTH


def test_the_guides_thresholds_are_in_the_file() -> None:
    """Averages of four operations, success rates, memory, and a range for each endpoint of the scenarios."""
    bounds = thresholds.load()
    named = ("lease_creation", "lease_retrieval", "ledger_append", "ledger_history")
    assert [bounds.bench.mean_ms[name] for name in named] == [50, 20, 30, 100]
    assert (bounds.stress.success_rate, bounds.stress.peak_memory_mb) == (0.95, 500)
    assert (bounds.load.success_rate, bounds.load.overloaded) == (0.99, 0.95)
    assert (bounds.load.mean_ms, bounds.load.p99_ms) == (1_000, 5_000)
    assert len(bounds.load.response_ms) == 12
    assert all(each.low < each.high for each in bounds.load.response_ms.values())


def test_another_file_of_thresholds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PERF_THRESHOLDS names it; a key too few or too many ends the program with the file's name."""
    text = thresholds.FILE.read_text()
    other = tmp_path / "other.toml"
    monkeypatch.setenv(thresholds.VARIABLE, str(other))
    other.write_text(text.replace("peak_memory_mb = 500", "peak_memory_mb = 1"))
    assert thresholds.load().stress.peak_memory_mb == 1
    for wrong in (text.replace("peak_memory_mb = 500", ""), text + "\n[more]\n", "success_rate ="):
        other.write_text(wrong)
        with pytest.raises(SystemExit, match=r"other\.toml"):
            thresholds.load()


def test_events_for_the_ledger() -> None:
    """They pass the ledger's own checks, and are without a gap from the first on."""
    lease_id = uuid7()
    told = events.attempts(lease_id, 7)
    decoded = [ledger_events.decode(encode(event)) for event in told]
    assert [event.sequence for event in decoded] == list(range(1, 8))
    assert {event.subject for event in decoded} == {lease_id}
    assert len({event.id for event in decoded}) == 7
    for event, kind in zip(
        decoded, itertools.cycle(["payment.attempt_started", "payment.declined"]), strict=False
    ):
        assert event.type == kind
        registry.data_of(event)


def test_machines_have_names_for_files() -> None:
    """The key of this machine is one, and says what figures depend on."""
    here = machine.this()
    assert set(here.key) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
    assert f"{here.cores}-cores" in here.key
    assert here.python in here.key
