"""Which entries are between bounds, for reading from the ledger itself."""

from datetime import datetime, timedelta

from common.kernel.clock import rfc3339
from common.postgres.pool import Connection
from common.replay.bounds import Bounds, Unreadable
from common.replay.progress import say
from ledger_svc.log import repository
from ledger_svc.replay import recorded_log

STREAM, LEDGER = "stream", "ledger"

_JUST = timedelta(microseconds=1)


async def seqs(connection: Connection, bounds: Bounds) -> tuple[int, int]:
    """after < seq ≤ upto: the entries between the bounds; an instant means when they were recorded.

    None (after = upto) where nothing was recorded since an instant. Raises Unreadable where there are none
    for another reason: a number beyond the last, an end before the start.
    """
    head = await repository.head(connection)
    after, upto = 0, head.last_seq
    if isinstance(bounds.start, int):
        after = max(0, bounds.start - 1)
    elif bounds.start is not None:
        after = await recorded_log.recorded_before(connection, bounds.start)
    if isinstance(bounds.end, int):
        upto = min(bounds.end, upto)
    elif bounds.end is not None:
        upto = await recorded_log.recorded_before(connection, bounds.end + _JUST)
    if isinstance(bounds.start, datetime) and after == head.last_seq:
        say(f"the ledger, whose last entry is {after}, has recorded nothing since {rfc3339(bounds.start)}")
        return after, after
    if after >= upto:
        raise Unreadable(f"the ledger, whose last entry is {head.last_seq}, has none between these bounds")
    return after, upto
