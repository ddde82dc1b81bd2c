"""An audit trail as a download, of a lease or of the whole ledger, written entry by entry.

`json` and `ndjson` are for a verifier who has no access to the service (`verify`): they hold every event's
exact bytes, what leads from there to a signed checkpoint, and a signed manifest of what has to be there.
`csv` is for people and their spreadsheets.
"""

from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec
from msgspec import UNSET

from common.kernel.clock import rfc3339
from ledger_svc.contracts.entry import Entry
from ledger_svc.export.csv import CsvWriter
from ledger_svc.export.format import LEASE, LEDGER, TREE, VERSION, Head, Parts, Row, Tail, encode
from ledger_svc.export.manifest import Tally
from ledger_svc.transparency import checkpoint, signed_note
from ledger_svc.transparency.signed_note import SigningKey

CHUNK_BYTES = 64 * 1024  # a chunk is sent when it has grown to this; one entry more is the memory needed

ExportFormat = Literal["json", "ndjson", "csv"]
MEDIA_TYPES: dict[ExportFormat, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8; header=present",
}

Path = Sequence[bytes] | None  # of inclusion; None where the export holds none


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported; given by the caller."""

    lease_id: str | None  # None: the whole ledger
    exported_at: datetime  # UTC
    checkpoint: str  # the signed note; the entries are those under it
    parts: Parts | None = None  # of the whole ledger


class Writer(Protocol):
    """A format's three parts."""

    def head(self, head: Head) -> bytes: ...
    def row(self, entry: Entry, path: Path) -> bytes: ...
    def tail(self, tail: Tail) -> bytes: ...


class JsonWriter:
    """One object: the header's fields, `entries` (each on a line of its own), the trailer's fields."""

    def __init__(self) -> None:
        self._separator = b""

    def head(self, head: Head) -> bytes:
        return encode(head)[:-1] + b',"entries":['  # the object is closed by `tail`

    def row(self, entry: Entry, path: Path) -> bytes:
        separator, self._separator = self._separator, b","
        return separator + b"\n" + _row(entry, path)

    def tail(self, tail: Tail) -> bytes:
        return b"\n]," + encode(tail)[1:] + b"\n"


class NdjsonWriter:
    """A line with the header's fields, a line for each entry, a line with the trailer's."""

    def head(self, head: Head) -> bytes:
        return encode(head) + b"\n"

    def row(self, entry: Entry, path: Path) -> bytes:
        return _row(entry, path) + b"\n"

    def tail(self, tail: Tail) -> bytes:
        return encode(tail) + b"\n"


WRITERS: dict[ExportFormat, type[Writer]] = {"json": JsonWriter, "ndjson": NdjsonWriter, "csv": CsvWriter}


async def export(
    form: ExportFormat, what: Export, entries: AsyncIterable[tuple[Entry, Path]], key: SigningKey
) -> AsyncGenerator[bytes, None]:
    """The download in chunks of about CHUNK_BYTES; entries are taken one by one, none is kept."""
    writer = WRITERS[form]()
    tree = checkpoint.parse(signed_note.parse(what.checkpoint).text)
    exported_at = rfc3339(what.exported_at)
    head = Head(
        format=LEDGER if what.lease_id is None else LEASE,
        version=VERSION,
        lease_id=UNSET if what.lease_id is None else what.lease_id,
        exported_at=exported_at,
        tree=TREE,
        tree_size=tree.size,
        root_hash=tree.root.hex(),
        checkpoint=what.checkpoint,
        vkey=str(key.verifier),
    )
    chunk = bytearray(writer.head(head))
    tally = Tally()
    async for entry, path in entries:
        chunk += writer.row(entry, path)
        tally.add(entry.seq, entry.leaf_hash, rfc3339(entry.recorded_at))
        if what.lease_id is not None:
            tally.reached(entry.source, entry.sequence)
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    manifest = key.sign(tally.text(tree, exported_at, what.lease_id))
    chunk += writer.tail(Tail(count=tally.count, parts=what.parts or UNSET, manifest=manifest))
    yield bytes(chunk)


def _row(entry: Entry, path: Path) -> bytes:
    one_line = msgspec.json.format(entry.raw, indent=-1)  # a producer may have laid it out in lines
    return encode(
        Row(
            seq=entry.seq,
            recorded_at=rfc3339(entry.recorded_at),
            leaf_hash=entry.leaf_hash.hex(),
            raw=b64encode(entry.raw).decode("ascii"),
            path=UNSET if path is None else [each.hex() for each in path],
            event=msgspec.Raw(one_line),
        )
    )
