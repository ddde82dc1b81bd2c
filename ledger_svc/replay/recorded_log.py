"""What is on record, read in order and in bounded pieces."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from common.postgres.pool import Connection, Queries
from common.replay.bounds import Unreadable
from ledger_svc.contracts.entry import Entry
from ledger_svc.log import repository
from ledger_svc.log.message_decoder import Place
from ledger_svc.log.repository import END, Head, entry_from, head_from
from ledger_svc.transparency import checkpoint, merkle_tree, proofs, signed_note
from ledger_svc.transparency.merkle_tree import Frontier
from ledger_svc.transparency.signed_note import NoteError

queries = Queries(Path(__file__).with_name("queries.sql"))

ENTRIES_AT_ONCE = 2_000
BATCHES_AT_ONCE = 1_000


class Stored(NamedTuple):
    """What stands at a place."""

    seq: int
    raw: bytes
    leaf_hash: bytes


async def at_places(connection: Connection, places: Sequence[Place]) -> dict[Place, Stored]:
    """What stands at these places, in one query; places where nothing does are missing."""
    if not places:
        return {}
    rows = await connection.fetch(queries.at_places, *zip(*places, strict=True))
    return {
        (row["lease_id"], row["source"], row["sequence"]): Stored(row["seq"], row["raw"], row["leaf_hash"])
        for row in rows
    }


async def numbers_at(connection: Connection, places: Sequence[Place]) -> dict[Place, int]:
    """The numbers of the entries at these places."""
    rows = await connection.fetch(queries.numbers_at, *zip(*places, strict=True)) if places else []
    return {(row["lease_id"], row["source"], row["sequence"]): row["seq"] for row in rows}


async def entries(connection: Connection, after: int, upto: int) -> AsyncIterator[list[Entry]]:
    """Entries with after < seq ≤ upto in order, some at a time."""
    while rows := await connection.fetch(queries.entries, after, upto, ENTRIES_AT_ONCE):
        yield [entry_from(row) for row in rows]
        after = rows[-1]["seq"]


async def astray(connection: Connection, after: int, upto: int) -> list[int]:
    """Entries with after < seq ≤ upto that are not found by their lease, id, correlation or as a closing."""
    return [row["seq"] for row in await connection.fetch(queries.astray, after, upto)]


async def references(connection: Connection, after: int, upto: int) -> tuple[int, int, int]:
    """How often entries with after < seq ≤ upto can be found by a lease, by an id, and by a correlation."""
    row = await connection.fetchrow(queries.references, after, upto)
    return row["by_lease"], row["by_id"], row["by_correlation"]


async def entries_of(
    connection: Connection, lease_id: str, after: int, upto: int
) -> AsyncIterator[list[Entry]]:
    """The same of one lease."""
    while found := await repository.trail(
        connection, lease_id, after=after, upto=upto, limit=ENTRIES_AT_ONCE
    ):
        yield found
        after = found[-1].seq


async def numbered(connection: Connection, seqs: Sequence[int]) -> list[Entry]:
    """The entries with these numbers."""
    return [entry_from(row) for row in await connection.fetch(queries.numbered, seqs)]


async def by_lease(connection: Connection, upto: int) -> AsyncIterator[list[Entry]]:
    """Each lease's entries up to one, lease by lease; in a transaction."""
    theirs: list[Entry] = []
    async for row in connection.cursor(queries.by_lease, upto, prefetch=ENTRIES_AT_ONCE):
        if theirs and theirs[0].lease_id != row["lease_id"]:
            yield theirs
            theirs = []
        theirs.append(entry_from(row))
    if theirs:
        yield theirs


async def batches(connection: Connection, after: int, upto: int) -> AsyncIterator[Head]:
    """The ends that the log had, after < last_seq ≤ upto, in order."""
    while rows := await connection.fetch(queries.batches, after, upto, BATCHES_AT_ONCE):
        for row in rows:
            yield head_from(row)
        after = rows[-1]["last_seq"]


async def batches_back(connection: Connection, before: int = END) -> AsyncIterator[Head]:
    """The ends that the log had before one, the newest first."""
    while rows := await connection.fetch(queries.batches_before, before, BATCHES_AT_ONCE):
        for row in rows:
            yield head_from(row)
        before = rows[-1]["last_seq"]


async def recorded_before(connection: Connection, instant: datetime) -> int:
    """The number of the last entry that was recorded before an instant; 0 where there is none."""
    return await connection.fetchval(queries.recorded_before, instant) or 0


async def nodes(
    connection: Connection, addresses: Sequence[tuple[int, int]]
) -> Mapping[tuple[int, int], bytes]:
    """The stored hashes of the tree's nodes at these (level, position), as far as there are any."""
    levels, positions = zip(*addresses, strict=True) if addresses else ((), ())
    rows = await connection.fetch(queries.nodes, levels, positions)
    return {(row["level"], row["position"]): row["hash"] for row in rows}


async def frontier(connection: Connection, size: int) -> Frontier:
    """The right edge of the tree of the first `size` entries. Raises Unreadable where nodes are missing."""
    wanted = proofs.frontier(size)
    try:
        stored = await repository.nodes(connection, proofs.addresses(wanted))
    except repository.Damaged as error:
        raise Unreadable(f"the tree of {size} entries cannot be read: {error}") from error
    return merkle_tree.restore(size, proofs.hashes(wanted, stored))


async def root(connection: Connection, size: int) -> bytes | None:
    """The root hash that the stored nodes give for the first `size` entries; None where some are missing."""
    try:
        return merkle_tree.root(await frontier(connection, size))
    except Unreadable:
        return None


async def stated_root(connection: Connection, head: Head) -> bytes | None:
    """The root that the log's end is known by: its signed checkpoint's; None where that does not verify.

    That of the batch where nothing was signed yet.
    """
    if head.checkpoint is None:
        return head.root_hash
    known = [signed_note.verifier_key(vkey) for vkey in await repository.keys(connection)]
    try:
        stated = checkpoint.verified(head.checkpoint, known)
    except NoteError:
        return None
    return stated.root if stated.size == head.last_seq else None
