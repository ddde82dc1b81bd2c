"""Files that were made to break the verifier: each ends in a report or is refused, in bounded memory."""

import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import Iterator
from functools import cache
from io import BufferedReader, BytesIO
from random import Random
from typing import Any

import pytest

from ledger_svc.verifier import export_reader, strict_json
from ledger_svc.verifier.export_reader import Unreadable
from ledger_svc.verifier.findings import Report
from ledger_svc.verifier.strict_json import shown
from ledger_svc.verifier.verifier import Trust, verify
from tests.support.builders.events import Life
from tests.support.builders.exports import KEY, Ledger

TRUST = Trust([KEY.verifier])
MB = 1024 * 1024


@cache
def made() -> Ledger:
    life = Life(term=2)
    life.create()
    life.succeed(life.start(1))
    return Ledger([life], life.raws)


async def lines(lease: bool = True) -> list[bytes]:
    """An honest export's lines."""
    return (await made().export("ndjson", made().lives[0].lease_id if lease else None)).splitlines()


def report_on(file: BufferedReader) -> Report | None:
    """What is said of it; None where it is refused."""
    try:
        return verify(file, "file", TRUST)
    except Unreadable:
        return None


def wrong(data: bytes) -> bool:
    report = report_on(BufferedReader(BytesIO(data)))
    return report is None or not report.ok


NO_EXPORTS = [
    b"",
    b"\n",
    b"\x00" * 1000,
    bytes(range(256)) * 10,
    b"null",
    b"[]",
    b"{}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"format":"lease-audit-export","version":1,"lease_id":"x","tree_size":3}',
    b'{"format":"lease-audit-export","version":2}',
    b'{"format":"lease-audit-export","version":3}',
    b'{"format":["lease-audit-export"],"version":2}',
    b'{"format":NaN}',
    b'\xef\xbb\xbf{"format":"lease-audit-export"}',
    b'{"format":"\xff"}',
    b'{"format":"\\ud800"}',
    b'{"format":1e999999}',
    b'{"format":%s}' % (b"9" * 100_000),
    b"\x1f\x8b",
    b"\x1f\x8b\x08\x00rubbish",
    gzip.compress(b"rubbish"),
    gzip.compress(b'{"format":"lease-audit-export"}')[:-9],
    gzip.compress(gzip.compress(b"{}")),
    b"seq,event_id,type\r\n1,x,y\r\n",
]


@pytest.mark.parametrize("data", NO_EXPORTS, ids=lambda data: repr(data[:30]))
def test_what_is_no_export_is_refused(data: bytes) -> None:
    """Other files, other versions, binary, too deep, not quite compressed."""
    assert report_on(BufferedReader(BytesIO(data))) is None


ODD_VALUES: list[Any] = [
    *(None, True, 0, -1, 2**63, 10**400, 1.5, 1e308, "", "x" * 1000, "\x1b[31m", "\u202e", "[red]", "0" * 64),
    *([], [None], ["x"] * 100, {}, {"a": {"b": []}}, "é", "\x00", "1970-01-01T00:00:00Z", "=="),
]


@pytest.mark.parametrize("lease", [True, False])
async def test_any_value_anywhere(lease: bool) -> None:
    """Each member of header, entry and trailer with values of other types and sizes: always found."""
    honest = await lines(lease)
    for at in (0, 2, len(honest) - 1):
        for name in json.loads(honest[at]):
            for value in ODD_VALUES:
                changed = json.loads(honest[at]) | {name: value}
                forged = [*honest[:at], json.dumps(changed).encode(), *honest[at + 1 :]]
                assert wrong(b"\n".join(forged)), (name, value)


BROKEN = [
    b"",
    b"null",
    b"1" * 10_000,
    b"[" * 100_000,
    b'{"seq":1,"seq":1}',
    b'{"event":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"raw":"","event":NaN}',
    b'{"raw":"\xff"}',
    b"\x00\x01\x02",
    b'{"count":%s}' % (b"1" * 5_000),
    b"}",
    b"]",
    b"],",
]


@pytest.mark.parametrize("form", ["json", "ndjson"])
@pytest.mark.parametrize("line", BROKEN, ids=lambda line: repr(line[:30]))
async def test_any_line_anywhere(form: Any, line: bytes) -> None:
    """A line that is none, instead of each line: found, but for an empty one in addition."""
    honest = (await made().export(form, made().lives[0].lease_id)).splitlines()
    for at in range(len(honest)):
        assert wrong(b"\n".join([*honest[:at], line, *honest[at + 1 :]])), at
        if line:
            assert wrong(b"\n".join([*honest[:at], line, *honest[at:]])), at


@pytest.mark.parametrize("form", ["json", "ndjson"])
async def test_any_byte(form: Any) -> None:
    """Flipped bytes and cuts at random, also of the compressed file: never an exception but the refusal."""
    data = await made().export(form, made().lives[0].lease_id)
    packed = gzip.compress(data, mtime=0)
    chance = Random(1)
    for honest in (data, packed):
        for _ in range(150):
            at = chance.randrange(len(honest))
            report_on(BufferedReader(BytesIO(honest[:at] + chance.randbytes(1) + honest[at + 1 :])))
            assert wrong(honest[:at].rstrip(b"\n"))
    assert wrong(packed + b"rubbish")
    assert wrong(packed + packed)


class _Bomb(io.RawIOBase):
    """A gzip file that unpacks to what `parts` gives, and is never whole in memory itself."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._packer = zlib.compressobj(wbits=31)
        self._parts = parts
        self._packed = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._packed:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._packed = self._packer.compress(part)
        taken = self._packed[: len(buffer)]
        self._packed = self._packed[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)


def bomb(first: bytes, then: bytes) -> BufferedReader:
    def parts() -> Iterator[bytes]:
        yield first
        while True:
            yield then * (MB // len(then))

    return BufferedReader(_Bomb(parts()))


@pytest.mark.parametrize("then", [b"\x00", b"\n", b"{}\n", b" ", b"1,"])
async def test_gzip_bombs(monkeypatch: pytest.MonkeyPatch, then: bytes) -> None:
    """Files that unpack without end are left, behind the header or before it, and little of them is kept."""
    monkeypatch.setattr(export_reader, "MAX_LINE_BYTES", MB)
    monkeypatch.setattr(export_reader, "MAX_JSON_BYTES", MB)
    monkeypatch.setattr(strict_json, "MAX_JSON_BYTES", MB)
    head, row, *_ = await lines()
    as_json = head[:-1] + b',"entries":[\n'
    tracemalloc.start()
    try:
        for first in (b"", head + b"\n", head + b"\n" + row + b"\n", as_json, b'{"entries":'):
            report = report_on(bomb(first, then))
            assert report is None or not report.ok
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MB


async def test_values_are_shown_safely() -> None:
    """Neither a terminal's control codes nor megabytes come into a report."""
    head, *rest = await lines()
    evil = "\x1b]0;owned\x07\u202e[bold]" + "x" * MB
    forged = json.dumps(json.loads(head) | {"exported_at": evil, "vkey": evil}).encode()
    report = report_on(BufferedReader(BytesIO(b"\n".join([forged, *rest]))))
    assert report is not None
    said = [report.exported_at, *(problem.found or "" for problem in report.problems)]
    assert all(text.isprintable() and len(text) < 400 for text in said)
    assert shown("\ud800\n") == "\\ud800\\n"
