"""Before it goes on, the writer looks whether the log is the one that was sealed."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from common.postgres.pool import Pool, open_pool
from ledger_svc.log import repository, seal_check
from ledger_svc.log.repository import Damaged
from ledger_svc.transparency import checkpoint, signed_note
from ledger_svc.transparency.checkpoint import Checkpoint
from tests.integration.ledger_svc.test_writer import a_life
from tests.support.builders.sealed_batches import append
from tests.support.servers.database import empty, owner, pools, tampering
from tests.support.servers.servers import Servers

FIRST, SECOND, FOREIGN = (signed_note.generate("example.org/ledger-of-the-tests") for _ in range(3))
RAWS = a_life(12).raws


@pytest.fixture
async def db(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    """The owner, with the ledger empty."""
    async with owner(servers) as connection:
        await empty(connection, "ledger")
        yield connection
        await empty(connection, "ledger")


@pytest.fixture
async def pool(servers: Servers, db: asyncpg.Connection) -> AsyncIterator[Pool]:
    async with pools(servers, "ledger", role="ledger_writer") as [opened]:
        yield opened


async def verify(pool: Pool, key: signed_note.SigningKey = FIRST) -> int:
    """What the writer does before it appends; the number of entries that it would go on after."""
    async with pool.acquire() as connection:
        return (await seal_check.verified(connection, await repository.head(connection), key.verifier)).size


async def test_every_size_is_gone_on_from(pool: Pool) -> None:
    """Nothing, one entry, and every number up to some subtrees: what was sealed verifies."""
    assert await verify(pool) == 0
    for size in range(1, 21):
        await append(pool, RAWS[size - 1 : size], FIRST)
        assert await verify(pool) == size


async def test_keys_are_rotated(pool: Pool) -> None:
    """A new key goes on after the old one's checkpoint; the old public key stays, for what it has signed."""
    old = await append(pool, RAWS[:5], FIRST)
    await append(pool, RAWS[5:7], FIRST)
    assert await verify(pool, SECOND) == 7
    new = await append(pool, RAWS[7:9], SECOND)
    assert await verify(pool, SECOND) == 9
    vkeys = await repository.keys(pool)
    assert vkeys == [str(SECOND.verifier), str(FIRST.verifier)]
    known = [signed_note.verifier_key(vkey) for vkey in vkeys]
    assert [checkpoint.verified(end.checkpoint or "", known).size for end in (old, new)] == [5, 9]


# (what is done behind the writer's back to a log of 17 and 1 entries, with what, what the writer says)
BATCH = "UPDATE ledger.batches SET {} = $1 WHERE last_seq = 18"
TAMPERINGS = [
    ("UPDATE ledger.nodes SET hash = $1 WHERE level = 3 AND position = 1", bytes(32), "do not give"),
    ("DELETE FROM ledger.nodes WHERE level = 3 AND position = $1", 0, "no node"),
    ("UPDATE ledger.entries SET leaf_hash = $1 WHERE seq = 18", bytes(32), "do not give"),
    ("DELETE FROM ledger.entries WHERE seq = $1", 17, "no node"),
    ("DELETE FROM ledger.entries WHERE seq = $1", 18, "no batch"),
    ("DELETE FROM ledger.batches WHERE last_seq = $1", 18, "no batch"),
    (BATCH.format("root_hash"), bytes(32), "do not give"),
    (BATCH.format("checkpoint"), "", "no empty line"),
    (BATCH.format("checkpoint"), "by a foreign key", "none of the known keys"),
    (BATCH.format("checkpoint"), "of another size", "of 17 entries"),
    (BATCH.format("checkpoint"), "of another root", "another root"),
    (BATCH.format("checkpoint"), "for another purpose", "is signed by"),
]


async def test_a_log_that_was_tampered_with(servers: Servers, pool: Pool) -> None:
    """Nodes, leaves, roots and checkpoints that do not fit together: the writer refuses, and says what."""
    before = await append(pool, RAWS[:17], FIRST)
    root = (await append(pool, RAWS[17:18], FIRST)).root_hash
    notes = {
        "by a foreign key": checkpoint.signed(FOREIGN, 18, root),
        "of another size": before.checkpoint,
        "of another root": checkpoint.signed(FIRST, 18, bytes(32)),
        "for another purpose": FIRST.sign(Checkpoint(f"{FIRST.name}/other", 18, root).text()),
    }
    async with open_pool(servers.database_url, "ledger", name="owner", size=1) as owners:
        for change, given, says in TAMPERINGS:
            async with owners.acquire() as connection:
                undone = connection.transaction()
                await undone.start()
                async with tampering(connection):
                    await connection.execute(change, notes.get(given, given))
                with pytest.raises(Damaged, match=says):
                    await seal_check.verified(connection, await repository.head(connection), FIRST.verifier)
                await undone.rollback()
    assert await verify(pool) == 18
