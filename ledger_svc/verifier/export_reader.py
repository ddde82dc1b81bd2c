"""The parts of an export, one after the other: little of it is in memory, and no part is trusted."""

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedReader
from typing import NamedTuple

import msgspec

from ledger_svc.export import format as export_format
from ledger_svc.export.format import LEASE, LEDGER, VERSION, Head, Row, Tail
from ledger_svc.verifier.strict_json import MAX_JSON_BYTES, json_of, shown

# The longest event, in base64 and as text.
MAX_LINE_BYTES = 48 * 1024 * 1024
MAX_EMPTY_LINES = 100

_GZIP = b"\x1f\x8b"
_ENTRIES = b',"entries":['
_WRONG = (msgspec.DecodeError, RecursionError, ValueError)
_READ = (OSError, EOFError, zlib.error)  # what reading a file raises, a compressed one too


class Unreadable(Exception):
    """This is no export that this program can read; the message says why."""


class Broken(NamedTuple):
    """A part that cannot be read."""

    line: int
    words: str
    seq: int | None = None  # where it seems to be an entry


class _Numbered(msgspec.Struct):
    seq: export_format.Number


Part = Row | Tail | Broken


class Document:
    """An export, opened. Raises Unreadable where it does not begin as one."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = _unpacked(file)
        self._line = 0
        first = self._next()
        if not first:
            raise Unreadable("not an export: it is empty")
        text = first.strip()
        self._array = text.endswith(_ENTRIES)
        self._entries: list[msgspec.Raw] | None = None
        self._tail = b""
        if self._array:
            text = text.removesuffix(_ENTRIES) + b"}"
        elif not _is_object(text) or b'"entries"' in text:
            text = self._laid_out_anew(first)
        self.head = _head(text)

    def parts(self) -> Iterator[tuple[int, Part]]:
        """Rows, and at last the trailer, each with its line; what is behind a trailer is Broken."""
        if self._entries is not None:
            parts = [*self._entries, self._tail]
            yield from ((number, _part(bytes(each), number)) for number, each in enumerate(parts, 1))
            return
        ended = False
        for line in self._texts():
            part = line if isinstance(line, Broken) else _part(line, self._line)
            if ended and not isinstance(part, Broken):
                part = Broken(self._line, "there is something behind the end")
            ended = ended or isinstance(part, Tail)
            yield self._line, part

    def _texts(self) -> Iterator[bytes | Broken]:
        """The text of each part, or what is wrong with the layout."""
        comma: bool | None = None  # behind the entry before; None: there was none
        empty = 0
        while True:
            try:
                line = self._next()
            except Unreadable as error:
                yield Broken(self._line, str(error))
                return
            if not line:
                return
            text = line.strip()
            if not text:
                empty += 1
                if empty > MAX_EMPTY_LINES:
                    yield Broken(self._line, f"over {MAX_EMPTY_LINES} empty lines")
                    return
                continue
            if self._array and text.startswith(b"],"):
                if comma:
                    yield Broken(self._line, "a comma without an entry behind it")
                text, comma = b"{" + text.removeprefix(b"],"), None
            elif self._array:
                if comma is False:
                    yield Broken(self._line, "no comma before this entry")
                comma = text.endswith(b",")
                text = text.removesuffix(b",")
            yield text

    def _next(self) -> bytes:
        """The next line; empty at the end. Raises Unreadable."""
        self._line += 1
        try:
            line = self._file.readline(MAX_LINE_BYTES + 1)
        except _READ as error:
            raise Unreadable(f"cannot be read further: {shown(error)}") from None
        if len(line) > MAX_LINE_BYTES:
            raise Unreadable(f"a line of over {MAX_LINE_BYTES} bytes")
        return line

    def _laid_out_anew(self, first: bytes) -> bytes:
        """One JSON document in another layout, read whole; gives the text of its head."""
        try:
            text = first + self._file.read(max(0, MAX_JSON_BYTES + 1 - len(first)))
        except _READ as error:
            raise Unreadable(f"cannot be read further: {shown(error)}") from None
        try:
            json_of(text)  # nothing twice, and not too long
            members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            self._entries = msgspec.json.decode(members.pop("entries", b"[]"), type=list[msgspec.Raw])
        except _WRONG as error:
            raise Unreadable(f"not an export: {shown(error)}") from None
        tail = {name: members.pop(name) for name in Tail.__struct_fields__ if name in members}
        self._tail = export_format.encode(tail)
        return export_format.encode(members)


def _unpacked(file: BufferedReader) -> BufferedReader | gzip.GzipFile:
    """The file, decompressed on the way where it is gzip. Raises Unreadable."""
    try:
        packed = file.peek(2)[:2] == _GZIP
    except _READ as error:
        raise Unreadable(f"cannot be read: {shown(error)}") from None
    return gzip.GzipFile(fileobj=file) if packed else file


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json_of(text), dict)
    except ValueError:
        return False


def _head(text: bytes) -> Head:
    try:
        stated = json_of(text)
        if not isinstance(stated, dict) or stated.get("format") not in (LEASE, LEDGER):
            raise Unreadable("not an export of this ledger")
        if stated.get("version") != VERSION:
            version = shown(stated.get("version"))
            raise Unreadable(f"version {version} of the format, not {VERSION}: export it again")
        head = export_format.read_head(text)
    except _WRONG as error:
        raise Unreadable(f"its header is wrong: {shown(error)}") from None
    if (head.format == LEASE) != bool(head.lease_id) or head.lease_id == "":
        raise Unreadable("its header is wrong: a lease's export names the lease, the ledger's none")
    return head


def _part(text: bytes, line: int) -> Part:
    """A row or a trailer, whatever the text is. Ours have one spelling; any other is looked at twice."""
    try:
        is_row = b'"raw"' in text or b'"event"' in text
        part: Row | Tail = export_format.read_row(text) if is_row else export_format.read_tail(text)
        if export_format.encode(part) != text:
            json_of(text)  # nothing twice
    except _WRONG as error:
        return Broken(line, shown(error), _seq(text))
    return part


def _seq(text: bytes) -> int | None:
    try:
        return msgspec.json.decode(text, type=_Numbered).seq
    except _WRONG:
        return None
