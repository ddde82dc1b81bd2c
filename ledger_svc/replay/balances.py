"""The batches' totals and books, folded again from the entries' events."""

from collections.abc import Sequence

from msgspec.structs import replace

from common.postgres.pool import Connection
from common.replay.bounds import Unreadable
from ledger_svc.accounting import totals
from ledger_svc.accounting.totals import Totals
from ledger_svc.contracts import envelope
from ledger_svc.contracts.envelope import Event, MalformedEvent
from ledger_svc.log import recorded_closings, repository
from ledger_svc.log.recorded_closings import Recorded
from ledger_svc.log.repository import Head
from ledger_svc.replay import recorded_log


class Sums:
    """Kept up event by event, as the writer has done it, and held against a batch where it ends."""

    def __init__(self, connection: Connection, before: Totals) -> None:
        """`before`: as of the entry before the first that is added."""
        self._connection = connection
        self._totals = before
        self._recorded = Recorded()

    async def look_up(self, some: Sequence[Event], after: int) -> None:
        """Prepare to add these, which follow entry `after`: one look-up for what they depend on."""
        try:
            self._recorded = await recorded_closings.recorded(self._connection, some, after)
        except MalformedEvent:  # an entry was made unreadable; what depends on it will differ
            self._recorded = Recorded()

    def add(self, event: Event) -> None:
        """One more, of those that were looked up. Raises MalformedEvent, and leaves it out."""
        self._totals = totals.add(self._totals, event, self._recorded.of(event))
        self._recorded.note(event)

    def differ(self, batch: Head) -> list[str]:
        """What of the totals of a batch, whose entries are all in, is not as it has to be."""
        if self._totals.books is None:  # begun where none were kept: from here on
            self._totals = replace(self._totals, books=batch.totals.books)
        return totals.differences(batch.totals, self._totals)


async def as_of(connection: Connection, seq: int) -> Sums:
    """The sums as of an entry: those of the batch that ends there or before, and what follows it.

    Raises Unreadable where an entry between cannot be read.
    """
    end = await repository.head(connection, seq)
    sums = Sums(connection, end.totals)
    try:
        async for some in recorded_log.entries(connection, end.last_seq, seq):
            read = [envelope.decode(entry.raw) for entry in some]
            await sums.look_up(read, some[0].seq - 1)
            for event in read:
                sums.add(event)
    except MalformedEvent as error:
        words = f"an entry from {end.last_seq + 1} to {seq} cannot be read: {error}; begin before it"
        raise Unreadable(words) from error
    return sums
