"""Projections built anew from a file of events, beside live ones on a real Postgres."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import msgspec
import pytest

import lease_svc.entrypoints.rebuild
import payment_svc.entrypoints.rebuild
from common.messaging.envelope import EVENT_BATCH_CONTENT_TYPE, Event, encode
from common.postgres.pool import connect
from common.replay.bounds import Bounds, Unreadable
from common.replay.projection_rebuild import Projection, Rebuilt, rebuild
from lease_svc.application.projection import Folded as LeaseFolded
from payment_svc.application.event_handlers import decode_created
from payment_svc.application.projection import Folded as PaymentFolded
from tests.support.builders.recorded_ledger import recorded
from tests.support.servers.database import empty, owner
from tests.support.servers.servers import Servers
from tests.support.simulation.small_world import World

LEASE, PAYMENT = lease_svc.entrypoints.rebuild.PROJECTION, payment_svc.entrypoints.rebuild.PROJECTION
BOTH = pytest.mark.parametrize("projection", [LEASE, PAYMENT], ids=["lease", "payment"])


class Live:
    """Leases in the tables of both services, and all that was told of them."""

    def __init__(self, servers: Servers, db: asyncpg.Connection, worlds: list[World], file: Path) -> None:
        self.db = db
        self.worlds = worlds
        self._servers = servers
        self._file = file

    async def rebuilt(
        self, projection: Projection[Any], events: list[Event] | None = None, *others: bytes
    ) -> Rebuilt:
        """Built from these events, or from all; out of order, some of them twice, and behind other lines."""
        given = events or [event for world in self.worlds for event in world.told]
        mixed = [*given, *given[:10]]
        Random(1).shuffle(mixed)
        told = [*others, *map(encode, mixed), b"no event"]
        self._file.write_bytes(b"".join(line + b"\n" for line in told))
        urls = self._servers.database_url, self._servers.amqp_url
        return await rebuild(projection, *urls, str(self._file), Bounds())


@pytest.fixture
async def live(servers: Servers, tmp_path: Path) -> AsyncIterator[Live]:
    worlds = [World(Random(seed)) for seed in range(25)]
    for world in worlds:
        world.live(40)
    async with owner(servers) as db:
        for schema in ("lease", "payment"):
            await empty(db, schema)
        async with connect(servers.database_url, "lease", name="test") as connection:
            await LEASE.save(connection, [LeaseFolded(world.lease, world.history) for world in worlds])
        async with connect(servers.database_url, "payment", name="test") as connection:
            await PAYMENT.save(connection, list(map(_folded, worlds)))
        yield Live(servers, db, worlds, tmp_path / "events.ndjson")
        for schema in ("lease", "payment"):
            await empty(db, schema)
            await db.execute(f"DROP SCHEMA IF EXISTS {schema}_rebuilt CASCADE")


def changed(raw: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(raw) | changes).encode()


def _folded(world: World) -> PaymentFolded:
    folded = PaymentFolded(decode_created(world.told[0].data))
    folded.account, folded.attempts, folded.quotes = world.account, world.attempts, world.quotes
    folded.payments = {payment.payment_id: payment for payment in world.payments}
    return folded


@BOTH
async def test_the_same_comes_out(live: Live, projection: Projection[Any]) -> None:
    """Every row of every table, by digests; the report says what was left out, and why."""
    report = await live.rebuilt(projection)
    assert report.same, report
    assert (report.leases, report.not_compared) == (len(live.worlds), 0)
    assert (report.read.repeats, report.read.malformed) == (10, 1)
    for table in report.tables:
        assert table.rows == table.rows_rebuilt > 0, table
        assert table.digest == table.digest_rebuilt
        count = await live.db.fetchval(f"SELECT count(*) FROM {report.schema}.{table.table}")
        assert count == table.rows


@BOTH
async def test_every_column_is_compared_or_left_out_with_a_reason(
    live: Live, projection: Projection[Any]
) -> None:
    """A column or a table that is added has to be decided about."""
    columns: dict[str, set[str]] = {}
    for row in await live.db.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = $1",
        projection.schema,
    ):
        if "yoyo" not in row["table_name"]:
            columns.setdefault(row["table_name"], set()).add(row["column_name"])
    for table in projection.tables:
        told = {*table.key, *table.left_out, *(name for name in table.compared if " " not in name)}
        assert columns.pop(table.name) == told, table.name
    assert set(columns) == set(projection.left_out)


# A change of any row of each table that makes it another.
CHANGES = {
    "leases": "balance = balance + 1",
    "history": "status_after = 'delinquent'",
    "accounts": "delinquent = NOT delinquent",
    "payments": "paid_interest = paid_interest + 1",
    "attempts": "settled_at = now()",
    "quotes": "state = ''",
}


@BOTH
async def test_rows_that_are_not_what_the_events_say_are_named(
    live: Live, projection: Projection[Any]
) -> None:
    """A row that was changed in each table, a lease too many, one too few: each is found, by its key."""
    gone, extra = live.worlds[:2]
    names = {}
    for table in projection.tables:
        name = f"{projection.schema}.{table.name}"
        keys = ", ".join(f"{key}::text" for key in table.key)
        others = [gone.lease.lease_id, extra.lease.lease_id]
        row = await live.db.fetchrow(
            f"UPDATE {name} SET {CHANGES[table.name]} WHERE ctid ="
            f" (SELECT ctid FROM {name} WHERE NOT lease_id = ANY($1::uuid[]) LIMIT 1) RETURNING {keys}",
            others,
        )
        names[table.name] = " ".join(row)
        await live.db.execute(f"DELETE FROM {name} WHERE lease_id = $1", gone.lease.lease_id)
    told = [event for each in live.worlds if each is not extra for event in each.told]
    report = await live.rebuilt(projection, told)
    assert not report.same
    assert (report.not_compared, report.not_reached.first) == (0, [extra.lease.lease_id])
    for found in report.tables:
        assert names[found.table] in found.different.first or found.different.count > 20
        assert found.digest != found.digest_rebuilt
    assert gone.lease.lease_id in report.tables[0].different.first


@BOTH
async def test_what_does_not_add_up_is_named(live: Live, projection: Projection[Any]) -> None:
    """A hole in a lease's events: that lease is not built, the others are."""
    world = max(live.worlds, key=lambda each: sum(event.source == "/lease-svc" for event in each.told))
    told = [event for each in live.worlds for event in each.told if event is not world.told[0]]
    report = await live.rebuilt(projection, told)
    assert (report.same, report.leases) == (False, len(live.worlds) - 1)
    assert report.do_not_add_up.first == [f"{world.lease.lease_id}: event 1 of /lease-svc is missing"]


@BOTH
async def test_an_unknown_type_stops_it(live: Live, projection: Projection[Any]) -> None:
    """Without the mark nothing is skipped: the type and the event are named."""
    event = live.worlds[0].told[-1]
    painted = msgspec.structs.replace(
        event, type="lease.painted", sequence=event.sequence + 1, mayskip=msgspec.UNSET
    )
    with pytest.raises(Unreadable, match=f"painted.*{event.id}"):
        await live.rebuilt(projection, [*live.worlds[0].told, painted])


@BOTH
async def test_what_no_event_of_ours_can_be_is_left_out(
    live: Live, projection: Projection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a stream can hold: counted, said, and everything else comes out the same."""
    base = encode(live.worlds[0].told[0])
    odd = [
        changed(base, sequence=2**31),
        changed(base, sequence=2**70),
        changed(base, sequence=0),
        changed(base, type="a\x00b"),
        changed(base, source="/\x00"),
        changed(base, source="".join(chr(0x4E00 + number) for number in range(9_000))),
        changed(base, id="x"),
        changed(base, subject=live.worlds[0].lease.lease_id.upper()),
        changed(base, time="2026-12-01T08:00:00"),
        changed(base, time="0001-01-01T00:00:00+14:00"),
        base[:-1] + b',"more":"\xff"}',
        b"[" * 50_000,
        base[:-1] + b',"more":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    ]
    report = await live.rebuilt(projection, None, *odd)
    assert report.same, report
    assert report.read.malformed == len(odd) + 1
    assert f"left out: {len(odd) + 1}" in capsys.readouterr().err


async def test_odd_messages_of_a_stream(servers: Servers, live: Live) -> None:
    """They are left out by the same rules as from the ledger, and those beside them are read."""
    told = [encode(event) for world in live.worlds for event in world.told]
    async with recorded(servers) as made:
        messages = [
            (told[0], "text/plain"),
            (b"[" * 50_000, EVENT_BATCH_CONTENT_TYPE),
            (b'[{"specversion":1},%s]' % changed(told[0], sequence=2**31), EVENT_BATCH_CONTENT_TYPE),
            (b"[%s]" % b",".join(told), f"{EVENT_BATCH_CONTENT_TYPE}; charset=utf-8"),
        ]
        await made.another_stream(messages)
        report = await rebuild(LEASE, servers.database_url, servers.amqp_url, "stream", Bounds())
    assert report.same, report
    assert (report.read.events, report.read.malformed) == (len(told), 4)


@BOTH
async def test_what_no_table_can_keep_is_named(live: Live, projection: Projection[Any]) -> None:
    """A lease in whose texts there is a NUL: it is named, and the others are built."""
    odd = max(live.worlds, key=lambda each: len(each.attempts))
    told = [event for each in live.worlds for event in each.told if each is not odd]
    for event in odd.told:
        data = msgspec.json.decode(event.data)
        for name in data.keys() & {"customer_id", "payment_method"}:
            data[name] = "\x00"
        told.append(msgspec.structs.replace(event, data=msgspec.Raw(msgspec.json.encode(data))))
    report = await live.rebuilt(projection, told)
    assert (report.same, report.leases) == (False, len(live.worlds) - 1)
    [words] = report.do_not_add_up.first
    assert words.startswith(f"{odd.lease.lease_id}: cannot be kept in the tables: ")


async def test_two_at_a_time_are_one_too_many(live: Live) -> None:
    """They would build in the same place."""
    both = await asyncio.gather(live.rebuilt(LEASE), live.rebuilt(LEASE), return_exceptions=True)
    assert sorted(type(each).__name__ for each in both) == ["Rebuilt", "Unreadable"], both
