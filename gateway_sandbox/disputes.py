"""The sandbox's disputes in SQLite, and the notices of them that are still to be sent; as in `charges`."""

from __future__ import annotations

import sqlite3
import time
import uuid

import msgspec

from gateway_sandbox.charges import now
from gateway_sandbox.schemas import Dispute, DisputeRequest
from gateway_sandbox.stripe_units import in_stripe_units

SCHEMA = """
CREATE TABLE IF NOT EXISTS disputes (
    seq         INTEGER PRIMARY KEY,
    dispute_id  TEXT    NOT NULL,
    charge_id   TEXT    NOT NULL,
    amount      INTEGER NOT NULL,  -- minor units
    currency    TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    created_at  TEXT    NOT NULL,
    UNIQUE (charge_id, amount)
) STRICT;
CREATE TABLE IF NOT EXISTS notices (
    seq         INTEGER PRIMARY KEY,
    body        BLOB    NOT NULL,  -- the same bytes each time it is sent
    sends       INTEGER NOT NULL,  -- so far
    send_at     REAL               -- Unix time from which on it is to be sent; null: taken, or given up
) STRICT;
CREATE INDEX IF NOT EXISTS notices_to_send ON notices (send_at) WHERE send_at IS NOT NULL;
"""
_COLUMNS = "dispute_id, charge_id, amount, currency, reason, created_at"
_KNOWN = f"SELECT {_COLUMNS} FROM disputes WHERE charge_id = ? AND amount = ?"
_INSERT = f"INSERT INTO disputes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
_LEFT = (
    "SELECT amount - amount_refunded"
    " - (SELECT coalesce(sum(amount), 0) FROM disputes AS d WHERE d.charge_id = charges.charge_id), currency"
    " FROM charges WHERE charge_id = ? AND decline_code IS NULL"
)
_DUE = "SELECT seq, body, sends FROM notices WHERE send_at <= ? ORDER BY send_at LIMIT ?"


class Disputed(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute that is on the record."""

    dispute: Dispute
    replayed: bool  # it was there before; this request changed nothing


class DisputeRefused(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was recorded."""

    status: int
    code: str
    message: str


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A notice that is to be sent."""

    seq: int
    body: bytes
    sends: int  # so far


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent now, and when to look again."""

    notices: list[Waiting]
    next_at: float | None  # Unix time of the first that is to be sent later; null: there is none


def dispute(book: sqlite3.Connection, charge_id: str, request: DisputeRequest) -> Disputed | DisputeRefused:
    """Record a dispute with the notice that tells of it; the same amount of a charge is disputed once."""
    row = book.execute(_KNOWN, (charge_id, request.amount)).fetchone()
    if row is not None:
        return Disputed(dispute=_dispute(row), replayed=True)
    charge = book.execute(_LEFT, (charge_id,)).fetchone()
    if charge is None:
        return DisputeRefused(status=404, code="charge_not_found", message="no such charge has succeeded")
    left, currency = charge
    if request.amount > left:
        return DisputeRefused(
            status=409, code="dispute_exceeds_charge", message=f"only {left} is left of this charge"
        )
    amount = in_stripe_units(request.amount, currency)
    if amount is None:
        return DisputeRefused(
            status=422, code="amount_invalid", message=f"webhooks cannot tell of this amount of {currency}"
        )
    row = (f"dp_{uuid.uuid4().hex}", charge_id, request.amount, currency, request.reason, now())
    book.execute(_INSERT, row)
    made = _dispute(row)
    body = _event(made, amount)
    book.execute("INSERT INTO notices (body, sends, send_at) VALUES (?, 0, ?)", (body, time.time()))
    return Disputed(dispute=made, replayed=False)


def due(book: sqlite3.Connection, at: float, limit: int) -> Due:
    """The oldest `limit` notices that are to be sent by a Unix time."""
    rows = book.execute(_DUE, (at, limit)).fetchall()
    (next_at,) = book.execute("SELECT min(send_at) FROM notices WHERE send_at > ?", (at,)).fetchone()
    return Due(notices=[Waiting(seq=row[0], body=row[1], sends=row[2]) for row in rows], next_at=next_at)


def sent(book: sqlite3.Connection, seq: int, again_at: float | None) -> None:
    """Note that a notice was sent, and when it is to be sent again, if at all."""
    book.execute("UPDATE notices SET sends = sends + 1, send_at = ? WHERE seq = ?", (again_at, seq))


def _dispute(row: tuple[str, str, int, str, str, str]) -> Dispute:
    return Dispute(
        dispute_id=row[0],
        charge_id=row[1],
        amount=row[2],
        currency=row[3],
        reason=row[4],
        created_at=row[5],
    )


def _event(made: Dispute, amount: int) -> bytes:
    """What is told, in the shape of Stripe's events; `amount` in Stripe's units."""
    return msgspec.json.encode(
        {
            "id": f"evt_{uuid.uuid4().hex}",
            "object": "event",
            "type": "charge.dispute.created",
            "created": int(time.time()),
            "data": {
                "object": {
                    "id": made.dispute_id,
                    "object": "dispute",
                    "amount": amount,
                    "currency": made.currency.lower(),
                    "charge": made.charge_id,
                    "reason": made.reason,
                    "status": "needs_response",
                    "metadata": {},
                }
            },
        }
    )
