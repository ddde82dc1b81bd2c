"""What replays stand on: bounds as they are given, files of events, reports, how commands are called."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

import lease_svc.entrypoints.rebuild
from common.replay import bounds, event_file
from common.replay.bounds import Bounds, Unreadable
from common.replay.report import show
from common.replay.shadow_schema import SAMPLE, Compared, Sample
from ledger_svc.entrypoints import replay as command

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


def test_bounds_are_offsets_instants_or_words() -> None:
    """An instant without a time zone is none: nobody would know which."""
    assert bounds.start("first") is None
    assert bounds.end("end") is None
    assert bounds.start("17") == bounds.end("17") == 17
    assert bounds.start("2026-12-01T13:00:00+01:00") == NOON
    assert bounds.end("2026-12-01T12:00:00Z") == NOON
    assert bounds.start("2026-12-01T12:00:00.0000009Z") == bounds.start("2026-12-01T11:59:60Z") == NOON
    days = ("2026-12-01", "20261201T120000Z", "2026-W49-2T12:00:00Z")
    for wrong in ("-1", "1.5", "end", "2026-12-01T12:00:00", "yesterday", "", "9" * 40, *days):
        with pytest.raises(ValueError, match=r"."):
            bounds.start(wrong)


def test_both_ends_count() -> None:
    """Offsets bound what is read, instants the events' own times."""
    before, after = NOON.replace(hour=11), NOON.replace(hour=13)
    limits = Bounds(start=NOON, end=NOON)
    assert (limits.hold(NOON), limits.hold(before), limits.hold(after)) == (True, False, False)
    assert (limits.first, limits.last) == (0, bounds.OFFSET_MAX)
    limits = Bounds(start=5, end=7)
    assert (limits.first, limits.last, limits.hold(before)) == (5, 7, True)


def test_lines_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty lines are nothing; a file that is not there or has an endless line cannot be read."""
    monkeypatch.setattr(event_file, "AT_ONCE", 2)
    file = tmp_path / "events.ndjson"
    file.write_bytes(b'{"a":1}\n\n {"b":2} \r\n{"c":3}')
    assert list(event_file.read(str(file))) == [[b'{"a":1}', b'{"b":2}'], [b'{"c":3}']]
    with pytest.raises(Unreadable, match="nowhere"):
        list(event_file.read(str(tmp_path / "nowhere")))
    monkeypatch.setattr(event_file, "LINE_BYTES_MAX", 5)
    with pytest.raises(Unreadable, match="more than 5 bytes"):
        list(event_file.read(str(file)))


class _Report(msgspec.Struct, kw_only=True):
    schema: str = "lease_rebuilt"
    not_there: str | None = None
    tables: list[Compared]
    different: Sample
    left_out: dict[str, str]
    same: bool = False


def test_a_report_for_people_and_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    """Everything is counted, the first of it is named; JSON has the same with whole digests."""
    different = Sample()
    for number in range(SAMPLE + 5):
        different.add(f"key {number}")
    table = Compared(table="leases", rows=3, rows_rebuilt=2, digest="ab" * 32, digest_rebuilt="cd" * 32)
    table.different.add("lease 7")
    report = _Report(tables=[table], different=different, left_out={"a": "because"})
    show(report, as_json=False)
    text = capsys.readouterr().out
    assert "abababababababab…" in text
    assert "leases: lease 7" in text
    assert f"{SAMPLE + 5}\n" in text
    assert "… and 5 more" in text
    assert "not there" not in text
    assert text.endswith("same       NO\n")
    show(report, as_json=True)
    assert msgspec.json.decode(capsys.readouterr().out, type=_Report) == report


@pytest.mark.parametrize(
    "arguments",
    [
        ["--from", "yesterday"],
        ["verify", "--source", "elsewhere"],
        ["events", "--lease", "7"],
        ["rebuild", "--switch", "--to", "5"],
        ["tidy"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, and words; without a command it is `verify` that is meant."""
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m ledger_svc replay" in capsys.readouterr().err


def test_wrong_usage_of_a_projection(capsys: pytest.CaptureFixture[str]) -> None:
    """A file has no offsets."""
    with pytest.raises(SystemExit) as ended:
        lease_svc.entrypoints.rebuild.main(["--source", "events.ndjson", "--to", "5"])
    assert ended.value.code == 2


def test_what_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No broker, no database, wrong settings: exit status 2 with the reason, no traceback."""
    monkeypatch.setattr("common.replay.cli.configure_logging", lambda *_level, **_context: None)
    monkeypatch.setenv("AMQP_URL", "amqp://127.0.0.1:1/")
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nothing")
    assert command.main(["events"]) == 2
    assert "the broker cannot be reached" in capsys.readouterr().err
    assert command.main([]) == 2
    assert "the database cannot be used" in capsys.readouterr().err
    monkeypatch.setenv("AMQP_URL", "nowhere")
    assert command.main(["verify"]) == 2
    assert "AMQP_URL" in capsys.readouterr().err
