"""The history of measured commits."""

import subprocess
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from perf.reporting import history, page
from perf.stats.run import Figure, Rows, Run


def _at(second: int) -> datetime:
    return datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC)


def _run(kind: str, commit: str = "abc1234", second: int = 0, value: float = 1.5) -> Run:
    return Run(
        kind=kind,
        title=kind,
        at=_at(second),
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
    runs = {kind: history.newest(kind, _at(1), tmp_path) for kind in ("bench", "e2e-latency")}
    assert history.newest("stress", _at(0), tmp_path) is None
    assert history.newest("bench", _at(2), tmp_path) is None  # of an earlier measurement
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
    """Reports of several commits make no line, nor do changed files, nor what has failed."""
    with pytest.raises(history.NothingToAdd, match="bench of abc1234, stress of other"):
        history.line_of({"bench": _run("bench"), "stress": _run("stress", commit="other")})
    with pytest.raises(history.NothingToAdd, match=r"abc1234\+ is no commit"):
        history.line_of({"bench": _run("bench", commit="abc1234+")})
    failed = msgspec.structs.replace(_run("stress"), verdict=False)
    with pytest.raises(history.NothingToAdd, match="failed: stress"):
        history.line_of({"bench": _run("bench"), "stress": failed})


class Measured:
    """In the place of `subprocess.run`: leaves a report for each command, but for one that is silent."""

    def __init__(self, folder: Path, failing: str = "", silent: str = "") -> None:
        self._folder, self._failing, self._silent = folder, failing, silent
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], *, check: bool) -> subprocess.CompletedProcess[bytes]:
        assert not check
        self.commands.append(command[1:])
        words = " ".join(command[1:]).replace("--rate 400", "--rate {half}")
        [kind] = [kind for kind, asked in history.MEASUREMENTS.items() if asked == words]
        code = int(kind == self._failing)
        if kind != self._silent:
            figures = [Figure(name="sustained, three times", value=801, unit="a second")]
            run = msgspec.structs.replace(_run(kind), at=datetime.now(UTC), verdict=not code, figures=figures)
            page.write(run, self._folder)
        return subprocess.CompletedProcess(command, code)


def test_measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All in turn, the hops at half of the sustained rate; one that fails or says nothing ends it."""
    console = Console(file=StringIO())
    monkeypatch.setattr(history, "DIRECTORY", tmp_path)
    done = Measured(tmp_path)
    monkeypatch.setattr(history.subprocess, "run", done)
    runs = history.measure(console)
    assert list(runs) == list(history.MEASUREMENTS)
    assert done.commands[1] == ["-m", "perf.system.hop_latency", "--rate", "400"]
    assert history.line_of(runs).figures["capacity"] == {"sustained, three times, a second": 801}
    monkeypatch.setattr(history.subprocess, "run", Measured(tmp_path, failing="stress"))
    with pytest.raises(history.NothingToAdd, match="stress ended with exit code 1"):
        history.measure(console)
    monkeypatch.setattr(history.subprocess, "run", Measured(tmp_path, silent="e2e-latency"))
    with pytest.raises(history.NothingToAdd, match="e2e-latency has left no report"):
        history.measure(console)


def test_committed_history() -> None:
    """What is in the repository can be read."""
    for line in history.read():
        assert line.figures.keys() == history.MEASUREMENTS.keys()
