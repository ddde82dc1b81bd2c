"""The anomalies over HTTP: the list, and what `/health` says of those that are open."""

from base64 import b64encode
from collections import defaultdict
from datetime import datetime
from typing import Any

from aiohttp import web
from msgspec import UNSET

from common.kernel.clock import rfc3339
from common.messaging.envelope import encode
from common.postgres.pool import Pool
from common.web import pagination, read_your_writes
from common.web.routes import Route, json_response
from common.web.validation import read_query
from ledger_svc.completeness.differences import time_of
from ledger_svc.entrypoints.http.schemas import Anomalies, AnomaliesQuery, AnomalyNote, AnomalyView
from ledger_svc.log import repository
from ledger_svc.log.anomalies import count_open, queries

ITS = "anomalies"  # the list, in its cursors


class AnomaliesApi:
    """Reads what was not as it has to be."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def routes(self) -> list[Route]:
        """The route of the list."""
        return [
            Route(
                method="GET",
                path="/api/v1/audit/anomalies",
                handler=self.anomalies,
                summary="What was not as it has to be, and whether it is healed, newest first",
                query=AnomaliesQuery,
                answers={200: ("One page", Anomalies)},
            )
        ]

    async def anomalies(self, request: web.Request) -> web.Response:
        """GET /api/v1/audit/anomalies"""
        asked = read_query(request.query, AnomaliesQuery)
        before = pagination.read_number(ITS, asked.cursor)
        await read_your_writes.wait_until_caught_up(request, self._reached)
        wanted = (before, asked.status, asked.limit + 1, asked.evidence)
        found = await self._pool.fetch(queries.anomalies, *wanted)
        rows = found[: asked.limit]
        notes: defaultdict[int, list[AnomalyNote]] = defaultdict(list)
        for row in await self._pool.fetch(queries.notes, [row["anomaly_id"] for row in rows]):
            notes[row["anomaly_id"]].append(AnomalyNote(noted_at=rfc3339(row["noted_at"]), note=row["note"]))
        items = [_view(row, notes[row["anomaly_id"]]) for row in rows]
        more = pagination.write(ITS, str(items[-1].anomaly_id)) if len(found) > asked.limit else None
        return json_response(encode(Anomalies(items=items, next_cursor=more)))

    async def _reached(self, position: read_your_writes.Position) -> bool:
        return await repository.reached(self._pool, position)

    async def notice(self) -> str | None:
        """For `/health`: the ledger can be used, and somebody has to look at it."""
        number = await count_open(self._pool)
        return f"{number} open anomal{'y' if number == 1 else 'ies'}" if number else None


def _view(row: Any, notes: list[AnomalyNote]) -> AnomalyView:
    return AnomalyView(
        anomaly_id=row["anomaly_id"],
        kind=row["kind"],
        status="open" if row["healed_at"] is None else "healed",
        noticed_at=rfc3339(row["noticed_at"]),
        healed_at=_time(row["healed_at"]),
        detail=row["detail"],
        source=row["source"],
        lease_id=row["lease_id"],
        first_sequence=row["first_sequence"],
        last_sequence=row["last_sequence"],
        since=None if row["since_id"] is None else rfc3339(time_of(row["since_id"])),
        until=None if row["until_id"] is None else rfc3339(time_of(row["until_id"])),
        event_id=row["event_id"],
        event_type=row["event_type"],
        differs=row["differs"],
        generation=row["generation"],
        stream_offset=row["stream_offset"],
        evidence_bytes=row["evidence_bytes"],
        notes=notes,
        evidence=UNSET if row["evidence"] is None else b64encode(row["evidence"]).decode("ascii"),
    )


def _time(instant: datetime | None) -> str | None:
    return None if instant is None else rfc3339(instant)
