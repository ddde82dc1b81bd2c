"""A report, as JSON or for a person: its fields one a line, what is listed as a table."""

from collections.abc import Sequence
from typing import Any

import msgspec

from common.replay.shadow_schema import Sample

DIGEST_SHOWN = 16  # hex digits of a hash in a table; the JSON has them all


def show(report: msgspec.Struct, *, as_json: bool) -> None:
    """Print it on standard output."""
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
        return
    fields = {name.replace("_", " "): value for name, value in msgspec.structs.asdict(report).items()}
    width = max(map(len, fields))
    for label, value in fields.items():
        if value is None:
            continue
        for line in _lines(value):
            print(f"{label:<{width}}  {line}".rstrip())
            label = ""


def _lines(value: Any) -> Sequence[str]:
    match value:
        case bool():
            return ["yes" if value else "NO"]
        case Sample():
            more = value.count - len(value.first)
            return [str(value.count), *value.first, *([f"… and {more} more"] if more else [])]
        case msgspec.Struct():
            return [", ".join(f"{each} {name}" for name, each in msgspec.structs.asdict(value).items())]
        case dict():
            return [f"{name}: {each}" for name, each in value.items()]
        case list():
            return _table(value)
        case _:
            return [str(value)]


def _table(rows: Sequence[msgspec.Struct]) -> Sequence[str]:
    if not rows:
        return []
    dicts = [msgspec.structs.asdict(row) for row in rows]
    head = [name.replace("_", " ") for name in dicts[0]]
    cells = [[_cell(value) for value in row.values()] for row in dicts]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)) for row in [head, *cells]]
    named = [
        f"{row[0]}: {words}"
        for row, values in zip(cells, dicts, strict=True)
        for value in values.values()
        if isinstance(value, Sample)
        for words in value.first
    ]
    return [*lines, *named]


def _cell(value: Any) -> str:
    if isinstance(value, Sample):
        return str(value.count)
    if isinstance(value, bool):
        return "yes" if value else "NO"
    text = "–" if value is None else str(value)
    return text if len(text) < 64 else text[:DIGEST_SHOWN] + "…"
