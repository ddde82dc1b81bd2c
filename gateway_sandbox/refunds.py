"""The sandbox's refunds in SQLite: plain functions on one open connection, as in `charges`."""

from __future__ import annotations

import sqlite3
import uuid

import msgspec

from gateway_sandbox.charges import KeyReused, newest, now
from gateway_sandbox.schemas import Filters, Metadata, Page, Refund, RefundRequest

SCHEMA = """
CREATE TABLE IF NOT EXISTS refunds (
    seq             INTEGER PRIMARY KEY,  -- the order in which they were made
    refund_id       TEXT    NOT NULL,
    charge_id       TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL UNIQUE,
    lease_id        TEXT    NOT NULL,
    payment_id      TEXT,                 -- null: of a payoff
    attempt_id      TEXT    NOT NULL,
    amount          INTEGER NOT NULL,     -- minor units
    currency        TEXT    NOT NULL,
    decline_code    TEXT,                 -- null: succeeded
    created_at      TEXT    NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS refunds_by_charge ON refunds (charge_id);
DROP INDEX IF EXISTS refunds_by_lease;  -- that of earlier versions, which told upper from lower case
CREATE INDEX IF NOT EXISTS refunds_of_lease ON refunds (lease_id COLLATE NOCASE, seq);
CREATE UNIQUE INDEX IF NOT EXISTS charges_by_id ON charges (charge_id);
"""
_COLUMNS = (
    "refund_id, charge_id, idempotency_key, amount, currency, decline_code, lease_id, payment_id, attempt_id,"
    " created_at"
)
_INSERT = f"INSERT INTO refunds ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_BY_KEY = f"SELECT {_COLUMNS} FROM refunds WHERE idempotency_key = ?"
_CHARGE = (
    "SELECT amount - amount_refunded"
    " - (SELECT coalesce(sum(amount), 0) FROM disputes AS d WHERE d.charge_id = charges.charge_id),"
    " currency, decline_code, payment_method FROM charges WHERE charge_id = ?"
)
_GIVE_BACK = "UPDATE charges SET amount_refunded = amount_refunded + ? WHERE charge_id = ?"

Row = tuple[str, str, str, int, str, str | None, str, str | None, str, str]


class Refunded(msgspec.Struct, frozen=True, kw_only=True):
    """A refund that is on the record, declined or not."""

    refund: Refund
    replayed: bool  # it was there before; this request changed nothing
    payment_method: str  # of the charge: it plays its part in refunds as well


def refund(book: sqlite3.Connection, key: str, request: RefundRequest) -> Refunded | KeyReused:
    """Record a refund and what became of it; or find that this key has been here before.

    It is declined where there is no such charge, or where more would be given back than is left of it.
    """
    charge = book.execute(_CHARGE, (request.charge_id,)).fetchone()
    method = charge[3] if charge else ""
    found: Row | None = book.execute(_BY_KEY, (key,)).fetchone()
    if found is not None:
        same = _request(found) == request
        return Refunded(refund=_refund(found), replayed=True, payment_method=method) if same else KeyReused()
    code = _decline_code(charge, request)
    whose = request.metadata
    row: Row = (
        f"re_{uuid.uuid4().hex}",
        request.charge_id,
        key,
        request.amount,
        request.currency,
        code,
        whose.lease_id,
        whose.payment_id,
        whose.attempt_id,
        now(),
    )
    book.execute(_INSERT, row)
    if code is None:
        book.execute(_GIVE_BACK, (request.amount, request.charge_id))
    return Refunded(refund=_refund(row), replayed=False, payment_method=method)


def look_up_refunds(book: sqlite3.Connection, filters: Filters) -> Page[Refund]:
    """The newest `limit` refunds that match every given filter, oldest of them first."""
    rows, earliest = newest(book, "refunds", _COLUMNS, filters)
    return Page(items=[_refund(row) for row in rows], earliest=earliest)


def _decline_code(charge: tuple[int, str, str | None, str] | None, request: RefundRequest) -> str | None:
    if charge is None or charge[2] is not None:
        return "charge_not_found"
    left, currency, _, _ = charge
    if request.currency != currency:
        return "currency_mismatch"
    return "refund_exceeds_charge" if request.amount > left else None


def _refund(row: Row) -> Refund:
    return Refund(
        refund_id=row[0],
        charge_id=row[1],
        idempotency_key=row[2],
        amount=row[3],
        currency=row[4],
        status="succeeded" if row[5] is None else "declined",
        decline_code=row[5],
        metadata=Metadata(lease_id=row[6], payment_id=row[7], attempt_id=row[8]),
        created_at=row[9],
    )


def _request(row: Row) -> RefundRequest:
    """The request that a row came from, for comparing it with a new one under the same key."""
    whose = Metadata(lease_id=row[6], payment_id=row[7], attempt_id=row[8])
    return RefundRequest(charge_id=row[1], amount=row[3], currency=row[4], metadata=whose)
