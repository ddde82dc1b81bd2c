"""Batches in the ledger as its writer appends and seals them, without a stream."""

from collections.abc import Sequence

from common.kernel.clock import utcnow
from common.postgres.pool import Pool
from ledger_svc.contracts import envelope
from ledger_svc.log import entry, repository
from ledger_svc.log.repository import Head
from ledger_svc.transparency import checkpoint, merkle_tree
from ledger_svc.transparency.signed_note import SigningKey


async def append(pool: Pool, raws: Sequence[bytes], key: SigningKey) -> Head:
    """Append one batch; the pool is the writer's. Gives the new end of the log."""
    async with pool.acquire() as connection, connection.transaction():
        end = await repository.head(connection)
        before = await repository.frontier(connection, end)
        entries = [
            entry.seal(envelope.decode(raw), raw, seq=end.last_seq + place, recorded_at=utcnow())
            for place, raw in enumerate(raws, start=1)
        ]
        frontier, nodes = merkle_tree.extend(before, [each.leaf_hash for each in entries])
        root = merkle_tree.root(frontier)
        head = Head(
            last_seq=frontier.size,
            stream_offset=frontier.size,
            event_id=entries[-1].event_id,
            root_hash=root,
            recorded_at=utcnow(),
            checkpoint=checkpoint.signed(key, frontier.size, root),
        )
        await repository.append(connection, entries, nodes, head, str(key.verifier))
    return head
