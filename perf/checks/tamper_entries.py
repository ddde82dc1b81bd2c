"""Ways to falsify an export's bytes and its entries, one by one and together."""

import json
from base64 import b64decode, b64encode
from copy import deepcopy
from random import Random
from typing import Any

from perf.checks.export_file import Export, dump, fit, flipped, typo
from perf.checks.tamper_ways import Others, Unfit, another, any_row, way


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
    row = any_row(export, chance)
    row["raw"] = b64encode(flipped(b64decode(row["raw"]), chance)).decode()


@way("event: a byte changed, the hash made to fit")
def _(chance: Random, export: Export, others: Others) -> None:
    row = any_row(export, chance)
    fit(row, flipped(b64decode(row["raw"]), chance))


@way("event: an amount changed, all made to fit")
def _(chance: Random, export: Export, others: Others) -> None:
    row = any_row(export, chance)
    raw = b64decode(row["raw"])
    places = [at for at in range(len(raw)) if raw[at : at + 1].isdigit()]
    at = chance.choice(places)
    fit(row, raw[:at] + str(chance.randrange(10)).encode() + raw[at + 1 :])


@way("event: shown otherwise than its bytes")
def _(chance: Random, export: Export, others: Others) -> None:
    _change(chance, any_row(export, chance)["event"])


@way("event: its base64 in another spelling")
def _(chance: Random, export: Export, others: Others) -> None:
    row = any_row(export, chance)
    row["raw"] = typo(row["raw"][-4:], chance).join([row["raw"][:-4], ""])


@way("entry: its leaf hash changed")
def _(chance: Random, export: Export, others: Others) -> None:
    row = any_row(export, chance)
    row["leaf_hash"] = chance.choice([typo(row["leaf_hash"], chance), row["leaf_hash"].upper()])


@way("entry: its seq changed")
def _(chance: Random, export: Export, others: Others) -> None:
    any_row(export, chance)["seq"] += chance.choice([-3, -2, -1, 1, 2, 3, 1000])


@way("entry: its time of recording changed")
def _(chance: Random, export: Export, others: Others) -> None:
    row = any_row(export, chance)
    row["recorded_at"] = typo(row["recorded_at"], chance)


@way("entry: a member missing")
def _(chance: Random, export: Export, others: Others) -> None:
    row = any_row(export, chance)
    del row[chance.choice(sorted(row))]


@way("entry: a member added")
def _(chance: Random, export: Export, others: Others) -> None:
    any_row(export, chance)[chance.choice(["note", "amount", "path2"])] = chance.choice([0, None, "paid", []])


@way("path: a hash changed, missing, added or moved")
def _(chance: Random, export: Export, others: Others) -> None:
    path = any_row(export, chance).get("path")
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
    export.rows.remove(any_row(export, chance))


@way("entries: one removed, the count made to fit")
def _(chance: Random, export: Export, others: Others) -> None:
    export.rows.remove(any_row(export, chance))
    export.tail["count"] -= 1


@way("entries: the last ones removed, the count made to fit")
def _(chance: Random, export: Export, others: Others) -> None:
    any_row(export, chance)
    del export.rows[-chance.randint(1, len(export.rows)) :]
    export.tail["count"] = len(export.rows)


@way("entries: the first ones removed, the count made to fit")
def _(chance: Random, export: Export, others: Others) -> None:
    any_row(export, chance)
    del export.rows[: chance.randint(1, len(export.rows))]
    export.tail["count"] = len(export.rows)


@way("entries: one doubled")
def _(chance: Random, export: Export, others: Others) -> None:
    row = any_row(export, chance)
    export.rows.insert(chance.randint(0, len(export.rows)), row)
    export.tail["count"] += chance.randrange(2)


@way("entries: one invented")
def _(chance: Random, export: Export, others: Others) -> None:
    row = deepcopy(any_row(export, chance))
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
    one, two = any_row(export, chance), any_row(export, chance)
    for name in ("raw", "leaf_hash", "event"):
        one[name], two[name] = two[name], one[name]


@way("entries: backwards")
def _(chance: Random, export: Export, others: Others) -> None:
    export.rows.reverse()


@way("entries: one from another lease")
def _(chance: Random, export: Export, others: Others) -> None:
    foreign = chance.choice(another(export, others, chance, same=False).rows)
    if "path" not in foreign or not export.of_lease:
        raise Unfit
    at = chance.randrange(len(export.rows))
    export.rows[at : at + chance.randrange(2)] = [foreign]


@way("entries: all of another lease")
def _(chance: Random, export: Export, others: Others) -> None:
    export.rows = another(export, others, chance, same=False).rows


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
