"""The sandbox's charges in SQLite: its tables, and plain functions on one open connection.

All of it runs on the record's own thread, inside the transaction that the record has begun; so "look, then
insert" cannot be overtaken by another charge.
"""

from __future__ import annotations

import sqlite3
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway_sandbox.payment_methods import decline_code
from gateway_sandbox.schemas import Charge, ChargeRequest, Filters, Metadata, Page

_SCHEMA = """
CREATE TABLE IF NOT EXISTS charges (
    seq             INTEGER PRIMARY KEY,  -- the order in which they were taken
    charge_id       TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL UNIQUE,
    lease_id        TEXT    NOT NULL,
    payment_id      TEXT,                 -- null: a payoff
    attempt_id      TEXT    NOT NULL,
    payment_method  TEXT    NOT NULL,
    amount          INTEGER NOT NULL,     -- minor units
    currency        TEXT    NOT NULL,
    amount_refunded INTEGER NOT NULL CHECK (amount_refunded BETWEEN 0 AND amount), -- minor units
    decline_code    TEXT,                 -- null: succeeded
    created_at      TEXT    NOT NULL
) STRICT;
DROP INDEX IF EXISTS charges_by_lease;  -- those of earlier versions, which told upper from lower case
DROP INDEX IF EXISTS charges_by_payment;
DROP INDEX IF EXISTS charges_by_attempt;
CREATE INDEX IF NOT EXISTS charges_of_lease   ON charges (lease_id COLLATE NOCASE, seq);
CREATE INDEX IF NOT EXISTS charges_of_payment ON charges (payment_id COLLATE NOCASE, seq);
CREATE INDEX IF NOT EXISTS charges_of_attempt ON charges (attempt_id COLLATE NOCASE, seq);
"""
_COLUMNS = (
    "charge_id, idempotency_key, amount, currency, amount_refunded, decline_code, lease_id, payment_id,"
    " attempt_id, created_at, payment_method"
)
_INSERT = f"INSERT INTO charges ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_DISPUTED = "(SELECT coalesce(sum(amount), 0) FROM disputes AS d WHERE d.charge_id = charges.charge_id)"
_SHOWN = f"{_COLUMNS}, {_DISPUTED}"
_BY_KEY = f"SELECT {_SHOWN} FROM charges WHERE idempotency_key = ?"
# `IS`, because a payoff has no payment_id: its declines are counted per lease.
_EARLIER_DECLINES = (
    "SELECT count(*) FROM charges"
    " WHERE lease_id = ? COLLATE NOCASE AND payment_id IS ? COLLATE NOCASE AND payment_method = ?"
    " AND decline_code IS NOT NULL"
)

Row = tuple[str, str, int, str, int, str | None, str, str | None, str, str, str, int]


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A charge that is on the record, declined or not."""

    charge: Charge
    replayed: bool  # it was there before; this request changed nothing


class KeyReused(msgspec.Struct, frozen=True, kw_only=True):
    """Refused: the idempotency key belongs to another request. Nothing was recorded."""


def now() -> str:
    """This instant as the record keeps it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def open_book(path: str, *more: str) -> sqlite3.Connection:
    """Open the record, making it if it is new; `more`: what else it holds, as SQL.

    Transactions are begun and committed by the caller.
    """
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a commit has reached the disk before it is answered
    for schema in (_SCHEMA, *more):
        connection.executescript(schema)
    return connection


def take(book: sqlite3.Connection, key: str, request: ChargeRequest) -> Taken | KeyReused:
    """Record a charge and what became of it; or find that this key has been here before."""
    found: Row | None = book.execute(_BY_KEY, (key,)).fetchone()
    if found is not None:
        same = _request(found) == request
        return Taken(charge=_charge(found), replayed=True) if same else KeyReused()
    whose = request.metadata
    (declines,) = book.execute(
        _EARLIER_DECLINES, (whose.lease_id, whose.payment_id, request.payment_method)
    ).fetchone()
    row: Row = (
        f"ch_{uuid.uuid4().hex}",
        key,
        request.amount,
        request.currency,
        0,
        decline_code(request.payment_method, declines),
        whose.lease_id,
        whose.payment_id,
        whose.attempt_id,
        now(),
        request.payment_method,
        0,
    )
    book.execute(_INSERT, row[:-1])
    return Taken(charge=_charge(row), replayed=False)


def look_up(book: sqlite3.Connection, filters: Filters) -> Page[Charge]:
    """The newest `limit` charges that match every given filter, oldest of them first."""
    rows, earliest = newest(book, "charges", _SHOWN, filters)
    return Page(items=[_charge(row) for row in rows], earliest=earliest)


# What the fields of a filter ask of a row: never anything that a client sent.
_FILTERS = {
    "payment_id": "payment_id = ? COLLATE NOCASE",
    "lease_id": "lease_id = ? COLLATE NOCASE",
    "attempt_id": "attempt_id = ? COLLATE NOCASE",
    "idempotency_key": "idempotency_key = ?",
    "charge_id": "charge_id = ?",
    "before": "seq < ?",
}


def newest(
    book: sqlite3.Connection, table: str, columns: str, filters: Filters
) -> tuple[list[Any], int | None]:
    """The newest `limit` rows of a table that match, oldest first; and the first one's seq, if more match."""
    given = {name: value for name in _FILTERS if (value := getattr(filters, name)) is not None}
    where = " AND ".join(_FILTERS[name] for name in given) or "TRUE"
    query = f"SELECT {columns}, seq FROM {table} WHERE {where} ORDER BY seq DESC LIMIT ?"
    rows = book.execute(query, (*given.values(), filters.limit + 1)).fetchall()
    page = rows[filters.limit - 1 :: -1] if len(rows) > filters.limit else rows[::-1]
    return page, page[0][-1] if len(rows) > filters.limit else None


def _charge(row: Row) -> Charge:
    return Charge(
        charge_id=row[0],
        idempotency_key=row[1],
        amount=row[2],
        currency=row[3],
        amount_refunded=row[4],
        disputed=row[11],
        status="succeeded" if row[5] is None else "declined",
        decline_code=row[5],
        metadata=Metadata(lease_id=row[6], payment_id=row[7], attempt_id=row[8]),
        created_at=row[9],
    )


def _request(row: Row) -> ChargeRequest:
    """The request that a row came from, for comparing it with a new one under the same key."""
    whose = Metadata(lease_id=row[6], payment_id=row[7], attempt_id=row[8])
    return ChargeRequest(amount=row[2], currency=row[3], payment_method=row[10], metadata=whose)
