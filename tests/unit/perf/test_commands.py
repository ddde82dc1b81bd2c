"""The measurements' command lines: help, and exit codes that a CI can use."""

import asyncio
import contextlib
import importlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from deployment.errors import StackError
from perf.probes.sampling import Sampler
from perf.stats.run import Run
from perf.system import capacity, compare_revisions, hop_latency, soak

MODULES = (
    *(
        "perf.bench.__main__",
        "perf.bench.ledger",
        "perf.system.capacity",
        "perf.system.collections",
        "perf.system.compare_revisions",
    ),
    *(
        "demo.__main__",
        "perf.system.hop_latency",
        "perf.system.headline",
        "perf.reporting.history",
        "perf.system.unknown_resolution",
    ),
    *("perf.system.soak", "perf.stress.cli", "perf.checks.tamper"),
)


@pytest.mark.parametrize("name", MODULES)
def test_help(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each says what it does, and starts nothing."""
    monkeypatch.setattr(sys, "argv", ["a-command", "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(name).main()
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


def _run(verdict: bool) -> Run:
    return Run(
        kind="a-test",
        title="A test",
        at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        commit="abc1234",
        machine="a machine",
        settings={},
        verdict=verdict,
        remarks=[] if verdict else ["Something was missed."],
    )


@pytest.mark.parametrize("module", [hop_latency, capacity, soak, compare_revisions])
@pytest.mark.parametrize("outcome", [True, False, StackError("no server", "install one")])
def test_exit_codes(
    module: ModuleType,
    outcome: bool | StackError,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0 where all is kept, 1 where not, with the reason and the report; a failed start says why."""
    if module is compare_revisions and isinstance(outcome, StackError):
        outcome = compare_revisions.CompareError("no server")  # type: ignore[assignment]

    @contextlib.contextmanager
    def system() -> Iterator[tuple[None, Path]]:
        yield None, tmp_path

    async def measure(*_: object) -> Run:
        if isinstance(outcome, Exception):
            raise outcome
        return _run(outcome)

    monkeypatch.setattr(module, "private_system", system, raising=module is not compare_revisions)
    monkeypatch.setattr(module, "measure", measure)
    monkeypatch.setattr("perf.reporting.page.write", lambda run: tmp_path / f"{run.kind}.html")
    monkeypatch.setattr(sys, "argv", ["a-command", *(["main"] if module is compare_revisions else [])])
    with pytest.raises(SystemExit) as ended:
        module.main()
    if isinstance(outcome, Exception):
        assert "cut short" in str(ended.value.code)
        assert "no server" in str(ended.value.code)
        return
    assert ended.value.code == (0 if outcome else 1)
    printed = capsys.readouterr().out
    assert "a-test.html" in printed
    assert ("Something was missed." in printed) is not outcome


class _Closed:
    async def close(self) -> None:
        pass


async def test_sampling_that_broke_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the samples are not passed off as all of them."""

    async def look(self: Sampler) -> None:
        raise ConnectionError("the database has gone")

    async def enter(self: Sampler) -> Sampler:
        self._database = self._broker = _Closed()
        self._task = asyncio.create_task(self._run())
        return self

    monkeypatch.setattr(Sampler, "look", look)
    monkeypatch.setattr(Sampler, "__aenter__", enter)

    async def measured(error: type[Exception] | None) -> None:
        async with Sampler(None):  # type: ignore[arg-type]
            await asyncio.sleep(0.01)
            if error is not None:
                raise error

    with pytest.raises(ConnectionError, match="has gone"):
        await measured(None)
    with pytest.raises(ZeroDivisionError):  # what the measurement itself has raised goes first
        await measured(ZeroDivisionError)
