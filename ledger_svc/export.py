"""A lease's audit trail as a download: JSON, NDJSON or CSV, written entry by entry.

`json` and `ndjson` are for a verifier who has no access to the service: they hold every event's exact bytes
(base64), its leaf hash and the tree's size and root at the time of the export. SHA-256(0x00 ‖ bytes) must
give the leaf hash (RFC 9162, section 2.1.1). `csv` is for people and their spreadsheets (RFC 4180).
"""

import csv
from base64 import b64encode
from collections.abc import AsyncIterable, AsyncIterator
from datetime import datetime
from io import StringIO
from typing import Any, Literal, Protocol

import msgspec

from common.clock import rfc3339
from ledger_svc.entry import Entry, data_bytes

CHUNK_BYTES = 64 * 1024  # a chunk is sent when it has grown to this; one entry more is the memory needed

ExportFormat = Literal["json", "ndjson", "csv"]
MEDIA_TYPES: dict[ExportFormat, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8; header=present",
}
CSV_COLUMNS = (
    *("seq", "event_id", "type", "source", "sequence", "occurred_at", "recorded_at"),
    *("amount", "currency", "payment_id", "number", "attempt_id", "leaf_hash", "data"),
)


class ExportHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What stands above the entries; given by the caller."""

    lease_id: str
    exported_at: datetime  # UTC
    tree_size: int  # leaves of the whole ledger's tree that `root_hash` is of
    root_hash: bytes  # 32 bytes


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    format: str = "lease-audit-export"
    version: int = 1  # of this format; an added field does not change it
    lease_id: str
    exported_at: str
    tree: str = "RFC 9162, SHA-256"
    tree_size: int
    root_hash: str  # lower-case hex


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    recorded_at: str
    leaf_hash: str  # lower-case hex
    raw: str  # base64 of the event's exact bytes: what the leaf hash is of
    event: msgspec.Raw  # the same event, for people


class _Trailer(msgspec.Struct, frozen=True):
    count: int  # entries written: an export without it was cut off


class _Flat(msgspec.Struct, frozen=True, kw_only=True):
    """What the CSV takes out of an event's data, of whatever type."""

    amount: Any = None
    currency: Any = None
    payment_id: Any = None
    number: Any = None
    attempt_id: Any = None


_encode = msgspec.json.Encoder().encode
_flat = msgspec.json.Decoder(_Flat).decode


class Writer(Protocol):
    """A format's three parts."""

    def head(self, header: ExportHeader) -> bytes: ...
    def row(self, entry: Entry) -> bytes: ...
    def tail(self, count: int) -> bytes: ...


class JsonWriter:
    """One object: the header's fields, `entries`, `count`."""

    def __init__(self) -> None:
        self._separator = b""

    def head(self, header: ExportHeader) -> bytes:
        return _head(header)[:-1] + b',"entries":['  # the object is closed by `tail`

    def row(self, entry: Entry) -> bytes:
        separator, self._separator = self._separator, b","
        return separator + b"\n" + _row(entry)

    def tail(self, count: int) -> bytes:
        return b"\n]," + _encode(_Trailer(count=count))[1:] + b"\n"


class NdjsonWriter:
    """A line with the header's fields, a line for each entry, a line with `count`."""

    def head(self, header: ExportHeader) -> bytes:
        return _head(header) + b"\n"

    def row(self, entry: Entry) -> bytes:
        return _row(entry) + b"\n"

    def tail(self, count: int) -> bytes:
        return _encode(_Trailer(count=count)) + b"\n"


class CsvWriter:
    """A header row and a row for each entry, quoted as RFC 4180 says, in UTF-8.

    A text cell that begins with `=`, `+`, `-`, `@`, tab, carriage return or line feed gets a `'` in front:
    spreadsheets would run it as a formula (OWASP, "CSV Injection"). Integers are written as they are, so a
    negative number stays a number. The exact bytes are in the other two formats only.
    """

    def head(self, header: ExportHeader) -> bytes:
        return _line(CSV_COLUMNS)

    def row(self, entry: Entry) -> bytes:
        data = data_bytes(entry)
        try:
            flat = _flat(data)
        except msgspec.DecodeError:  # not an object that can be read: the column `data` shows it
            flat = _Flat()
        times = rfc3339(entry.occurred_at), rfc3339(entry.recorded_at)
        place = entry.seq, entry.event_id, entry.type, entry.source, entry.sequence
        fields = flat.amount, flat.currency, flat.payment_id, flat.number, flat.attempt_id
        return _line((*place, *times, *fields, entry.leaf_hash.hex(), bytes(data).decode()))

    def tail(self, count: int) -> bytes:
        return b""


WRITERS: dict[ExportFormat, type[Writer]] = {"json": JsonWriter, "ndjson": NdjsonWriter, "csv": CsvWriter}


async def export(
    form: ExportFormat, header: ExportHeader, entries: AsyncIterable[Entry]
) -> AsyncIterator[bytes]:
    """The download in chunks of about CHUNK_BYTES; entries are taken one by one, none is kept."""
    writer = WRITERS[form]()
    chunk = bytearray(writer.head(header))
    count = 0
    async for entry in entries:
        chunk += writer.row(entry)
        count += 1
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    chunk += writer.tail(count)
    yield bytes(chunk)


def _head(header: ExportHeader) -> bytes:
    return _encode(
        _Head(
            lease_id=header.lease_id,
            exported_at=rfc3339(header.exported_at),
            tree_size=header.tree_size,
            root_hash=header.root_hash.hex(),
        )
    )


def _row(entry: Entry) -> bytes:
    one_line = msgspec.json.format(entry.raw, indent=-1)  # a producer may have laid it out in lines
    return _encode(
        _Row(
            seq=entry.seq,
            recorded_at=rfc3339(entry.recorded_at),
            leaf_hash=entry.leaf_hash.hex(),
            raw=b64encode(entry.raw).decode("ascii"),
            event=msgspec.Raw(one_line),
        )
    )


def _line(cells: tuple[object, ...]) -> bytes:
    line = StringIO(newline="")
    csv.writer(line).writerow([_cell(cell) for cell in cells])
    return line.getvalue().encode()


def _cell(value: object) -> object:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
