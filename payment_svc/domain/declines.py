"""Why an issuer said no, and what to do about it: one table, one row per decline code.

The table is `decline_codes.csv`; docs/reference/decline-codes.md shows it. `soft` means that the same card
may well work later, `hard` that it will not. The advice is for whoever has to act:

- `retry_later`: charge the same payment method again another day
- `update_instrument`: this one will not work again; ask the customer for another
- `do_not_retry`: leave it alone until somebody has looked into it
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

NO_RECORD = "no_record"  # this project's own: the gateway has never heard of the charge

DeclineClass = Literal["soft", "hard"]
Advice = Literal["do_not_retry", "retry_later", "update_instrument"]
_Words = Annotated[str, msgspec.Meta(min_length=1)]


class Decline(msgspec.Struct, frozen=True, kw_only=True):
    """A decline as clients and events show it."""

    code: Annotated[str, Meta(description="the gateway's own word, also where the table does not know it")]
    class_: Annotated[
        DeclineClass, Meta(description="`soft`: the same card may well work later; `hard`: it will not")
    ] = msgspec.field(name="class")
    advice: Annotated[Advice, Meta(description="what to do about it")]
    retry_at: Annotated[
        str | None, Meta(description="RFC 3339 instant of the next automatic attempt; null: none is planned")
    ] = None


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a decline code."""

    code: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z_]{1,63}\Z")]
    class_: DeclineClass = msgspec.field(name="class")
    advice: Advice
    source: _Words  # who says so: the gateway's documentation, a network's response or advice code
    meaning: _Words  # for people


def read_table(path: Path) -> dict[str, Row]:
    """A table of decline codes, by code. Raises ValueError where it is not one, or a code stands twice."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = msgspec.convert(list(csv.DictReader(file)), list[Row])
    table = {row.code: row for row in rows}
    if len(table) != len(rows):
        raise ValueError(f"{path.name}: a code stands twice")
    return table


TABLE = read_table(Path(__file__).with_name("decline_codes.csv"))


def decline(code: str) -> Decline:
    """What the table says about a decline code; one that it does not know is hard and not to be retried."""
    row = TABLE.get(code)
    if row is None:  # a code that nobody has judged must never lead to charging a card again
        return Decline(code=code, class_="hard", advice="do_not_retry")
    return Decline(code=code, class_=row.class_, advice=row.advice)
