"""Falsifies an export of the ledger at random; for measuring whether the verifier finds it every time.

A tampering changes what the export claims (see `export_file`), or leaves no whole export; one that happens to
change nothing is drawn again.
"""

from random import Random

from perf.checks import tamper_entries, tamper_proofs  # noqa: F401 they register their ways
from perf.checks.export_file import claims, dump, parse
from perf.checks.tamper_ways import WAYS, Others, Unfit

__all__ = ["WAYS", "Unfit", "tamper"]


def tamper(chance: Random, kind: str, honest: bytes, others: Others) -> bytes:
    """A falsified export. Raises Unfit."""
    before = claims(honest)
    for _ in range(100):
        export = parse(honest)
        result = WAYS[kind](chance, export, others)
        forged = result if isinstance(result, bytes) else dump(result or export)
        if claims(forged) != before:
            return forged
    raise Unfit
