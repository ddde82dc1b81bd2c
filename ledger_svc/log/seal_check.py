"""What is looked at before anything is appended: whether the log is still the one that was sealed."""

from common.postgres.pool import Connection
from ledger_svc.log import repository
from ledger_svc.log.repository import Damaged, Head
from ledger_svc.transparency import checkpoint, signed_note
from ledger_svc.transparency.merkle_tree import Frontier
from ledger_svc.transparency.signed_note import NoteError, VerifierKey


async def verified(connection: Connection, end: Head, own: VerifierKey) -> Frontier:
    """The tree's right edge, once it is shown that the last checkpoint is of this very log.

    The log ends with its last batch, the stored nodes give the root on record, and the last checkpoint states
    that root and is signed by a known key: the writer's own, or one that it had before. Only a log in which
    nothing was ever sealed goes without. Raises Damaged where that is not so: to append would be to seal what
    somebody has made of it. (A log that was cut off at an earlier batch is whole; that it was longer, only
    somebody knows who has a later checkpoint.)
    """
    if (last := await connection.fetchval(repository.queries.last_seq) or 0) != end.last_seq:
        raise Damaged(f"the log ends with entry {last}, which is the end of no batch")
    frontier = await repository.frontier(connection, end)
    vkeys = await repository.keys(connection)
    if not vkeys:
        return frontier
    try:
        stated = checkpoint.verified(end.checkpoint or "", [own, *map(signed_note.verifier_key, vkeys)])
    except NoteError as error:
        raise Damaged(f"the last checkpoint does not verify: {error}") from error
    if stated.size != end.last_seq:
        raise Damaged(f"the last checkpoint is of {stated.size} entries, the last batch of {end.last_seq}")
    if stated.root != end.root_hash:
        raise Damaged(f"the last checkpoint has another root of {end.last_seq} entries than the tree")
    return frontier
