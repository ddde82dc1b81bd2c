"""What has to be true of each entry by itself, and of its place among the others."""

from functools import partial
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from ledger_svc.contracts import envelope
from ledger_svc.contracts.envelope import Event, MalformedEvent
from ledger_svc.export.format import Row
from ledger_svc.export.manifest import Tally
from ledger_svc.transparency import merkle_tree, proofs
from ledger_svc.transparency.checkpoint import Checkpoint
from ledger_svc.verifier.findings import Findings
from ledger_svc.verifier.strict_json import bytes_of, hash_of, json_of, same_json


class Seen(NamedTuple):
    """An entry that could be read."""

    seq: int
    leaf_hash: bytes  # of its bytes, computed here
    event: Event | None  # None: they are no event


class _Named(msgspec.Struct):
    id: str


_decode_named = msgspec.json.Decoder(_Named).decode


class Entries:
    """Looks at entry after entry of one export."""

    def __init__(self, tree: Checkpoint | None, lease_id: str | None, findings: Findings) -> None:
        self._tree = tree  # what the checkpoint says, be its signature good or not
        self._lease_id = lease_id
        self._findings = findings
        self.last_seq = 0  # of the entry before
        self._ids: set[bytes] = set()
        self.tally = Tally()

    def look(self, row: Row, line: int) -> Seen | None:
        """Check one entry; None where it has no bytes to go on with."""
        raw = bytes_of(row.raw)
        event = None if raw is None else self._event(row, raw)
        event_id = event.id if event else _shown_id(row.event)
        self._order(row, event_id)
        if raw is None:
            words = "the event's bytes are not base64"
            self._findings.add("form", words, seq=row.seq, event_id=event_id, line=line)
            return None
        leaf_hash = merkle_tree.leaf_hash(raw)
        self._sealed(row, leaf_hash, event_id)
        self.tally.add(row.seq, leaf_hash, row.recorded_at)
        return Seen(row.seq, leaf_hash, event)

    def _order(self, row: Row, event_id: str | None) -> None:
        """Entries ascend; those of the whole ledger count 1, 2, 3 …"""
        add = partial(self._findings.add, "order", seq=row.seq, event_id=event_id)
        before, self.last_seq = self.last_seq, row.seq
        if row.seq <= before:
            add(f"comes after entry {before}: doubled, or not in its place")
        elif self._lease_id is None and row.seq != before + 1:
            words = f"{entries(before + 1, row.seq - 1)} missing before this one"
            add(words, expected=before + 1, found=row.seq)
        if self._tree is not None and row.seq > self._tree.size:
            add(f"is beyond the {self._tree.size} entries of the checkpoint")

    def _event(self, row: Row, raw: bytes) -> Event | None:
        """The event that the bytes are; it has to be the one that is shown, and of this lease."""
        try:
            event = envelope.decode(raw)
        except MalformedEvent as error:
            about = _shown_id(row.event)
            self._findings.add(
                "events", "its bytes are not an event", seq=row.seq, event_id=about, found=error
            )
            return None
        if not _shows(row.event, raw):
            words = "what is shown as the event is not what its bytes say"
            self._findings.add("shown", words, seq=row.seq, event_id=event.id)
        if self._lease_id is not None and event.subject != self._lease_id:
            words = "the event is of another lease"
            self._findings.add(
                "order", words, seq=row.seq, event_id=event.id, expected=self._lease_id, found=event.subject
            )
        key = _key(event.id)
        if key in self._ids:
            self._findings.add("order", "an event with this id came before", seq=row.seq, event_id=event.id)
        self._ids.add(key)
        return event

    def _sealed(self, row: Row, leaf_hash: bytes, event_id: str | None) -> None:
        """The leaf hash is that of the bytes and, in a lease's export, in the tree at the entry's place."""
        add = partial(self._findings.add, seq=row.seq, event_id=event_id)
        if row.leaf_hash != leaf_hash.hex():
            stated = hash_of(row.leaf_hash)
            if stated and self._includes(row, stated) and not self._includes(row, leaf_hash):
                words = "the event's bytes were changed: the hash that is sealed is another"
                add("bytes", words, expected=row.leaf_hash, found=leaf_hash.hex())
                return
            words = "the leaf hash is not that of the event's bytes"
            add("bytes", words, expected=leaf_hash.hex(), found=row.leaf_hash)
        if self._lease_id is None:
            if row.path is not UNSET:
                add("form", "the whole ledger's export has no paths")
        elif row.path is UNSET:
            add("form", "a lease's export has a path for each entry")
        elif self._tree is not None and not self._includes(row, leaf_hash):
            add("inclusion", "is not in the tree under the checkpoint, or its path is wrong")

    def _includes(self, row: Row, leaf_hash: bytes) -> bool:
        """Whether the tree has this leaf there, by the entry's path."""
        if row.path is UNSET or self._tree is None:
            return False
        path = [hash_of(each) or b"" for each in row.path]
        return proofs.includes(leaf_hash, row.seq - 1, self._tree.size, path, self._tree.root)


def entries(first: int, last: int) -> str:
    """Neighbouring entries in words."""
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


def _shown_id(event: msgspec.Raw) -> str | None:
    """The id of what is shown as an event, where its bytes are none."""
    try:
        return _decode_named(event).id
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _shows(shown: msgspec.Raw, raw: bytes) -> bool:
    try:
        if bytes(shown) == msgspec.json.format(raw, indent=-1):
            return True
        return same_json(json_of(bytes(shown)), json_of(raw))
    except (ValueError, RecursionError):
        return False


def _key(event_id: str) -> bytes:
    """The id, as small as it can be kept: there may be millions."""
    try:
        return bytes.fromhex(event_id.replace("-", ""))
    except ValueError:
        return event_id.encode()
