"""A ledger as its writer leaves it, filled in one go: for tests that need many entries, and no stream."""

from collections.abc import Sequence

import asyncpg

from ledger_svc.accounting.totals import Totals
from ledger_svc.contracts.entry import Entry
from ledger_svc.log import repository
from ledger_svc.transparency import checkpoint, merkle_tree
from ledger_svc.transparency.signed_note import SigningKey
from tests.support.builders.event_mixes import record
from tests.support.servers.apis import LEDGER_KEY

BATCH = 500  # entries of one checkpoint


async def fill(
    connection: asyncpg.Connection, raws: Sequence[bytes], key: SigningKey = LEDGER_KEY
) -> list[Entry]:
    """Append these events to an empty ledger; the connection is its owner's."""
    entries = record(raws)
    frontier, nodes, batches = merkle_tree.EMPTY, [], []
    for start in range(0, len(entries), BATCH):
        batch = entries[start : start + BATCH]
        frontier, completed = merkle_tree.extend(frontier, [entry.leaf_hash for entry in batch])
        nodes += completed
        root, last = merkle_tree.root(frontier), batch[-1]
        sealed = checkpoint.signed(key, frontier.size, root)
        totals = repository.encode(Totals(events_total=frontier.size)).decode()
        batches.append((last.seq, last.seq, last.event_id, root, totals, last.recorded_at, sealed))
    columns = ("seq", "event_id", "type", "source", "sequence", "lease_id", "occurred_at", "recorded_at")
    rows = [tuple(getattr(entry, name) for name in (*columns, "raw", "leaf_hash")) for entry in entries]
    await _copy(connection, "entries", (*columns, "raw", "leaf_hash"), rows)
    places = [(entry.lease_id, entry.seq, entry.sequence, entry.source) for entry in entries]
    await _copy(connection, "places", ("lease_id", "seq", "sequence", "source"), places)
    ids = [(entry.event_id, entry.seq) for entry in entries]
    await _copy(connection, "event_ids", ("event_id", "seq"), ids)
    await _copy(connection, "nodes", ("level", "position", "hash"), nodes)
    names = ("last_seq", "stream_offset", "event_id", "root_hash", "totals", "recorded_at", "checkpoint")
    await _copy(connection, "batches", names, batches)
    await _copy(connection, "keys", ("vkey", "first_size"), [(str(key.verifier), batches[0][0])])
    return entries


async def _copy(
    connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> None:
    await connection.copy_records_to_table(table, schema_name="ledger", columns=columns, records=rows)
