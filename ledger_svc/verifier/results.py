"""How each check ended, in words."""

from collections.abc import Mapping
from typing import get_args

from ledger_svc.transparency.checkpoint import Checkpoint
from ledger_svc.verifier.findings import Check, Findings, Result


def results(
    findings: Findings,
    *,
    tree: Checkpoint | None,
    sources: Mapping[str, int] | None,
    earlier: Checkpoint | None,
    whole: bool,
    signed: bool,
) -> list[Result]:
    """A result for each check.

    `sources`: of a lease's export, the last number of each; None: it is the whole ledger's. `whole`: the file
    was looked at to its end. `signed`: it ended with a manifest.
    """
    ledger = sources is None
    named = ", ".join(f"{source} 1 to {last}" for source, last in (sources or {}).items())
    words: dict[Check, str] = {
        "form": "read to its end",
        "checkpoint": "" if tree is None else f"{tree.size} entries, root {tree.root.hex()}",
        "bytes": "every leaf hash is that of the event's exact bytes",
        "inclusion": (
            "the tree of all entries has the root that was signed"
            if ledger
            else "every entry is in the tree that was signed, at its place"
        ),
        "order": "1, 2, 3 … to the end, no event twice" if ledger else "ascending, no event twice",
        "sequences": f"none missing: {'each lease, each source' if ledger else named or 'no events'}",
        "shown": "what is shown beside the bytes is what they say",
        "events": "all can be read",
        "manifest": "number, last events, hashes and times are those that were signed",
        "consistency": "" if earlier is None else f"the first {earlier.size} entries are those of then",
    }
    left_out: dict[Check, str] = {}
    if tree is None:
        unknown: tuple[Check, ...] = ("inclusion", "manifest", "consistency")
        left_out = dict.fromkeys(unknown, "there is no checkpoint to hold it against")
    if not signed:
        left_out["manifest"] = "there is none"
    if earlier is None:
        left_out["consistency"] = "not asked for; give an earlier checkpoint with --against"
    found = []
    for check in get_args(Check):
        count = sum(each.check == check for each in findings.problems)
        if count:
            found.append(Result(check=check, ok=False, words=f"{count} problem{'s' * (count > 1)}"))
        elif check in left_out or not whole:
            found.append(Result(check=check, ok=None, words=left_out.get(check, "not looked at to the end")))
        else:
            found.append(Result(check=check, ok=True, words=words[check]))
    return found
