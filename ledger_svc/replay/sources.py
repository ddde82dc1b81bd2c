"""Which entries are between bounds, for reading from the ledger itself."""

from datetime import timedelta

from common.db import Connection
from common.replay.bounds import Bounds, Unreadable
from ledger_svc import store
from ledger_svc.replay import record

STREAM, LEDGER = "stream", "ledger"

_JUST = timedelta(microseconds=1)


async def seqs(connection: Connection, bounds: Bounds) -> tuple[int, int]:
    """after < seq ≤ upto: the entries between the bounds; an instant means when they were recorded.

    Raises Unreadable where there are none.
    """
    head = await store.head(connection)
    after, upto = 0, head.last_seq
    if isinstance(bounds.start, int):
        after = max(0, bounds.start - 1)
    elif bounds.start is not None:
        after = await record.recorded_before(connection, bounds.start)
    if isinstance(bounds.end, int):
        upto = min(bounds.end, upto)
    elif bounds.end is not None:
        upto = await record.recorded_before(connection, bounds.end + _JUST)
    if after >= upto:
        raise Unreadable(f"the ledger, whose last entry is {head.last_seq}, has none between these bounds")
    return after, upto
