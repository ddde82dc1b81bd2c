"""Ways to falsify what stands above and below the entries: header, checkpoint, manifest, trailer."""

from random import Random

from perf.checks.export_file import Export, again, typo
from perf.checks.tamper_ways import Others, Unfit, another, way


@way("header: a value changed")
def _(chance: Random, export: Export, others: Others) -> None:
    name = chance.choice(sorted(export.head))
    value = export.head[name]
    export.head[name] = typo(value, chance) if isinstance(value, str) else value + chance.choice([-1, 1, 100])


@way("header: a member missing or added")
def _(chance: Random, export: Export, others: Others) -> None:
    del export.head[chance.choice(sorted(export.head))]
    if chance.randrange(2):
        export.head["note"] = "all is well"


@way("checkpoint: a character changed")
def _(chance: Random, export: Export, others: Others) -> None:
    export.head["checkpoint"] = typo(export.head["checkpoint"], chance)


@way("checkpoint: another size, stated everywhere")
def _(chance: Random, export: Export, others: Others) -> None:
    lines = export.head["checkpoint"].split("\n")
    export.head["tree_size"] += chance.choice([-1, 1])
    lines[1] = str(export.head["tree_size"])
    export.head["checkpoint"] = "\n".join(lines)


@way("checkpoint: signed by another key")
def _(chance: Random, export: Export, others: Others) -> None:
    export.head["checkpoint"], _ = again(export.head["checkpoint"], chance)


@way("checkpoint: an earlier or a later one")
def _(chance: Random, export: Export, others: Others) -> None:
    taken = chance.choice(others).head
    if taken["checkpoint"] == export.head["checkpoint"]:
        raise Unfit
    export.head |= {name: taken[name] for name in ("checkpoint", "tree_size", "root_hash")}


@way("manifest: a character changed")
def _(chance: Random, export: Export, others: Others) -> None:
    export.tail["manifest"] = typo(export.tail["manifest"], chance)


@way("manifest: an older one of the same")
def _(chance: Random, export: Export, others: Others) -> None:
    export.tail["manifest"] = another(export, others, chance, same=True).tail["manifest"]


@way("manifest: that of another")
def _(chance: Random, export: Export, others: Others) -> None:
    export.tail["manifest"] = another(export, others, chance, same=False).tail["manifest"]


@way("manifest: signed by another key")
def _(chance: Random, export: Export, others: Others) -> None:
    export.tail["manifest"], _ = again(export.tail["manifest"], chance)


@way("manifest: missing")
def _(chance: Random, export: Export, others: Others) -> None:
    del export.tail["manifest"]


@way("trailer: another count")
def _(chance: Random, export: Export, others: Others) -> None:
    export.tail["count"] += chance.choice([-1, 1, 100])


@way("trailer: a part of the tree changed")
def _(chance: Random, export: Export, others: Others) -> None:
    if "parts" not in export.tail:
        raise Unfit
    hashes = export.tail["parts"]["hashes"]
    at = chance.randrange(len(hashes))
    hashes[at] = typo(hashes[at], chance)


@way("all: signed again by another key")
def _(chance: Random, export: Export, others: Others) -> None:
    seed = chance.randbytes(32)
    export.head["checkpoint"], export.head["vkey"] = again(export.head["checkpoint"], Random(seed))
    export.tail["manifest"], _ = again(export.tail["manifest"], Random(seed))


@way("all: a new header on an older export")
def _(chance: Random, export: Export, others: Others) -> None:
    older = another(export, others, chance, same=True)
    if export.rows == older.rows:
        raise Unfit
    export.rows, export.tail = older.rows, older.tail
