"""What an export has to hold, in words that can be signed: so that one with its end cut off is found out.

The text of the manifest, which is signed as a note; its first line keeps it apart from a checkpoint:

    <origin>/lease-export           or <origin>/ledger-export
    lease <lease_id>                a lease's export only
    exported <RFC 3339>
    tree <size> <root hash, base64>
    entries <count>
    leaves <base64>                 SHA-256 over all leaf hashes, in order
    recorded <base64>               SHA-256 over "<seq> <recorded_at>\\n" of all entries, in order
    last "<source>" <sequence>      a lease's export only: the last of each source, by its name
"""

from base64 import b64encode
from hashlib import sha256

import msgspec

from ledger_svc.transparency.checkpoint import Checkpoint

_quoted = msgspec.json.Encoder().encode


class Tally:
    """Takes in entry after entry of one export; what it keeps is small, however many they are."""

    def __init__(self) -> None:
        self.count = 0
        self.last: dict[str, int] = {}  # the highest sequence of each source, of a lease's export
        self._leaves = sha256()
        self._recorded = sha256()

    def add(self, seq: int, leaf_hash: bytes, recorded_at: str) -> None:
        """One more entry; `recorded_at` as it stands in the export."""
        self.count += 1
        self._leaves.update(leaf_hash)
        self._recorded.update(f"{seq} {recorded_at}\n".encode())

    def reached(self, source: str, sequence: int) -> None:
        """An event of the lease says that it is its source's number `sequence`."""
        self.last[source] = max(sequence, self.last.get(source, 0))

    def text(self, tree: Checkpoint, exported_at: str, lease_id: str | None) -> str:
        """The text to be signed; no `lease_id`: the whole ledger."""
        lines = [
            f"{tree.origin}/{'ledger' if lease_id is None else 'lease'}-export",
            f"exported {exported_at}",
            f"tree {tree.size} {b64encode(tree.root).decode()}",
            f"entries {self.count}",
            f"leaves {b64encode(self._leaves.digest()).decode()}",
            f"recorded {b64encode(self._recorded.digest()).decode()}",
        ]
        if lease_id is not None:
            lines.insert(1, f"lease {lease_id}")
            last = sorted(self.last.items())
            lines += [f"last {_quoted(source).decode()} {sequence}" for source, sequence in last]
        return "".join(f"{line}\n" for line in lines)


def differences(stated: str, found: str) -> list[tuple[str, str | None, str | None]]:
    """Where two manifests' texts differ: what about, as stated, as found; None where one says nothing."""
    ours, theirs = found.splitlines(), stated.splitlines()
    only_stated = [line for line in theirs if line not in ours]
    only_found = [line for line in ours if line not in theirs]
    named = {_about(line): line for line in only_found}
    result: list[tuple[str, str | None, str | None]] = [
        (_about(line), line, named.pop(_about(line), None)) for line in only_stated
    ]
    result += [(about, None, line) for about, line in named.items()]
    return result or [("order", stated, found)] * (stated != found)


def _about(line: str) -> str:
    """`entries`, `last "/lease-svc"`; of the first line all."""
    return line.rpartition(" ")[0] if line.startswith("last ") else line.partition(" ")[0]
