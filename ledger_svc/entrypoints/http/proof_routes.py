"""Routes for those who do not want to trust this service: checkpoints, public keys, proofs.

Everything here can be checked without it: a checkpoint by the public key, a proof by the hashes alone (RFC
9162, sections 2.1.3.2 and 2.1.4.2).
"""

from functools import partial
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from common.kernel.ids import canonical_uuid
from common.messaging.envelope import encode
from common.postgres.pool import Pool
from common.web import read_your_writes
from common.web.problems.details import FieldError, ProblemError, invalid
from common.web.routes import NoQuery, Route, json_response
from common.web.validation import read_query
from ledger_svc.log import repository
from ledger_svc.transparency import proofs
from ledger_svc.transparency.hash_cache import HashCache
from ledger_svc.transparency.proofs import Stretch
from ledger_svc.transparency.signed_note import SigningKey

queries = repository.queries

TEXT = "text/plain"


class CheckpointQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of a checkpoint."""

    size: Annotated[
        Annotated[int, Meta(ge=1, le=repository.END)] | None, Meta(description="the newest one, unless given")
    ] = None


class InclusionQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of an inclusion proof."""

    event_id: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    tree_size: Annotated[
        Annotated[int, Meta(ge=1, le=repository.END)] | None, Meta(description="that of now, unless given")
    ] = None


class ConsistencyQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of a consistency proof."""

    first: Annotated[int, Meta(ge=0, le=repository.END)]
    second: Annotated[
        Annotated[int, Meta(ge=0, le=repository.END)] | None,
        Meta(description="the size of now, unless given"),
    ] = None


class Inclusion(msgspec.Struct, frozen=True, kw_only=True):
    """That an entry is in the tree. Hashes are lower-case hex."""

    leaf_index: Annotated[int, Meta(description="the entry's seq - 1")]
    tree_size: int
    leaf_hash: str
    root_hash: Annotated[str, Meta(description="of the tree of that size")]
    path: Annotated[list[str], Meta(description="from the leaf to the root")]


class Consistency(msgspec.Struct, frozen=True, kw_only=True):
    """That a tree is the beginning of a larger one. Hashes are lower-case hex."""

    first: Annotated[int, Meta(description="size")]
    second: Annotated[int, Meta(description="size")]
    first_root: str
    second_root: str
    path: Annotated[list[str], Meta(description="empty where both are the same, or the first has no leaves")]


class ProofApi:
    """Serves what the writer has signed and stored; it signs nothing and computes only what anybody could."""

    def __init__(self, pool: Pool, key: SigningKey) -> None:
        self._pool = pool
        self._key = key  # the one of now, which may not have signed anything yet
        self._kept = HashCache(partial(repository.nodes, pool))

    def routes(self) -> list[Route]:
        """The routes of this module."""
        proof = "/api/v1/audit/proofs"
        return [
            Route(
                method="GET",
                path="/api/v1/audit/checkpoint",
                handler=self.checkpoint,
                summary="The signed tree head, as a C2SP checkpoint",
                query=CheckpointQuery,
                answers={200: ("Origin, size and root hash, signed (Ed25519)", TEXT)},
                problems=(404,),
            ),
            Route(
                method="GET",
                path="/api/v1/audit/public-key",
                handler=self.public_key,
                summary="The keys that checkpoints verify with",
                query=NoQuery,
                answers={200: ("One vkey a line, the newest first", TEXT)},
            ),
            Route(
                method="GET",
                path=f"{proof}/inclusion",
                handler=self.inclusion,
                summary="Proof that an event is in the ledger",
                query=InclusionQuery,
                answers={200: ("The path of RFC 9162, 2.1.3", Inclusion)},
                problems=(404,),
            ),
            Route(
                method="GET",
                path=f"{proof}/consistency",
                handler=self.consistency,
                summary="Proof that the ledger has only been appended to",
                query=ConsistencyQuery,
                answers={200: ("The path of RFC 9162, 2.1.4", Consistency)},
            ),
        ]

    async def checkpoint(self, request: web.Request) -> web.Response:
        """GET /api/v1/audit/checkpoint"""
        size = read_query(request.query, CheckpointQuery).size
        await self._caught_up(request)
        if size is None:
            text = await self._pool.fetchval(queries.last_checkpoint)
        else:
            text = await self._pool.fetchval(queries.checkpoint_of, size)
        if text is None:
            raise ProblemError(404, "No checkpoint was made at that size; the newest is without size=.")
        return web.Response(text=text, content_type=TEXT)

    async def public_key(self, request: web.Request) -> web.Response:
        """GET /api/v1/audit/public-key"""
        read_query(request.query, NoQuery)
        await self._caught_up(request)
        vkeys = await repository.keys(self._pool)
        own = str(self._key.verifier)
        if own not in vkeys:
            vkeys.insert(0, own)
        return web.Response(text="".join(f"{vkey}\n" for vkey in vkeys), content_type=TEXT)

    async def inclusion(self, request: web.Request) -> web.Response:
        """GET /api/v1/audit/proofs/inclusion"""
        asked = read_query(request.query, InclusionQuery)
        event_id = canonical_uuid(asked.event_id)
        if event_id is None:
            raise invalid([FieldError("/event_id", "must be a UUID")])
        await self._caught_up(request)
        seq = await self._pool.fetchval(queries.seq_of, event_id)
        if seq is None:
            raise ProblemError(404, "The ledger holds no such event.")
        tree, size = await self._size_asked("/tree_size", asked.tree_size, least=seq)
        leaf, root, *path = await self._hashes(
            tree, ((0, seq - 1),), proofs.root(size), *proofs.inclusion(seq - 1, size)
        )
        return json_response(
            encode(Inclusion(leaf_index=seq - 1, tree_size=size, leaf_hash=leaf, root_hash=root, path=path))
        )

    async def consistency(self, request: web.Request) -> web.Response:
        """GET /api/v1/audit/proofs/consistency"""
        asked = read_query(request.query, ConsistencyQuery)
        await self._caught_up(request)
        tree, second = await self._size_asked("/second", asked.second, least=0)
        if asked.first > second:
            raise invalid([FieldError("/first", f"must be at most {second}, the second size")])
        first_root, second_root, *path = await self._hashes(
            tree, proofs.root(asked.first), proofs.root(second), *proofs.consistency(asked.first, second)
        )
        return json_response(
            encode(
                Consistency(
                    first=asked.first,
                    second=second,
                    first_root=first_root,
                    second_root=second_root,
                    path=path,
                )
            )
        )

    async def _size_asked(self, field: str, asked: int | None, *, least: int) -> tuple[int, int]:
        """Which tree it is, and the size asked for, that of now where none was.

        Raises ProblemError 422 for a size not to be had.
        """
        tree, now = 0, 0
        if row := await self._pool.fetchrow(queries.size):
            tree, now = row["batches"], row["last_seq"]
        size = now if asked is None else asked
        if not least <= size <= now:
            raise invalid([FieldError(field, f"must be from {least} to {now}, the ledger's size")])
        return tree, size

    async def _hashes(self, tree: int, *stretches: Stretch) -> list[str]:
        """The hash of each in hex."""
        return [digest.hex() for digest in await self._kept.of(tree, *stretches)]

    async def _caught_up(self, request: web.Request) -> None:
        async def reached(position: read_your_writes.Position) -> bool:
            return await repository.reached(self._pool, position)

        await read_your_writes.wait_until_caught_up(request, reached)
