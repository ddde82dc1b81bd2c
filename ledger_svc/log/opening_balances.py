"""The books where no batch has kept them: made up from the entries, a bounded number at a time."""

import structlog
from msgspec.structs import replace

from common.kernel.clock import utcnow
from common.postgres.pool import Connection, Pool
from ledger_svc.accounting.account_balances import Books, post
from ledger_svc.accounting.journal import book
from ledger_svc.contracts import envelope
from ledger_svc.event_types import registry
from ledger_svc.log import recorded_closings, repository
from ledger_svc.log.repository import Head

log = structlog.get_logger()

EVENTS_AT_ONCE = 500


async def opened(connection: Connection, head: Head) -> Head:
    """The end of the log with its books; those of a log that has none yet are made up and kept, once."""
    if head.totals.books is not None:
        return head
    log.info("ledger.opening_books", entries=head.last_seq)
    books = await carried_on({}, connection, after=0, upto=head.last_seq)
    await connection.execute(
        repository.queries.insert_opening, head.last_seq, repository.encode(books), utcnow()
    )
    log.info("ledger.books_opened", entries=head.last_seq)
    return replace(head, totals=replace(head.totals, books=books))


async def carried_on(books: Books, connection: Connection | Pool, *, after: int, upto: int) -> Books:
    """The books as of entry `after`, with the entries that follow up to `upto`."""
    while rows := await connection.fetch(repository.queries.raws, after, upto, EVENTS_AT_ONCE):
        read = [envelope.decode(row["raw"]) for row in rows]
        recorded = await recorded_closings.recorded(connection, read, after)
        for event in read:
            if event.type in registry.TYPES:
                books = post(books, book(event, registry.data_of(event), recorded.of(event)))
                recorded.note(event)
        after = rows[-1]["seq"]
    return books
