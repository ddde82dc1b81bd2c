"""An export for people and their spreadsheets: RFC 4180, and no cell that a spreadsheet would run."""

import csv
from collections.abc import Sequence
from io import StringIO
from typing import Any

import msgspec

from common.kernel.clock import rfc3339
from ledger_svc.contracts.entry import Entry, data_bytes
from ledger_svc.export.format import Head, Tail

CSV_COLUMNS = (
    *("seq", "event_id", "type", "source", "lease_id", "sequence", "occurred_at", "recorded_at"),
    *("amount", "currency", "payment_id", "number", "attempt_id", "leaf_hash", "data", "collected"),
)
# `amount` is what an event is about, and one payment has several. `collected` is what came in, or below
# zero what went back: that column adds up to what the lease was paid.
_COLLECTED = {
    "payment.succeeded": 1,
    "payoff.succeeded": 1,
    "payment.refunded": -1,
    "payment.charged_back": -1,
}
# With what a cell begins that is run as a formula, the wide forms too (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class _Flat(msgspec.Struct, frozen=True, kw_only=True):
    """What the CSV takes out of an event's data, of whatever type."""

    amount: Any = None
    currency: Any = None
    payment_id: Any = None
    number: Any = None
    attempt_id: Any = None


_flat = msgspec.json.Decoder(_Flat).decode


class CsvWriter:
    """A header row and a row for each entry, quoted as RFC 4180 says, in UTF-8.

    A text cell that a spreadsheet would run as a formula gets a `'` in front. Integers are written as they
    are, so a negative number stays a number. The exact bytes are in the other two formats only.
    """

    def head(self, head: Head) -> bytes:
        return _line(CSV_COLUMNS)

    def row(self, entry: Entry, path: Sequence[bytes] | None) -> bytes:
        data = data_bytes(entry)
        try:
            flat = _flat(data)
        except msgspec.DecodeError:  # not an object that can be read: the column `data` shows it
            flat = _Flat()
        times = rfc3339(entry.occurred_at), rfc3339(entry.recorded_at)
        place = entry.seq, entry.event_id, entry.type, entry.source, entry.lease_id, entry.sequence
        fields = flat.amount, flat.currency, flat.payment_id, flat.number, flat.attempt_id
        sign = _COLLECTED.get(entry.type, 0)
        collected = sign * flat.amount if isinstance(flat.amount, int) else 0
        return _line((*place, *times, *fields, entry.leaf_hash.hex(), _json(data), collected))

    def tail(self, tail: Tail) -> bytes:
        return b""


def _json(data: msgspec.Raw) -> str:
    """The event's data on one line and without a semicolon, which in many countries begins a new cell.

    It can stand in the texts of JSON only, and may be written as an escape there.
    """
    return msgspec.json.format(bytes(data), indent=-1).decode().replace(";", "\\u003b")


def _line(cells: tuple[object, ...]) -> bytes:
    line = StringIO(newline="")
    csv.writer(line).writerow([_cell(cell) for cell in cells])
    return line.getvalue().encode()


def _cell(value: object) -> object:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
