"""The audit trail as a download, read back as a verifier, a script and a spreadsheet would."""

import csv
import tracemalloc
from base64 import b64decode
from collections.abc import AsyncIterator, Iterable
from hashlib import sha256
from io import StringIO
from typing import Any

import msgspec
import pytest

from ledger_svc import events
from ledger_svc.entry import Entry, seal
from ledger_svc.export import CHUNK_BYTES, CSV_COLUMNS, MEDIA_TYPES, ExportFormat, ExportHeader, export
from tests.unit.event_mixes import record
from tests.unit.event_samples import PAYMENTS, START, Life


async def one_by_one(entries: Iterable[Entry]) -> AsyncIterator[Entry]:
    for entry in entries:
        yield entry


def header(life: Life) -> ExportHeader:
    return ExportHeader(lease_id=life.lease_id, exported_at=START, tree_size=99, root_hash=bytes(range(32)))


async def download(form: ExportFormat, life: Life, entries: list[Entry]) -> bytes:
    return b"".join([chunk async for chunk in export(form, header(life), one_by_one(entries))])


def sample() -> tuple[Life, list[Entry]]:
    life = Life(term=2)
    life.create()
    life.succeed(life.start(1))
    return life, record(life.raws, first_seq=5)


def check(rows: list[dict[str, Any]], entries: list[Entry]) -> None:
    """What an offline verifier does first: the bytes have the hash, and the readable event is theirs."""
    assert [row["seq"] for row in rows] == [entry.seq for entry in entries]
    for row, entry in zip(rows, entries, strict=True):
        raw = b64decode(row["raw"])
        assert raw == entry.raw
        assert sha256(b"\x00" + raw).hexdigest() == row["leaf_hash"] == entry.leaf_hash.hex()
        assert row["event"] == msgspec.json.decode(raw)
        assert row["recorded_at"].endswith("Z")


def check_head(head: dict[str, Any], life: Life) -> None:
    assert (head["format"], head["version"]) == ("lease-audit-export", 1)
    assert (head["lease_id"], head["exported_at"]) == (life.lease_id, "2026-12-01T08:00:00.000000Z")
    assert (head["tree_size"], head["root_hash"]) == (99, bytes(range(32)).hex())


async def test_json_is_one_object_with_the_exact_bytes() -> None:
    """Header, entries and count in one valid object; every event's bytes have the leaf hash given."""
    life, entries = sample()
    whole = msgspec.json.decode(await download("json", life, entries))
    check_head(whole, life)
    check(whole["entries"], entries)
    assert whole["count"] == 3


async def test_ndjson_is_header_entries_and_trailer() -> None:
    """First line the header, last line the count, entries between, also where they hold line feeds."""
    life, entries = sample()
    laid_out = msgspec.json.format(entries[0].raw, indent=2)
    entries[0] = seal(events.decode(laid_out), laid_out, seq=5, recorded_at=START)
    text = await download("ndjson", life, entries)
    assert text.endswith(b"\n")
    head, *rows, trailer = [msgspec.json.decode(line) for line in text.splitlines()]
    check_head(head, life)
    check(rows, entries)
    assert trailer == {"count": 3}


async def test_csv_has_flat_columns() -> None:
    """RFC 4180 with a header row; a field an event does not have is empty; the data stands there as JSON."""
    life, entries = sample()
    text = (await download("csv", life, entries)).decode()
    assert text.count("\r\n") == 4
    rows = list(csv.DictReader(StringIO(text, newline="")))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["seq"] for row in rows] == ["5", "6", "7"]
    created, _, paid = rows
    assert (created["amount"], created["currency"], created["attempt_id"]) == ("", "USD", "")
    assert (paid["type"], paid["source"], paid["sequence"]) == ("payment.succeeded", "/payment-svc", "2")
    assert (paid["amount"], paid["number"]) == (str(life.rows[0].amount), "1")
    data = msgspec.json.decode(paid["data"])
    assert (paid["payment_id"], paid["attempt_id"]) == (data["payment_id"], data["attempt_id"])
    assert paid["leaf_hash"] == entries[2].leaf_hash.hex()
    assert paid["occurred_at"] == "2026-12-01T08:00:03.000021Z"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
async def test_csv_runs_no_formula(start: str) -> None:
    """A text that a spreadsheet would run gets a quote in front, with its commas and quotes kept."""
    life = Life()
    text = start + '1+cmd|"/c calc",A1'
    life.emit(PAYMENTS, "payment.refunded", {"attempt_id": text, "currency": text, "amount": text})
    (row,) = csv.DictReader(StringIO((await download("csv", life, record(life.raws))).decode(), newline=""))
    assert row["attempt_id"] == row["currency"] == row["amount"] == "'" + text


async def test_csv_leaves_numbers_alone() -> None:
    """A negative amount stays a number; data that is no object leaves the flat columns empty."""
    life = Life()
    life.emit(PAYMENTS, "payment.refunded", {"amount": -500, "number": 0})
    life.emit(PAYMENTS, "payment.noted", {})
    laid_out = life.raws[1].replace(b'"data":{}', b'"data":["=1"]')
    text = (await download("csv", life, record([life.raws[0], laid_out]))).decode()
    first, second = csv.DictReader(StringIO(text, newline=""))
    assert (first["amount"], first["number"]) == ("-500", "0")
    assert (second["amount"], second["data"]) == ("", '["=1"]')


@pytest.mark.parametrize("form", list(MEDIA_TYPES))
async def test_no_entries(form: ExportFormat) -> None:
    """An export without entries is still a whole document."""
    text = await download(form, Life(), [])
    if form == "csv":
        assert text.decode() == ",".join(CSV_COLUMNS) + "\r\n"
    else:
        last = text if form == "json" else text.splitlines()[-1]
        assert msgspec.json.decode(last)["count"] == 0


@pytest.mark.parametrize("form", list(MEDIA_TYPES))
async def test_memory_stays_flat(form: ExportFormat) -> None:
    """However many entries, only one chunk of them is in memory, and chunks keep to their size."""
    life, entries = sample()
    row_bytes = 4 * len(entries[0].raw)
    tracemalloc.start()
    try:
        sizes = [len(chunk) async for chunk in export(form, header(life), one_by_one(entries * 1000))]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(sizes) > 10
    assert max(sizes) < CHUNK_BYTES + row_bytes
    assert peak < 8 * CHUNK_BYTES
