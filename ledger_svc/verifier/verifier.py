"""Checks one export: a lease's, entry by entry, against the tree; the ledger's, by growing the tree anew."""

from collections.abc import Callable, Sequence
from io import BufferedReader
from typing import NamedTuple

from msgspec import UNSET

from ledger_svc.export import manifest
from ledger_svc.export.format import Row, Tail
from ledger_svc.transparency import checkpoint, signed_note
from ledger_svc.transparency.checkpoint import Checkpoint
from ledger_svc.transparency.signed_note import NoteError, VerifierKey
from ledger_svc.verifier.consistency import History
from ledger_svc.verifier.entries import Entries, entries
from ledger_svc.verifier.export_reader import Broken, Document
from ledger_svc.verifier.findings import Findings, Report, TooMany
from ledger_svc.verifier.lease_histories import Leases
from ledger_svc.verifier.results import results
from ledger_svc.verifier.strict_json import shown
from ledger_svc.verifier.tree import Tree


class Trust(NamedTuple):
    """What the auditor brings along."""

    keys: Sequence[VerifierKey]
    history: History | None = None


def verify(file: BufferedReader, name: str, trust: Trust, tick: Callable[[], None] = lambda: None) -> Report:
    """Check an export, read from `file`; `tick` is called for each entry.

    Raises Unreadable where it is none, and Unanswerable where `trust` lacks what its question needs.
    """
    return _Verification(Document(file), trust).run(name, tick)


class _Verification:
    def __init__(self, document: Document, trust: Trust) -> None:
        self._document = document
        self._head = document.head
        self._lease_id = self._head.lease_id or None
        self._keys, self._history = trust
        self._findings = Findings()
        self._signer: VerifierKey | None = None  # of the checkpoint
        self._signed = False  # whether it ends with a manifest
        self._tree = self._checkpoint()
        self._entries = Entries(self._tree, self._lease_id, self._findings)
        self._leases = Leases(self._lease_id, self._findings)
        self._grown: Tree | None = None
        if self._tree is not None and self._lease_id is None:
            self._grown = Tree(self._tree, self._history.earlier.size if self._history else None)
        elif self._tree is not None and self._history is not None:
            self._history.require_proof(self._tree)

    def run(self, name: str, tick: Callable[[], None]) -> Report:
        """Read it all and say what was found."""
        whole = True
        try:
            self._end(self._read(tick))
        except TooMany:
            whole = False
            self._findings.note("So much is wrong that the rest was not looked at.")
        tree, ok = self._tree, not self._findings.problems
        currency, lease = self._leases.snapshot() if ok and self._lease_id else (None, None)
        ledger = self._leases.sums() if ok and not self._lease_id else None
        return Report(
            ok=ok,
            file=shown(name),
            format=self._head.format,
            lease_id=shown(self._lease_id) if self._lease_id else None,
            exported_at=shown(self._head.exported_at),
            entries=self._entries.tally.count,
            tree_size=tree.size if tree else None,
            root_hash=tree.root.hex() if tree else None,
            signed_by=str(self._signer) if self._signer else None,
            checks=results(
                self._findings,
                tree=tree,
                sources=self._leases.sources() if self._lease_id else None,
                earlier=self._history.earlier if self._history else None,
                whole=whole,
                signed=self._signed,
            ),
            problems=self._findings.problems,
            currency=currency,
            lease=lease,
            ledger=ledger,
            notes=self._findings.notes,
        )

    def _checkpoint(self) -> Checkpoint | None:
        """What the checkpoint states; also where its signature is not good, for the sake of all the rest."""
        add, head = self._findings.add, self._head
        tree = None
        try:
            tree = checkpoint.parse(signed_note.parse(head.checkpoint).text)
            checkpoint.verified(head.checkpoint, self._keys)
            self._signer = signed_note.opened(head.checkpoint, self._keys)[1]
        except NoteError as error:
            add("checkpoint", "the checkpoint is not signed by the ledger", found=error)
        if tree is not None and (head.tree_size, head.root_hash) != (tree.size, tree.root.hex()):
            words = "the header states another tree than the checkpoint"
            add("checkpoint", words, expected=tree.root.hex(), found=head.root_hash)
        if head.vkey not in [str(each) for each in self._keys]:
            add("checkpoint", "the header names a key that was not given", found=head.vkey)
        return tree

    def _read(self, tick: Callable[[], None]) -> Tail | None:
        """All entries; gives the trailer."""
        tail = None
        for line, part in self._document.parts():
            tick()
            if isinstance(part, Row):
                self._row(part, line)
            elif isinstance(part, Broken):
                self._findings.add("form", part.words, seq=part.seq, line=part.line)
            else:
                tail = part
        return tail

    def _row(self, row: Row, line: int) -> None:
        seen = self._entries.look(row, line)
        if seen is None:
            return
        if self._grown is not None:
            self._grown.add(seen.leaf_hash)
        if seen.event is not None:
            self._leases.take(seen.seq, seen.event)
            if self._lease_id is not None:
                self._entries.tally.reached(seen.event.source, seen.event.sequence)

    def _end(self, tail: Tail | None) -> None:
        """What can be said once all entries are there."""
        add = self._findings.add
        self._leases.look_for_gaps()
        last, size = self._entries.last_seq, self._tree.size if self._tree else 0
        if self._lease_id is None and last < size:
            add("order", f"{entries(last + 1, size)} missing at the end", expected=size, found=last)
        if tail is None:
            add("form", "there is no end to it: it was cut off")
        elif (tail.parts is UNSET) == (self._lease_id is None):
            add("form", "only the whole ledger's export states the parts of the tree, and has to")
        if self._grown is not None:
            self._grown.check(tail.parts or None if tail else None, self._findings)
        if tail is not None:
            self._signed = True
            self._manifest(tail)
        if self._history is not None and self._tree is not None:
            self._history.check(self._tree, self._grown, self._findings)

    def _manifest(self, tail: Tail) -> None:
        """Whether exactly this is what was signed."""
        add, tally = self._findings.add, self._entries.tally
        if tail.count != tally.count:
            words = "the number of entries is not the one stated below them"
            add("manifest", words, expected=tail.count, found=tally.count)
        try:
            text, signer = signed_note.opened(tail.manifest, self._keys)
        except NoteError as error:
            add("manifest", "the manifest is not signed by the ledger", found=error)
            return
        if str(signer) != self._head.vkey:
            words = "another key signed it than the header names"
            add("manifest", words, expected=self._head.vkey, found=signer)
        if self._tree is None:
            return
        tree = self._tree._replace(origin=signer.name)
        mine = tally.text(tree, self._head.exported_at, self._lease_id)
        for about, stated, found in manifest.differences(text, mine):
            words = "the export does not hold what was signed"
            if about.startswith("last "):
                words = f"events of {about[5:]} are missing at the end, or it has more than were signed"
            add("manifest", words, expected=stated, found=found)
