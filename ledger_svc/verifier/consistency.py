"""Whether a ledger has only grown since an earlier checkpoint, which somebody has kept."""

from typing import NamedTuple

import msgspec

from ledger_svc.transparency import proofs
from ledger_svc.transparency.checkpoint import Checkpoint
from ledger_svc.verifier.findings import Findings
from ledger_svc.verifier.strict_json import hash_of
from ledger_svc.verifier.tree import Tree


class Unanswerable(Exception):
    """What was asked cannot be found out with what was given; the message says what is lacking."""


class Consistency(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `GET /api/v1/audit/proofs/consistency`."""

    first: int
    second: int
    first_root: str  # lower-case hex, as are the others
    second_root: str
    path: list[str]


class History(NamedTuple):
    """An earlier checkpoint, its signature verified, and what leads from there to an export's."""

    earlier: Checkpoint
    proof: Consistency | None = None  # needed for a lease's export: the ledger's own holds all that it takes

    def require_proof(self, tree: Checkpoint) -> None:
        """Raise Unanswerable where a proof is needed and not there."""
        first, second = self.earlier.size, tree.size
        if 0 < first < second and self.proof is None:
            where = f"/api/v1/audit/proofs/consistency?first={first}&second={second}"
            raise Unanswerable(f"against an earlier checkpoint a lease's export needs the answer of {where}")

    def check(self, tree: Checkpoint, grown: Tree | None, findings: Findings) -> None:
        """Compare with an export's checkpoint; `grown`: the tree from the whole ledger's entries."""
        earlier = self.earlier
        if earlier.origin != tree.origin:
            words = "the earlier checkpoint is another ledger's"
            findings.add("consistency", words, expected=earlier.origin, found=tree.origin)
        elif earlier.size > tree.size:
            words = "the ledger has fewer entries than under the earlier checkpoint"
            findings.add("consistency", words, expected=earlier.size, found=tree.size)
        elif grown is not None:
            if grown.earlier_root != earlier.root:
                words = f"the first {earlier.size} entries are not those of the earlier checkpoint"
                found = None if grown.earlier_root is None else grown.earlier_root.hex()
                findings.add("consistency", words, expected=earlier.root.hex(), found=found)
        elif not self._proved(tree, findings):
            words = f"the first {earlier.size} entries are not shown to be those of the earlier checkpoint"
            findings.add("consistency", words, expected=earlier.root.hex())

    def _proved(self, tree: Checkpoint, findings: Findings) -> bool:
        earlier, path = self.earlier, []
        if self.proof is not None and 0 < earlier.size < tree.size:
            asked = (earlier.size, tree.size, earlier.root.hex(), tree.root.hex())
            given = (self.proof.first, self.proof.second, self.proof.first_root, self.proof.second_root)
            if asked != given:
                findings.add("consistency", "the proof is of other trees", expected=asked, found=given)
            path = [hash_of(each) or b"" for each in self.proof.path]
        return proofs.consistent(earlier.size, earlier.root, tree.size, tree.root, path)
