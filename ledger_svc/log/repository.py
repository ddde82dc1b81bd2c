"""The log in Postgres."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from common.postgres.pool import Connection, Pool, Queries
from common.web.read_your_writes import Position
from ledger_svc.accounting.account_balances import Books
from ledger_svc.accounting.totals import EMPTY, Totals
from ledger_svc.contracts import envelope
from ledger_svc.contracts.entry import Entry
from ledger_svc.contracts.envelope import Event
from ledger_svc.event_types.registry import MOVES
from ledger_svc.log.entry import correlation_of
from ledger_svc.transparency import merkle_tree, proofs
from ledger_svc.transparency.merkle_tree import Frontier, Node
from ledger_svc.transparency.proofs import Address

queries = Queries(Path(__file__).with_name("queries.sql"))

END = 2**62  # beyond every seq
ROWS_AT_ONCE = 200  # of a streamed read

encode = msgspec.json.Encoder().encode
decode_totals = msgspec.json.Decoder(Totals).decode
decode_books = msgspec.json.Decoder(Books).decode


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log ends: the last batch."""

    last_seq: int = 0  # also the tree's size
    generation: int = 1  # of the stream: one more where it was found to be another
    stream_offset: int = -1  # of the message that brought the last entry; -1: nothing was read yet
    event_id: str | None = None  # of the last entry
    root_hash: bytes = merkle_tree.EMPTY_ROOT
    totals: Totals = EMPTY
    recorded_at: datetime | None = None
    checkpoint: str | None = None  # of `last_seq` and `root_hash`, signed; None: from before there were any


class Damaged(ValueError):
    """What is stored does not fit together: it has been changed, or lost in part."""


async def head(connection: Connection | Pool, upto: int = END) -> Head:
    """The end of the log as it is now, or as it was after the last batch that ends with `upto` or before."""
    row = await connection.fetchrow(queries.last_batch, upto)
    return Head() if row is None else head_from(row)


def head_from(row: Any) -> Head:
    """The end that a batch gave the log, from the columns that the queries of batches give."""
    columns = dict(row.items())
    totals, opening = decode_totals(columns["totals"]), columns.pop("opening")
    if totals.books is None and opening is not None:
        totals = replace(totals, books=decode_books(opening))
    return Head(**columns | {"totals": totals})


async def frontier(connection: Connection, end: Head) -> Frontier:
    """The tree's right edge from its stored nodes. Raises Damaged where they do not give its root."""
    wanted = proofs.frontier(end.last_seq)
    stored = await nodes(connection, proofs.addresses(wanted))
    restored = merkle_tree.restore(end.last_seq, proofs.hashes(wanted, stored))
    if merkle_tree.root(restored) != end.root_hash:
        raise Damaged(f"the stored nodes do not give the root of {end.last_seq} entries")
    return restored


async def nodes(connection: Connection | Pool, addresses: Collection[Address]) -> dict[Address, bytes]:
    """The tree's nodes, leaf hashes (level 0) included. Raises Damaged where one of them is missing."""
    inner = [address for address in addresses if address[0] > 0]
    rows = await connection.fetch(
        queries.nodes,
        [level for level, _ in inner],
        [position for _, position in inner],
        [position + 1 for level, position in addresses if level == 0],
    )
    found = {(row["level"], row["position"]): row["hash"] for row in rows}
    if missing := [address for address in addresses if address not in found]:
        raise Damaged(f"no node is stored at (level, position) {missing[0]}")
    return found


async def keys(connection: Connection | Pool) -> list[str]:
    """The public keys that have signed checkpoints, newest first."""
    return [row["vkey"] for row in await connection.fetch(queries.keys)]


async def reached(pool: Pool, position: Position) -> bool:
    """Whether the log holds the source's event of the lease that is the last one there."""
    return bool(await pool.fetchval(queries.reached, position.lease_id, position.source, position.sequence))


async def places(
    connection: Connection, wanted: Sequence[tuple[str, str, int]]
) -> list[tuple[tuple[str, str, int], bytes | None, int]]:
    """For each (lease, source, sequence): itself, the leaf hash there, and the source's last number."""
    rows = await connection.fetch(queries.places, *zip(*wanted, strict=True))
    return [
        ((row["lease_id"], row["source"], row["sequence"]), row["leaf_hash"], row["last"]) for row in rows
    ]


async def places_of_ids(connection: Connection, event_ids: Sequence[str]) -> dict[str, tuple[str, str, int]]:
    """The (lease, source, sequence) of those of these events' ids that are in the log."""
    rows = await connection.fetch(queries.places_of_ids, event_ids)
    return {row["event_id"]: (row["lease_id"], row["source"], row["sequence"]) for row in rows}


async def closings(connection: Connection | Pool, lease_ids: Sequence[str], upto: int = END) -> list[Event]:
    """How these leases were closed before they were paid, by entry `upto`; those not closed are missing."""
    return [envelope.decode(row["raw"]) for row in await connection.fetch(queries.closings, lease_ids, upto)]


async def moves_after(
    connection: Connection | Pool, positions: Mapping[str, int], upto: int = END
) -> list[Event]:
    """What moved these leases' balances, by entry `upto` and after these numbers of the payment service."""
    rows = await connection.fetch(
        queries.moves_after, list(positions), list(positions.values()), upto, list(MOVES)
    )
    return [envelope.decode(row["raw"]) for row in rows]


async def append(
    connection: Connection, entries: Sequence[Entry], nodes: Sequence[Node], end: Head, vkey: str
) -> None:
    """Append a batch: its entries, the tree's nodes that they complete, and the new end of the log.

    `vkey` is the public key that the checkpoint of `end` is signed with. A partition has to be there for all
    of them (`make_room`). Raises asyncpg.UniqueViolationError where a place or an id is taken.
    """
    await connection.execute(
        queries.append_entries,
        [entry.seq for entry in entries],
        [entry.event_id for entry in entries],
        [entry.type for entry in entries],
        [entry.source for entry in entries],
        [entry.sequence for entry in entries],
        [entry.lease_id for entry in entries],
        [entry.occurred_at for entry in entries],
        [entry.recorded_at for entry in entries],
        [entry.raw for entry in entries],
        [entry.leaf_hash for entry in entries],
        [correlation_of(entry.raw) for entry in entries],
    )
    await connection.execute(
        queries.append_nodes,
        [node.level for node in nodes],
        [node.position for node in nodes],
        [node.hash for node in nodes],
    )
    await connection.execute(
        queries.append_batch,
        end.last_seq,
        end.stream_offset,
        end.event_id,
        end.root_hash,
        encode(end.totals),
        end.recorded_at,
        end.checkpoint,
        vkey,
        end.generation,
    )


def entry_from(row: Any) -> Entry:
    """An entry from the columns that the queries of entries give."""
    return Entry(**dict(row.items()))


async def trail(pool: Pool, lease_id: str, *, after: int = 0, upto: int = END, limit: int) -> list[Entry]:
    """Entries of a lease with after < seq ≤ upto, oldest first."""
    return [entry_from(row) for row in await pool.fetch(queries.trail, lease_id, after, upto, limit)]


async def trail_pages(pool: Pool, lease_id: str, upto: int) -> AsyncIterator[list[Entry]]:
    """All entries of a lease up to `upto`, page by page, so that a bounded number is in memory at a time."""
    after = 0
    while page := await trail(pool, lease_id, after=after, upto=upto, limit=ROWS_AT_ONCE):
        yield page
        after = page[-1].seq


async def ledger_pages(pool: Pool, upto: int) -> AsyncIterator[list[Entry]]:
    """All entries of the ledger up to `upto`, in the same way."""
    after = 0
    while rows := await pool.fetch(queries.entries_upto, after, upto, ROWS_AT_ONCE):
        yield [entry_from(row) for row in rows]
        after = rows[-1]["seq"]
