"""The audit trail as a download, read back as a script and a spreadsheet would; not as `verify` does."""

import csv
import tracemalloc
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from io import StringIO
from typing import Any

import msgspec
import pytest

from ledger_svc.contracts import envelope
from ledger_svc.contracts.entry import Entry
from ledger_svc.export.csv import CSV_COLUMNS
from ledger_svc.export.writer import CHUNK_BYTES, MEDIA_TYPES, Export, ExportFormat, Path, export
from ledger_svc.log.entry import seal
from ledger_svc.transparency import signed_note
from tests.support.builders.events import PAYMENTS, START, Life
from tests.support.builders.exports import KEY, LATER, Ledger
from tests.support.oracles import merkle


def sample() -> Ledger:
    """One lease of three events, the first laid out in lines by its producer, behind those of another."""
    before, life = Life(term=1), Life(term=2)
    before.create()
    life.create()
    life.succeed(life.start(1))
    raws = [msgspec.json.format(life.raws[0], indent=2), *life.raws[1:]]
    return Ledger([life, before], [*before.raws, *raws])


async def in_csv(life: Life, raws: list[bytes]) -> list[dict[str, str]]:
    text = (await Ledger([life], raws).export("csv", life.lease_id)).decode()
    return list(csv.DictReader(StringIO(text, newline="")))


def check_rows(rows: list[dict[str, Any]], entries: list[Entry]) -> None:
    """What an offline verifier does first: the bytes have the hash, and the readable event is theirs."""
    assert [row["seq"] for row in rows] == [entry.seq for entry in entries]
    for row, entry in zip(rows, entries, strict=True):
        raw = b64decode(row["raw"])
        assert raw == entry.raw
        assert sha256(b"\x00" + raw).hexdigest() == row["leaf_hash"] == entry.leaf_hash.hex()
        assert row["event"] == msgspec.json.decode(raw)
        assert row["recorded_at"].endswith("Z")


async def test_a_lease_in_json_and_ndjson() -> None:
    """One valid object, or a line for each part: the same header, entries with their paths, and trailer."""
    ledger = sample()
    lease_id = ledger.lives[0].lease_id
    whole = msgspec.json.decode(await ledger.export("json", lease_id))
    text = await ledger.export("ndjson", lease_id)
    assert text.endswith(b"\n")
    head, *rows, tail = [msgspec.json.decode(line) for line in text.splitlines()]
    assert whole == head | {"entries": rows} | tail
    check_rows(rows, ledger.entries[1:])
    leaves = [entry.leaf_hash for entry in ledger.entries]
    assert head == {
        "format": "lease-audit-export",
        "version": 2,
        "lease_id": lease_id,
        "exported_at": "2028-01-05T08:00:00.000000Z",
        "tree": "RFC 9162, SHA-256",
        "tree_size": 4,
        "root_hash": merkle.root(leaves).hex(),
        "checkpoint": ledger.checkpoint(),
        "vkey": str(KEY.verifier),
    }
    last_pair = merkle.root(leaves[2:]).hex()
    assert rows[0]["path"] == [leaves[0].hex(), last_pair]
    assert tail["count"] == 3


async def test_the_manifest() -> None:
    """It is signed, and states what has to be there, so that a cut-off end is found out."""
    ledger = sample()
    lease_id = ledger.lives[0].lease_id
    whole = msgspec.json.decode(await ledger.export("json", lease_id))
    text, signer = signed_note.opened(whole["manifest"], [KEY.verifier])
    assert signer == KEY.verifier
    entries = ledger.entries[1:]
    leaves = sha256(b"".join(entry.leaf_hash for entry in entries)).digest()
    times = "".join(f"{row['seq']} {row['recorded_at']}\n" for row in whole["entries"])
    assert text.splitlines() == [
        f"{KEY.name}/lease-export",
        f"lease {lease_id}",
        "exported 2028-01-05T08:00:00.000000Z",
        f"tree 4 {signed_note.parse(whole['checkpoint']).text.splitlines()[2]}",
        "entries 3",
        f"leaves {b64encode(leaves).decode()}",
        f"recorded {b64encode(sha256(times.encode()).digest()).decode()}",
        'last "/lease-svc" 1',
        'last "/payment-svc" 2',
    ]


async def test_the_whole_ledger() -> None:
    """All entries without paths, and the tree in parts: with few entries, their leaf hashes."""
    ledger = sample()
    head, *rows, tail = [msgspec.json.decode(line) for line in (await ledger.export()).splitlines()]
    assert head["format"] == "ledger-audit-export"
    assert "lease_id" not in head
    check_rows(rows, ledger.entries)
    assert all("path" not in row for row in rows)
    assert tail["parts"] == {"level": 0, "hashes": [row["leaf_hash"] for row in rows]}
    assert signed_note.opened(tail["manifest"], [KEY.verifier])[0].startswith(f"{KEY.name}/ledger-export\n")


async def test_csv_has_flat_columns() -> None:
    """RFC 4180 with a header row; a field an event does not have is empty; the data stands there as JSON."""
    ledger = sample()
    life, entries = ledger.lives[0], ledger.entries[1:]
    text = (await ledger.export("csv", life.lease_id)).decode()
    assert text.count("\n") == text.count("\r\n") == 4
    rows = list(csv.DictReader(StringIO(text, newline="")))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["seq"] for row in rows] == ["2", "3", "4"]
    assert {row["lease_id"] for row in rows} == {life.lease_id}
    created, _, paid = rows
    assert (created["amount"], created["currency"], created["attempt_id"]) == ("", "USD", "")
    assert (paid["type"], paid["source"], paid["sequence"]) == ("payment.succeeded", "/payment-svc", "2")
    assert (paid["amount"], paid["number"]) == (str(life.rows[0].amount), "1")
    data = msgspec.json.decode(paid["data"])
    assert (paid["payment_id"], paid["attempt_id"]) == (data["payment_id"], data["attempt_id"])
    assert paid["leaf_hash"] == entries[2].leaf_hash.hex()
    assert paid["occurred_at"] == "2026-12-01T08:00:03.000021Z"
    everything = (await ledger.export("csv")).decode()
    assert everything.count("\r\n") == 5
    assert everything.endswith(text.partition("\r\n")[2])


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＠"])
async def test_csv_runs_no_formula(start: str) -> None:
    """A text that a spreadsheet would run gets a quote in front, with its commas and quotes kept."""
    life = Life()
    text = start + '1+cmd|"/c calc",A1'
    life.emit(PAYMENTS, "payment.refunded", {"attempt_id": text, "currency": text, "amount": text})
    (row,) = await in_csv(life, life.raws)
    assert row["attempt_id"] == row["currency"] == row["amount"] == "'" + text


async def test_csv_lets_no_text_begin_a_cell() -> None:
    """Where a semicolon parts cells, one in a customer's text would begin a cell; the JSON stays the same."""
    life = Life()
    data = {"reason": 'x;=cmd|"/c calc"!A1', "metadata": {"a;b": [";=1", "\t=1\r\n=2"]}}
    life.emit(PAYMENTS, "payment.refunded", data)
    (row,) = await in_csv(life, life.raws)
    assert not set(row["data"]) & set(";\t\r\n")
    assert msgspec.json.decode(row["data"]) == data


async def test_csv_leaves_numbers_alone() -> None:
    """A negative amount stays a number; data that is no object leaves the flat columns empty."""
    life = Life()
    life.emit(PAYMENTS, "payment.refunded", {"amount": -500, "number": 0})
    life.emit(PAYMENTS, "payment.noted", {})
    life.emit(PAYMENTS, "payment.noted", {})
    in_list = life.raws[1].replace(b'"data":{}', b'"data":["=1"]')
    alone = life.raws[2].replace(b'"data":{}', b'"data":-1')
    first, second, third = await in_csv(life, [life.raws[0], in_list, alone])
    assert (first["amount"], first["number"]) == ("-500", "0")
    assert (second["amount"], second["data"]) == ("", '["=1"]')
    assert third["data"] == "'-1"


@pytest.mark.parametrize("form", list(MEDIA_TYPES))
async def test_memory_stays_flat(form: ExportFormat) -> None:
    """However many entries, only one chunk of them is in memory, and chunks keep to their size."""
    ledger = sample()
    entry = seal(envelope.decode(ledger.entries[0].raw), ledger.entries[0].raw, seq=1, recorded_at=START)
    path = [bytes(32)] * 20
    row_bytes = 4 * len(entry.raw) + 70 * len(path)
    what = Export(lease_id=entry.lease_id, exported_at=LATER, checkpoint=ledger.checkpoint())

    async def many() -> AsyncIterator[tuple[Entry, Path]]:
        for _ in range(3000):
            yield entry, path

    tracemalloc.start()
    try:
        sizes = [len(chunk) async for chunk in export(form, what, many(), KEY)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(sizes) > 10
    assert max(sizes) < CHUNK_BYTES + row_bytes
    assert peak < 8 * CHUNK_BYTES
