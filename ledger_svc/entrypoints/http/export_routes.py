"""Routes of the exports: a lease's, and the whole ledger's."""

from collections.abc import AsyncGenerator, AsyncIterator

from aiohttp import web

from common.kernel.clock import utcnow
from common.postgres.pool import Pool
from common.web import read_your_writes
from common.web.problems.details import ProblemError, unavailable
from common.web.routes import Route, path_id
from common.web.streaming import stream
from common.web.validation import read_query
from ledger_svc.contracts.entry import Entry
from ledger_svc.entrypoints.http.schemas import ExportQuery
from ledger_svc.export import format as export_format
from ledger_svc.export import writer
from ledger_svc.export.format import Parts
from ledger_svc.export.writer import Export, ExportFormat, Path
from ledger_svc.log import repository
from ledger_svc.transparency import checkpoint, proofs, signed_note
from ledger_svc.transparency.checkpoint import Checkpoint
from ledger_svc.transparency.signed_note import SigningKey

BINARY = "application/octet-stream"


class Downloads:
    """Streams what was sealed by the last checkpoint, and signs what it has sent."""

    def __init__(self, pool: Pool, key: SigningKey) -> None:
        self._pool = pool
        self._key = key

    def routes(self) -> list[Route]:
        """The routes of this module."""
        return [
            Route(
                method="GET",
                path="/api/v1/audit/leases/{lease_id}/export",
                handler=self.lease,
                summary="A lease's audit trail as a download that can be verified offline",
                query=ExportQuery,
                answers={200: ("JSON, NDJSON or CSV; gzip where it is accepted", BINARY)},
                problems=(404,),
            ),
            Route(
                method="GET",
                path="/api/v1/audit/export",
                handler=self.ledger,
                summary="The whole ledger as a download that can be verified offline",
                query=ExportQuery,
                answers={200: ("JSON, NDJSON or CSV; gzip where it is accepted", BINARY)},
                problems=(404,),
            ),
        ]

    async def lease(self, request: web.Request) -> web.StreamResponse:
        """GET /api/v1/audit/leases/{lease_id}/export"""
        lease_id = path_id(request, "lease_id")
        form = read_query(request.query, ExportQuery).format
        await self._caught_up(request)
        if not await self._pool.fetchval(repository.queries.lease_exists, lease_id):
            raise ProblemError(404, "The ledger holds no event of this lease.")
        sealed, tree = await self._sealed()
        what = Export(lease_id=lease_id, exported_at=utcnow(), checkpoint=sealed)
        pages = repository.trail_pages(self._pool, lease_id, tree.size)
        entries = self._proved(pages, None if form == "csv" else tree.size)
        return await self._send(request, f"lease-{lease_id}", form, what, entries)

    async def ledger(self, request: web.Request) -> web.StreamResponse:
        """GET /api/v1/audit/export"""
        form = read_query(request.query, ExportQuery).format
        await self._caught_up(request)
        sealed, tree = await self._sealed()
        what = Export(
            lease_id=None, exported_at=utcnow(), checkpoint=sealed, parts=await self._parts(tree.size)
        )
        entries = self._proved(repository.ledger_pages(self._pool, tree.size), None)
        return await self._send(request, f"ledger-{tree.size}", form, what, entries)

    async def _send(
        self,
        request: web.Request,
        name: str,
        form: ExportFormat,
        what: Export,
        entries: AsyncIterator[tuple[Entry, Path]],
    ) -> web.StreamResponse:
        headers = {
            "Content-Type": writer.MEDIA_TYPES[form],
            "Content-Disposition": f'attachment; filename="{name}.{form}"',
        }
        return await stream(request, writer.export(form, what, entries, self._key), headers)

    async def _sealed(self) -> tuple[str, Checkpoint]:
        """The last checkpoint, as it was signed and as it reads. Raises ProblemError 404, 503."""
        end = await repository.head(self._pool)
        if end.checkpoint is None:
            if end.last_seq == 0:
                raise ProblemError(404, "The ledger holds no event yet.")
            raise unavailable("The ledger is not sealed yet; its next event will be.")
        return end.checkpoint, checkpoint.parse(signed_note.parse(end.checkpoint).text)

    async def _proved(
        self, pages: AsyncIterator[list[Entry]], size: int | None
    ) -> AsyncGenerator[tuple[Entry, Path], None]:
        """Entry after entry, with its path in the tree of `size`; what a page's paths need is one query."""
        async for page in pages:
            if size is None:
                for entry in page:
                    yield entry, None
                continue
            paths = [proofs.inclusion(entry.seq - 1, size) for entry in page]
            needed = set().union(*map(proofs.addresses, paths))
            nodes = await repository.nodes(self._pool, needed)
            for entry, path in zip(page, paths, strict=True):
                yield entry, proofs.hashes(path, nodes)

    async def _parts(self, size: int) -> Parts:
        stretches = export_format.stretches(size)
        nodes = await repository.nodes(self._pool, proofs.addresses(stretches))
        hashes = [each.hex() for each in proofs.hashes(stretches, nodes)]
        return Parts(level=export_format.level_of(size), hashes=hashes)

    async def _caught_up(self, request: web.Request) -> None:
        async def reached(position: read_your_writes.Position) -> bool:
            return await repository.reached(self._pool, position)

        await read_your_writes.wait_until_caught_up(request, reached)
