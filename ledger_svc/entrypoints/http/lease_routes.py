"""Routes of the ledger service: reads only."""

from aiohttp import web

from common.kernel.clock import instant, rfc3339
from common.kernel.ids import canonical_uuid
from common.messaging.envelope import encode
from common.postgres.pool import Pool
from common.web import pagination, read_your_writes
from common.web.problems.details import FieldError, ProblemError, invalid
from common.web.routes import NoQuery, Route, json_response, path_id
from common.web.server import read_body
from common.web.validation import read_json, read_query
from ledger_svc.accounting.totals import success_rate
from ledger_svc.contracts.entry import Entry, EntryView, render
from ledger_svc.entrypoints.http.journal_routes import JournalApi
from ledger_svc.entrypoints.http.schemas import (
    EventQuery,
    Events,
    EventsQuery,
    Figures,
    PaymentFigures,
    Point,
    StateAtPoint,
    Timeline,
    Trail,
    TrailQuery,
    amount_figures,
    point_rules,
)
from ledger_svc.entrypoints.http.unknown_event_types import known_types_only
from ledger_svc.log import repository
from ledger_svc.views import point_in_time, timeline

queries = repository.queries

EVENTS = "events"  # the list, in its cursors

# Of one lease; twenty years of weekly instalments, each tried ten times, are fewer.
MAX_EVENTS_FOLDED = 100_000


class LedgerApi:
    """Reads from the log."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._journal = JournalApi(pool, self._all, self._reached)

    def routes(self) -> list[Route]:
        """All routes of this service."""
        lease = "/api/v1/audit/leases/{lease_id}"
        return [
            Route(
                method="GET",
                path=lease,
                handler=self.trail,
                summary="Every event of a lease, oldest first",
                query=TrailQuery,
                answers={200: ("One page", Trail)},
                problems=(404,),
            ),
            Route(
                method="GET",
                path=f"{lease}/timeline",
                handler=self.timeline,
                summary="What happened to a lease, in words",
                query=NoQuery,
                answers={200: ("Oldest first", Timeline)},
                problems=(404, 409),
            ),
            Route(
                method="POST",
                path=f"{lease}/state-at-point",
                handler=self.state_at_point,
                summary="A lease as it was at a time, or after an entry of the ledger",
                body=Point,
                answers={200: ("The state", StateAtPoint)},
                problems=(404, 409),
            ),
            Route(
                method="GET",
                path="/api/v1/audit/metrics",
                handler=self.metrics,
                summary="What the whole ledger adds up to",
                query=NoQuery,
                answers={200: ("As of the last entry", Figures)},
            ),
            Route(
                method="GET",
                path="/api/v1/audit/events",
                handler=self.events,
                summary="Every event of the ledger, oldest first",
                query=EventsQuery,
                answers={200: ("One page; `after_seq`: those after an entry", Events)},
            ),
            Route(
                method="GET",
                path="/api/v1/audit/events/{event_id}",
                handler=self.event,
                summary="One event",
                query=EventQuery,
                answers={200: ("The entry", EntryView)},
                problems=(404,),
            ),
            *self._journal.routes(),
        ]

    async def trail(self, request: web.Request) -> web.Response:
        """GET /api/v1/audit/leases/{lease_id}"""
        lease_id = path_id(request, "lease_id")
        asked = read_query(request.query, TrailQuery)
        its = f"trail of {lease_id}"
        after = pagination.read_number(its, asked.cursor)
        await read_your_writes.wait_until_caught_up(request, self._reached)
        found = await repository.trail(self._pool, lease_id, after=after, limit=asked.limit + 1)
        if not found:
            await self._require(lease_id)
        items = [render(entry, include_raw=asked.raw) for entry in found[: asked.limit]]
        more = pagination.write(its, str(items[-1].seq)) if len(found) > asked.limit else None
        return json_response(encode(Trail(lease_id=lease_id, items=items, next_cursor=more)))

    async def timeline(self, request: web.Request) -> web.Response:
        """GET /api/v1/audit/leases/{lease_id}/timeline"""
        lease_id = path_id(request, "lease_id")
        read_query(request.query, NoQuery)
        entries = await self._all(request, lease_id)
        with known_types_only():
            items = list(timeline.timeline(entries))
        return json_response(encode(Timeline(lease_id=lease_id, items=items)))

    async def state_at_point(self, request: web.Request) -> web.Response:
        """POST /api/v1/audit/leases/{lease_id}/state-at-point"""
        lease_id = path_id(request, "lease_id")
        read_query(request.query, NoQuery)
        point, _ = read_json(await read_body(request), Point, point_rules)
        as_of = None if point.as_of is None else instant(point.as_of)
        chosen = point_in_time.select(
            await self._all(request, lease_id), as_of=as_of, basis=point.basis, seq=point.seq
        )
        with known_types_only():
            state = point_in_time.snapshot(point_in_time.fold(chosen))
        if state is None:
            raise ProblemError(404, "At that point the ledger held no event of this lease.")
        return json_response(
            encode(
                StateAtPoint(
                    lease_id=lease_id,
                    as_of=None if as_of is None else rfc3339(as_of),
                    basis=point.basis,
                    seq=max(entry.seq for entry in chosen),
                    events_applied=len(chosen),
                    missing=point_in_time.missing(chosen),
                    state=state,
                )
            )
        )

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /api/v1/audit/metrics"""
        read_query(request.query, NoQuery)
        await read_your_writes.wait_until_caught_up(request, self._reached)
        end = await repository.head(self._pool)
        last = await self._pool.fetchrow(queries.last_times)
        lag_ms = (
            (last["recorded_at"] - last["occurred_at"]).total_seconds() * 1000 if last is not None else 0.0
        )
        sums = end.totals
        return json_response(
            encode(
                Figures(
                    events_total=sums.events_total,
                    leases_total=sums.leases_total,
                    last_seq=end.last_seq,
                    events_by_type=sums.events_by_type,
                    payments=PaymentFigures(
                        succeeded=sums.payments.succeeded,
                        declined=sums.payments.declined,
                        unknown=sums.payments.unknown,
                        success_rate=success_rate(sums.payments),
                    ),
                    amounts={currency: amount_figures(each) for currency, each in sums.amounts.items()},
                    ingest_lag_ms=round(lag_ms, 3),
                    tree_size=end.last_seq,
                    root_hash=end.root_hash.hex(),
                )
            )
        )

    async def events(self, request: web.Request) -> web.Response:
        """GET /api/v1/audit/events"""
        asked = read_query(request.query, EventsQuery)
        if asked.cursor is not None and asked.after_seq is not None:
            words = "give at most one of after_seq and cursor"
            raise invalid([FieldError("/after_seq", words), FieldError("/cursor", words)])
        after = asked.after_seq or pagination.read_number(EVENTS, asked.cursor)
        await read_your_writes.wait_until_caught_up(request, self._reached)
        wanted = (after, asked.type, asked.limit + 1)
        correlation_id = asked.correlation_id and canonical_uuid(asked.correlation_id)
        if asked.lease_id is not None:
            of = (canonical_uuid(asked.lease_id), correlation_id)
            rows = await self._pool.fetch(queries.events_of_lease, *wanted, *of)
        elif correlation_id is not None:
            rows = await self._pool.fetch(queries.events_of_correlation, *wanted, correlation_id)
        else:
            rows = await self._pool.fetch(queries.events, *wanted)
        items = [render(repository.entry_from(row), include_raw=asked.raw) for row in rows[: asked.limit]]
        more = pagination.write(EVENTS, str(items[-1].seq)) if len(rows) > asked.limit else None
        return json_response(encode(Events(items=items, next_cursor=more)))

    async def event(self, request: web.Request) -> web.Response:
        """GET /api/v1/audit/events/{event_id}"""
        event_id = path_id(request, "event_id")
        asked = read_query(request.query, EventQuery)
        await read_your_writes.wait_until_caught_up(request, self._reached)
        row = await self._pool.fetchrow(queries.event, event_id)
        if row is None:
            raise ProblemError(404, "The ledger holds no such event.")
        return json_response(encode(render(repository.entry_from(row), include_raw=asked.raw)))

    async def _all(self, request: web.Request, lease_id: str) -> list[Entry]:
        await read_your_writes.wait_until_caught_up(request, self._reached)
        found = await repository.trail(self._pool, lease_id, limit=MAX_EVENTS_FOLDED + 1)
        if not found:
            raise ProblemError(404, "The ledger holds no event of this lease.")
        if len(found) > MAX_EVENTS_FOLDED:
            raise ProblemError(409, f"This lease has over {MAX_EVENTS_FOLDED} events; export it instead.")
        return found

    async def _require(self, lease_id: str) -> None:
        if not await self._pool.fetchval(queries.lease_exists, lease_id):
            raise ProblemError(404, "The ledger holds no event of this lease.")

    async def _reached(self, position: read_your_writes.Position) -> bool:
        return await repository.reached(self._pool, position)
