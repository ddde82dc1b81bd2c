"""Routes of the journal and of the trial balance."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from common.kernel.clock import rfc3339
from common.messaging.envelope import encode
from common.postgres.pool import Pool
from common.web import pagination, read_your_writes
from common.web.pagination import PageQuery
from common.web.problems.details import ProblemError, unavailable
from common.web.routes import Route, json_response, path_id
from common.web.validation import read_query
from ledger_svc.accounting.account_balances import Balance, Books, Posting, post, postings, trial_balance
from ledger_svc.accounting.journal import book
from ledger_svc.contracts import envelope as events
from ledger_svc.contracts.entry import Entry
from ledger_svc.entrypoints.http.unknown_event_types import known_types_only
from ledger_svc.event_types import registry
from ledger_svc.log import opening_balances, repository
from ledger_svc.log.recorded_closings import Recorded


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What one event books."""

    seq: Annotated[int, Meta(description="of the ledger's entry")]
    event_id: str
    type: Annotated[str, Meta(description="the event's")]
    at: Annotated[str, Meta(description="RFC 3339, UTC, microseconds: when it occurred")]
    postings: Annotated[list[Posting], Meta(description="debits = credits")]


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """A lease's journal: of its events, those that book anything."""

    lease_id: Annotated[str, Meta(description="the lease, UUIDv7")]
    items: Annotated[list[JournalEntry], Meta(description="one page, oldest first")]
    balances: Annotated[
        dict[str, Balance], Meta(description="by currency, of the whole lease as of its last event")
    ]
    next_cursor: str | None


class TrialBalanceQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of the trial balance."""

    seq: Annotated[
        Annotated[int, Meta(ge=0, le=repository.END)] | None,
        Meta(description="as of this entry; null: of the last"),
    ] = None


class TrialBalance(msgspec.Struct, frozen=True, kw_only=True):
    """The trial balance of the whole ledger."""

    seq: Annotated[int, Meta(description="of the last entry that it includes")]
    balances: Annotated[dict[str, Balance], Meta(description="by currency")]


class JournalApi:
    """Reads double entry out of the log."""

    def __init__(
        self,
        pool: Pool,
        entries: Callable[[web.Request, str], Awaitable[list[Entry]]],
        reached: Callable[[read_your_writes.Position], Awaitable[bool]],
    ) -> None:
        """`entries`: all of a lease, once the request's Consistency-Token is reached; or a problem."""
        self._pool = pool
        self._entries = entries
        self._reached = reached

    def routes(self) -> list[Route]:
        """The routes of double entry."""
        return [
            Route(
                method="GET",
                path="/api/v1/audit/leases/{lease_id}/journal",
                handler=self.journal,
                summary="What a lease's events book, in double entry, and its balance on each account",
                query=PageQuery,
                answers={200: ("One page, oldest first", Journal)},
                problems=(404, 409),
            ),
            Route(
                method="GET",
                path="/api/v1/audit/trial-balance",
                handler=self.trial_balance,
                summary="Debits, credits and balance of every account, of the whole ledger",
                query=TrialBalanceQuery,
                answers={200: ("By currency, as of the last entry or an earlier one", TrialBalance)},
                problems=(404,),
            ),
        ]

    async def journal(self, request: web.Request) -> web.Response:
        """GET /api/v1/audit/leases/{lease_id}/journal"""
        lease_id = path_id(request, "lease_id")
        asked = read_query(request.query, PageQuery)
        its = f"journal of {lease_id}"
        after = pagination.read_number(its, asked.cursor)
        with known_types_only():
            items, books = _journal(await self._entries(request, lease_id))
        page = [item for item in items if item.seq > after]
        more = pagination.write(its, str(page[asked.limit - 1].seq)) if len(page) > asked.limit else None
        return json_response(
            encode(
                Journal(
                    lease_id=lease_id,
                    items=page[: asked.limit],
                    balances=trial_balance(books),
                    next_cursor=more,
                )
            )
        )

    async def trial_balance(self, request: web.Request) -> web.Response:
        """GET /api/v1/audit/trial-balance

        Batches keep the books as of their last entry; an earlier entry's balance costs at most a batch more.
        """
        asked = read_query(request.query, TrialBalanceQuery)
        await read_your_writes.wait_until_caught_up(request, self._reached)
        end = await repository.head(self._pool)
        seq = end.last_seq if asked.seq is None else min(asked.seq, end.last_seq)
        if end.totals.books is None:
            raise unavailable("The books of this ledger are being made up from its entries.", 5)
        batch = end if seq == end.last_seq else await repository.head(self._pool, seq)
        if batch.totals.books is None:
            raise ProblemError(404, f"No books were kept when entry {seq} was appended.")
        books = batch.totals.books
        if batch.last_seq < seq:
            books = await opening_balances.carried_on(books, self._pool, after=batch.last_seq, upto=seq)
        return json_response(encode(TrialBalance(seq=seq, balances=trial_balance(books))))


def _journal(entries: list[Entry]) -> tuple[list[JournalEntry], Books]:
    """The journal of all entries of a lease, in the order given."""
    books: Books = {}
    recorded = Recorded()
    items = []
    for entry in entries:
        event = events.decode(entry.raw)
        booking = book(event, registry.data_of(event), recorded.of(event))
        recorded.note(event)
        if booking is not None:
            books = post(books, booking)
            items.append(
                JournalEntry(
                    seq=entry.seq,
                    event_id=entry.event_id,
                    type=entry.type,
                    at=rfc3339(entry.occurred_at),
                    postings=postings(booking),
                )
            )
    return items, books
