"""The history of measured commits."""

from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from perf import history
from perf.report import page
from perf.report.run import Figure, Rows, Run


def _run(kind: str, commit: str = "abc1234", second: int = 0, value: float = 1.5) -> Run:
    return Run(
        kind=kind,
        title=kind,
        at=datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC),
        commit=commit,
        machine="a machine",
        settings={},
        verdict=True,
        figures=[Figure(name="p99", value=value, unit="ms")],
        tables=[Rows(title="Hops", columns=["hop", "ms"], rows=[["front", "1.5"], ["worker", "3"]])],
    )


def test_line(tmp_path: Path) -> None:
    """The newest report of each kind, in one line; lines are added and read back."""
    for run in (_run("bench", value=9), _run("bench", second=1), _run("e2e-latency", second=2)):
        page.write(run, tmp_path)
    runs = {kind: history.newest(kind, tmp_path) for kind in ("bench", "e2e-latency")}
    assert history.newest("stress", tmp_path) is None
    line = history.line_of({kind: run for kind, run in runs.items() if run is not None})
    assert line.figures == {"bench": {"p99, ms": 1.5}, "e2e-latency": {"p99, ms": 1.5}}
    assert line.tables["bench: Hops"][1] == {"hop": "worker", "ms": "3"}
    assert (line.date, line.commit, line.machine) == ("2026-01-02", "abc1234", "a machine")
    path = tmp_path / "history.jsonl"
    assert history.read(path) == []
    history.add(line, path)
    history.add(msgspec.structs.replace(line, commit="def5678"), path)
    assert [each.commit for each in history.read(path)] == ["abc1234", "def5678"]
    assert len(path.read_bytes().splitlines()) == 2
    console = Console(width=120, record=True, quiet=False, file=StringIO())
    history.show(console, history.read(path))
    assert "def5678" in console.export_text()


def test_of_one_commit() -> None:
    """Reports of several commits make no line."""
    with pytest.raises(ValueError, match="bench of abc1234, stress of other"):
        history.line_of({"bench": _run("bench"), "stress": _run("stress", commit="other")})


def test_committed_history() -> None:
    """What is in the repository can be read."""
    for line in history.read():
        assert line.figures.keys() == history.MEASUREMENTS.keys()
