"""Batches in the ledger as its writer appends and seals them, without a stream."""

from collections.abc import Sequence

from common.clock import utcnow
from common.db import Pool
from ledger_svc import checkpoint, entry, events, merkle, store
from ledger_svc.note import SigningKey
from ledger_svc.store import Head


async def append(pool: Pool, raws: Sequence[bytes], key: SigningKey) -> Head:
    """Append one batch; the pool is the writer's. Gives the new end of the log."""
    async with pool.acquire() as connection, connection.transaction():
        end = await store.head(connection)
        before = await store.frontier(connection, end)
        entries = [
            entry.seal(events.decode(raw), raw, seq=end.last_seq + place, recorded_at=utcnow())
            for place, raw in enumerate(raws, start=1)
        ]
        frontier, nodes = merkle.extend(before, [each.leaf_hash for each in entries])
        root = merkle.root(frontier)
        head = Head(
            last_seq=frontier.size,
            stream_offset=frontier.size,
            event_id=entries[-1].event_id,
            root_hash=root,
            recorded_at=utcnow(),
            checkpoint=checkpoint.signed(key, frontier.size, root),
        )
        await store.append(connection, entries, nodes, head, str(key.verifier))
    return head
