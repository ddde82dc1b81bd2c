"""Ways to falsify an export of the ledger, each at random; for measuring whether the verifier finds them all.

A tampering changes what the export claims (see `export_file`), or leaves no whole export; one that happens to
change nothing is drawn again.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any

from perf.checks.export_file import Export, Row, again, claims, dump, fit, flipped, parse, typo

Others = Sequence[Export]  # honest ones, to take parts from
Way = Callable[[Random, Export, Others], Export | bytes | None]

WAYS: dict[str, Way] = {}  # each changes the export that it is given, or makes another


class Unfit(Exception):
    """This export cannot be falsified in that way."""


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


def way(name: str) -> Callable[[Way], Way]:
    """Register one."""

    def register(change: Way) -> Way:
        WAYS[name] = change
        return change

    return register


def _row(export: Export, chance: Random) -> Row:
    """Any entry."""
    if not export.rows:
        raise Unfit
    return chance.choice(export.rows)


def _other(export: Export, others: Sequence[Export], chance: Random, *, same: bool) -> Export:
    """Another export of the same or of another lease, or of the same or the other sort."""
    about = export.head.get("lease_id")
    found = [
        each
        for each in others
        if (each.head.get("lease_id") == about) == same and each.rows and each.head != export.head
    ]
    if not found:
        raise Unfit
    return chance.choice(found)


# --- the file ---


@way("file: a byte changed")
def _(chance: Random, export: Export, others: Others) -> bytes:
    return flipped(dump(export), chance)


@way("file: a byte left out")
def _(chance: Random, export: Export, others: Others) -> bytes:
    data = dump(export)
    at = chance.randrange(len(data))
    return data[:at] + data[at + 1 :]


@way("file: cut off at a byte")
def _(chance: Random, export: Export, others: Others) -> bytes:
    data = dump(export)
    return data[: chance.randrange(1, len(data) - 1)]


@way("file: lines missing at the end")
def _(chance: Random, export: Export, others: Others) -> bytes:
    lines = dump(export).splitlines(keepends=True)
    return b"".join(lines[: chance.randrange(1, len(lines))])


@way("file: a member twice")
def _(chance: Random, export: Export, others: Others) -> bytes:
    name, value = chance.choice([("seq", b"1"), ("count", b"1"), ("raw", b'"AA=="'), ("checkpoint", b'"x"')])
    member = b'"%s":' % name.encode()
    before, found, after = dump(export).partition(member)
    if not found:
        raise Unfit
    return before + member + value + b"," + member + after


# --- an entry ---


@way("event: a byte changed")
def _(chance: Random, export: Export, others: Others) -> None:
    row = _row(export, chance)
    row["raw"] = b64encode(flipped(b64decode(row["raw"]), chance)).decode()


@way("event: a byte changed, the hash made to fit")
def _(chance: Random, export: Export, others: Others) -> None:
    row = _row(export, chance)
    fit(row, flipped(b64decode(row["raw"]), chance))


@way("event: an amount changed, all made to fit")
def _(chance: Random, export: Export, others: Others) -> None:
    row = _row(export, chance)
    raw = b64decode(row["raw"])
    places = [at for at in range(len(raw)) if raw[at : at + 1].isdigit()]
    at = chance.choice(places)
    fit(row, raw[:at] + str(chance.randrange(10)).encode() + raw[at + 1 :])


@way("event: shown otherwise than its bytes")
def _(chance: Random, export: Export, others: Others) -> None:
    _change(chance, _row(export, chance)["event"])


@way("event: its base64 in another spelling")
def _(chance: Random, export: Export, others: Others) -> None:
    row = _row(export, chance)
    row["raw"] = typo(row["raw"][-4:], chance).join([row["raw"][:-4], ""])


@way("entry: its leaf hash changed")
def _(chance: Random, export: Export, others: Others) -> None:
    row = _row(export, chance)
    row["leaf_hash"] = chance.choice([typo(row["leaf_hash"], chance), row["leaf_hash"].upper()])


@way("entry: its seq changed")
def _(chance: Random, export: Export, others: Others) -> None:
    _row(export, chance)["seq"] += chance.choice([-3, -2, -1, 1, 2, 3, 1000])


@way("entry: its time of recording changed")
def _(chance: Random, export: Export, others: Others) -> None:
    row = _row(export, chance)
    row["recorded_at"] = typo(row["recorded_at"], chance)


@way("entry: a member missing")
def _(chance: Random, export: Export, others: Others) -> None:
    row = _row(export, chance)
    del row[chance.choice(sorted(row))]


@way("entry: a member added")
def _(chance: Random, export: Export, others: Others) -> None:
    _row(export, chance)[chance.choice(["note", "amount", "path2"])] = chance.choice([0, None, "paid", []])


@way("path: a hash changed, missing, added or moved")
def _(chance: Random, export: Export, others: Others) -> None:
    path = _row(export, chance).get("path")
    if not path:
        raise Unfit
    at = chance.randrange(len(path))
    match chance.randrange(4):
        case 0:
            path[at] = typo(path[at], chance)
        case 1:
            del path[at]
        case 2:
            path.insert(at, chance.choice(path))
        case _:
            path[at], path[-1] = path[-1], path[at]


# --- the entries together ---


@way("entries: one removed")
def _(chance: Random, export: Export, others: Others) -> None:
    export.rows.remove(_row(export, chance))


@way("entries: one removed, the count made to fit")
def _(chance: Random, export: Export, others: Others) -> None:
    export.rows.remove(_row(export, chance))
    export.tail["count"] -= 1


@way("entries: the last ones removed, the count made to fit")
def _(chance: Random, export: Export, others: Others) -> None:
    _row(export, chance)
    del export.rows[-chance.randint(1, len(export.rows)) :]
    export.tail["count"] = len(export.rows)


@way("entries: the first ones removed, the count made to fit")
def _(chance: Random, export: Export, others: Others) -> None:
    _row(export, chance)
    del export.rows[: chance.randint(1, len(export.rows))]
    export.tail["count"] = len(export.rows)


@way("entries: one doubled")
def _(chance: Random, export: Export, others: Others) -> None:
    row = _row(export, chance)
    export.rows.insert(chance.randint(0, len(export.rows)), row)
    export.tail["count"] += chance.randrange(2)


@way("entries: one invented")
def _(chance: Random, export: Export, others: Others) -> None:
    row = deepcopy(_row(export, chance))
    event = row["event"] | {"sequence": row["event"]["sequence"] + chance.choice([0, 1, 100])}
    event["id"] = event["id"][:-4] + f"{chance.randrange(16**4):04x}"
    fit(row, json.dumps(event).encode())
    row["seq"] += chance.randrange(2)
    export.rows.insert(chance.randint(0, len(export.rows)), row)
    export.tail["count"] += 1


@way("entries: two in the place of each other")
def _(chance: Random, export: Export, others: Others) -> None:
    one, two = chance.randrange(len(export.rows)), chance.randrange(len(export.rows))
    export.rows[one], export.rows[two] = export.rows[two], export.rows[one]


@way("entries: two in the place of each other, numbered anew")
def _(chance: Random, export: Export, others: Others) -> None:
    one, two = _row(export, chance), _row(export, chance)
    for name in ("raw", "leaf_hash", "event"):
        one[name], two[name] = two[name], one[name]


@way("entries: backwards")
def _(chance: Random, export: Export, others: Others) -> None:
    export.rows.reverse()


@way("entries: one from another lease")
def _(chance: Random, export: Export, others: Others) -> None:
    foreign = chance.choice(_other(export, others, chance, same=False).rows)
    if "path" not in foreign or not export.of_lease:
        raise Unfit
    at = chance.randrange(len(export.rows))
    export.rows[at : at + chance.randrange(2)] = [foreign]


@way("entries: all of another lease")
def _(chance: Random, export: Export, others: Others) -> None:
    export.rows = _other(export, others, chance, same=False).rows


# --- what stands above and below ---


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
    export.tail["manifest"] = _other(export, others, chance, same=True).tail["manifest"]


@way("manifest: that of another")
def _(chance: Random, export: Export, others: Others) -> None:
    export.tail["manifest"] = _other(export, others, chance, same=False).tail["manifest"]


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
    older = _other(export, others, chance, same=True)
    if export.rows == older.rows:
        raise Unfit
    export.rows, export.tail = older.rows, older.tail


def _change(chance: Random, value: dict[str, Any]) -> None:
    """Change one value somewhere within."""
    name = chance.choice(sorted(value))
    found = value[name]
    if isinstance(found, dict) and found:
        _change(chance, found)
    elif isinstance(found, str):
        value[name] = typo(found, chance) if found else "x"
    elif isinstance(found, bool) or found is None:
        value[name] = 1
    elif isinstance(found, int):
        value[name] = chance.choice([found + 1, -found, str(found), None])
    else:
        value[name] = None
