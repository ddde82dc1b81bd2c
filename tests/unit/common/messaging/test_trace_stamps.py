"""Hop stamps: when they are made, and how they are joined."""

import itertools
from pathlib import Path

import pytest

from common.observability import trace_stamps as stamps
from perf.probes import trace_join

SAMPLED = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
UNSAMPLED = SAMPLED[:-2] + "00"


@pytest.fixture
def stamping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stamps go into this folder until the test ends."""
    monkeypatch.setattr(stamps, "_file", None)
    stamps.start(str(tmp_path), "a-test")
    return tmp_path


def _written(folder: Path) -> list[list[str]]:
    assert stamps._file is not None
    stamps._file.flush()
    return [line.split() for path in folder.iterdir() for line in path.read_text().splitlines()]


def test_only_sampled_requests_are_stamped(stamping: Path) -> None:
    """With the flag: trace-id, point, a monotonic time; without it, or without a context: nothing."""
    earlier = stamps.now()
    stamps.stamp(SAMPLED, "front.entered")
    stamps.stamp(SAMPLED, "worker.delivered", earlier)
    stamps.stamp(UNSAMPLED, "front.entered")
    stamps.stamp(None, "front.entered")
    [first, second] = _written(stamping)
    assert first[:2] == ["ab" * 16, "front.entered"]
    assert second == ["ab" * 16, "worker.delivered", str(earlier)]
    assert int(first[2]) >= earlier > 0


def test_off_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a folder nothing is written, and no clock is read."""
    monkeypatch.setattr(stamps, "_file", None)
    stamps.start("", "a-test")
    stamps.stamp(SAMPLED, "front.entered")
    assert not stamps.on()
    assert stamps.now() == 0
    with pytest.raises(OSError, match="missing"):
        stamps.start(str(tmp_path / "missing"), "a-test")


def test_hops_add_up_to_the_way(tmp_path: Path) -> None:
    """Stamps of several processes, a line cut short, a trace without an end: those whole, in shares of 1."""
    points = ["client.intended", *(end for _, _, end in trace_join.CREATION)]
    (tmp_path / "one.hops").write_text(
        "".join(f"t1 {point} {1_000_000 * number}\n" for number, point in enumerate(points))
    )
    (tmp_path / "two.hops").write_text(
        "".join(f"t2 {point} {3_000_000 * number}\n" for number, point in enumerate(points))
        + "t2 worker.committed 99\nt3 client.sent 5\nt4 client.se"
    )
    traces = trace_join.read(tmp_path)
    assert set(traces) == {"t1", "t2", "t3"}
    found = trace_join.along(traces.values(), trace_join.CREATION)
    assert [hop.name for hop in found] == [name for name, _, _ in trace_join.CREATION]
    assert sum(hop.share for hop in found) == pytest.approx(1)
    assert all(hop.latencies.count == 2 for hop in found)
    assert all(hop.latencies.mean_ms == pytest.approx(2, rel=1e-2) for hop in found)
    assert trace_join.passed(traces, 2)["worker.committed"] == 1
    assert trace_join.passed(traces)["client.sent"] == 3


def test_ways_have_no_gaps() -> None:
    """Where one hop ends the next begins."""
    for way in (trace_join.CREATION, trace_join.ATTEMPT, trace_join.TO_LEDGER):
        assert all(one[2] == next_one[1] for one, next_one in itertools.pairwise(way))
