"""`replay rebuild`: a shadow ledger, held against the live one, and put in its place where that is asked for.

It may take the live one's place only if it is the same log: as many entries, and the root that is on record.
Any other would contradict what was said of the log before. The live *entries* need not be the same: that is
what a rebuild from the stream is for: entries that were changed behind the writer's back.
"""

from datetime import datetime
from hashlib import sha256

import msgspec

from common.kernel.clock import utcnow
from common.postgres.pool import Connection, connect
from common.replay.bounds import Bounds, Unreadable
from common.replay.progress import say
from common.replay.shadow_schema import Sample, made
from ledger_svc.log import repository
from ledger_svc.log.repository import Head
from ledger_svc.replay import recorded_log, state_digests
from ledger_svc.replay.bounds import STREAM
from ledger_svc.replay.shadow_ledger import LIVE, MIGRATIONS, SHADOW, ShadowLedger
from ledger_svc.replay.state_digests import Leases
from ledger_svc.replay.switch_over import switch, writer_waits


class Row(msgspec.Struct, frozen=True):
    """One thing in both."""

    what: str
    live: str
    rebuilt: str
    same: bool


class Rebuilt(msgspec.Struct, kw_only=True):
    """What came of it."""

    schema: str
    source: str
    batches: int  # the live ledger's
    other_batches: Sample  # of them, those that came out otherwise: by root, totals or number of entries
    not_in_ledger: Sample  # events that are in the stream only
    not_in_stream: Sample  # entries that are in the ledger only
    compared: list[Row]
    different_leases: Sample
    same: bool
    switched: bool = False
    live_ledger_is_now: str | None = None  # the schema that the one in use until then is kept in


async def rebuild(
    database_url: str, amqp_url: str, source: str, bounds: Bounds, *, switch_to_it: bool
) -> Rebuilt:
    """Build, compare and perhaps switch. Raises Unreadable."""
    async with (
        connect(database_url, LIVE, name="replay") as live,
        made(database_url, LIVE, SHADOW, MIGRATIONS) as shadow_db,
    ):
        end = await _end(live, bounds, source)
        shadow = ShadowLedger(live, shadow_db, amqp_url if source == STREAM else None)
        await shadow.extend(end)
        say("comparing all leases")
        leases = await state_digests.compare(live, end.last_seq, shadow_db, shadow.built.head.last_seq)
        report = _report(shadow, end, *leases, source)
        if switch_to_it:
            await _switch(shadow, report, live, shadow_db)
        await shadow_db.execute(recorded_log.queries.drop_staged)
    return report


async def _switch(shadow: ShadowLedger, report: Rebuilt, live: Connection, shadow_db: Connection) -> None:
    async with writer_waits(live, shadow_db):
        end = await repository.head(live)
        await shadow.extend(end)  # what was recorded meanwhile
        if (shadow.built.head.last_seq, shadow.built.head.root_hash) != (
            end.last_seq,
            await recorded_log.stated_root(live, end),
        ):
            say("not switched: what was built is not the log whose root is on record")
            return
        await shadow_db.execute(recorded_log.queries.drop_staged)
        report.live_ledger_is_now = await switch(shadow_db, utcnow())
        report.switched, report.schema = True, LIVE


async def _end(live: Connection, bounds: Bounds, source: str) -> Head:
    """The last batch within the bounds."""
    async for batch in recorded_log.batches_back(live):
        if isinstance(bounds.end, datetime):
            within = batch.recorded_at is not None and batch.recorded_at <= bounds.end
        else:
            within = (batch.stream_offset if source == STREAM else batch.last_seq) <= bounds.last
        if within:
            return batch
    raise Unreadable("the ledger has no batch that ends within these bounds")


def _report(
    shadow: ShadowLedger, end: Head, leases: Leases, rebuilt: Leases, different: Sample, source: str
) -> Rebuilt:
    built = shadow.built
    rows = [
        _row("last entry", str(end.last_seq), str(built.head.last_seq)),
        _row("root hash", end.root_hash.hex(), built.head.root_hash.hex()),
        _row("totals", _digest(end.totals), _digest(built.head.totals)),
        _row("leases", str(leases.count), str(rebuilt.count)),
        _row("their events", leases.events.hexdigest(), rebuilt.events.hexdigest()),
        _row("their states", leases.states.hexdigest(), rebuilt.states.hexdigest()),
    ]
    return Rebuilt(
        schema=SHADOW,
        source=source,
        batches=built.batches,
        other_batches=built.other_batches,
        not_in_ledger=built.not_in_ledger,
        not_in_stream=built.not_in_stream,
        compared=rows,
        different_leases=different,
        same=all(row.same for row in rows)
        and not (built.other_batches.count or built.not_in_ledger.count or built.not_in_stream.count),
    )


def _row(what: str, live: str, rebuilt: str) -> Row:
    return Row(what, live, rebuilt, live == rebuilt)


def _digest(value: msgspec.Struct) -> str:
    return sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
