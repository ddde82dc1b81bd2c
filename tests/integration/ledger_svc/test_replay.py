"""The stream and the ledger read again: where all is well, and every planted difference."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import pytest

from common.kernel.clock import utcnow
from common.messaging import topology
from common.postgres.pool import connect
from common.replay.bounds import Bounds, Point, Unreadable
from ledger_svc.replay import event_listing
from ledger_svc.replay.tree import Recomputed, verify_entries
from ledger_svc.replay.verify import Verified, verify_stream
from tests.support.builders.recorded_ledger import Recorded, a_life, recorded
from tests.support.oracles import merkle
from tests.support.servers.servers import Servers

ENTRIES = 7 + 7 + 3  # of three leases
BATCH, LAST = 5, 9  # offsets: of the message with ten events, and of the last one
TAMPERED = "convert_to(replace(convert_from(raw, 'UTF8'), '\"USD\"', '\"EUR\"'), 'UTF8')"


@pytest.fixture
async def its(servers: Servers) -> AsyncIterator[Recorded]:
    """Three leases in the ledger, by ten messages: one is a batch, one a repeat, one is no event."""
    async with recorded(servers) as made:
        one, two, three = a_life(), a_life(), a_life(1)
        async with made.written():
            await made.send(*one.raws[:4], one.raws[2])
            await made.has(4)
            await made.send_batch(*one.raws[4:], *two.raws)
            await made.has(len(one.raws) + len(two.raws))
            await made.send(b"no event", *three.raws)
            await made.has(ENTRIES)
        yield made


def reading(its: Recorded) -> AbstractAsyncContextManager[Any]:
    """A connection that may only read."""
    return connect(its.servers.dsn("ledger_reader"), "ledger", name="test")


async def verified(its: Recorded, start: Point = None, end: Point = None) -> Verified:
    async with reading(its) as connection:
        return await verify_stream(connection, its.servers.amqp_url, Bounds(start=start, end=end))


async def recomputed(its: Recorded, start: Point = None, end: Point = None) -> Recomputed:
    async with reading(its) as connection:
        return await verify_entries(connection, Bounds(start=start, end=end))


async def root_by_hand(its: Recorded, size: int = ENTRIES) -> str:
    rows = await its.db.fetch("SELECT raw FROM ledger.entries WHERE seq <= $1 ORDER BY seq", size)
    return merkle.root([merkle.leaf(row["raw"]) for row in rows]).hex()


async def test_the_stream_is_the_ledger(its: Recorded) -> None:
    """Every event is there, every entry has come, and the stream's bytes give the root on record."""
    found = await verified(its)
    assert found.same, found
    assert (found.first_offset, found.last_offset, found.messages) == (0, LAST, LAST + 1)
    assert (found.events, found.repeats, found.malformed) == (ENTRIES + 1, 1, 1)
    assert (found.entries, found.tree_size) == (ENTRIES, ENTRIES)
    assert found.root_hash == found.root_on_record == await root_by_hand(its)


async def test_a_part_of_the_stream(its: Recorded) -> None:
    """From an offset, to an offset, between instants: what is read is compared, no more and no less."""
    found = await verified(its, start=BATCH, end=BATCH)
    assert found.same, found
    assert (found.messages, found.events, found.tree_size) == (1, 10, 14)
    assert found.root_hash == await root_by_hand(its, 14)
    found = await verified(its, start=BATCH + 1)
    assert (found.same, found.messages, found.events, found.malformed) == (True, 4, 3, 1)
    found = await verified(its, end=3)
    assert (found.same, found.events, found.last_offset) == (True, 4, 3)
    times = await its.db.fetch("SELECT occurred_at FROM ledger.entries ORDER BY occurred_at")
    found = await verified(its, start=times[2][0], end=times[9][0])
    assert (found.same, found.tree_size) == (True, None), found
    assert found.events >= 8
    found = await verified(its, start=utcnow() - timedelta(days=1))
    assert (found.same, found.messages, found.root_hash) == (True, LAST + 1, await root_by_hand(its))
    with pytest.raises(Unreadable, match="ends with offset 9"):
        await verified(its, start=10)


async def test_nothing_since_an_instant(
    its: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing to compare is no difference, and is said; but what is on record since then is missed."""
    monkeypatch.setattr("common.replay.stream_reader.NOTHING_SINCE_S", 0.5)
    since = utcnow() + timedelta(seconds=1)
    for again, words in ((verified, "holds nothing"), (recomputed, "has recorded nothing since")):
        found = await again(its, start=since)
        assert (found.same, found.entries) == (True, 0), found
        assert words in capsys.readouterr().err
    assert await listed(its, "stream", Bounds(start=since)) == []
    assert await listed(its, "ledger", Bounds(start=since)) == []
    later = "recorded_at = recorded_at + interval '1 day'"
    await its.change(
        f"UPDATE ledger.batches SET {later} WHERE last_seq = 17;"
        f"UPDATE ledger.entries SET {later}, occurred_at = occurred_at + interval '1 day' WHERE seq = 17"
    )
    found = await verified(its, start=since)
    assert (found.same, found.not_in_stream.count) == (False, 1), found
    assert found.not_in_stream.first[0].startswith("entry 17: number 2 of /payment-svc")


async def test_a_stream_that_is_empty_or_gone(its: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to compare with, and that is said."""
    monkeypatch.setattr("common.replay.stream_reader.EMPTY_S", 0.2)
    await its.another_stream([])
    with pytest.raises(Unreadable, match="empty"):
        await verified(its)
    await its.its.queue_delete(topology.LEDGER_STREAM)
    with pytest.raises(Unreadable, match="no stream"):
        await verified(its)
    await its.another_stream([])


async def test_what_the_ledger_has_not_read_yet_is_no_difference(its: Recorded) -> None:
    """Events after the ledger's cursor are counted apart."""
    await its.send(*a_life(1).raws)
    found = await verified(its)
    assert (found.same, found.awaited, found.events) == (True, 3, ENTRIES + 1 + 3), found


async def test_another_stream_with_repeats_only(its: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """No entry is missed in it, for none was recorded from it; what follows is awaited."""
    monkeypatch.setattr("ledger_svc.log.stream_subscription.FIRST_WITHIN_S", 1.0)
    await its.another_stream([its.sent[-1], (b"no event", its.sent[0][1])])
    async with its.written():
        await its.reads(2, 0)
    await its.send(*a_life(1).raws)
    found = await verified(its)
    assert (found.same, found.events, found.entries, found.awaited) == (True, 4, 0, 3), found


async def test_an_entry_that_was_changed(its: Recorded) -> None:
    """Other bytes in the ledger, with and without a leaf hash that fits them."""
    for also in ("", f", leaf_hash = sha256('\\x00'::bytea || {TAMPERED})"):
        await its.change(f"UPDATE ledger.entries SET raw = {TAMPERED}{also} WHERE seq = 5")
        found = await verified(its)
        assert (found.same, found.different.count) == (False, 1)
        assert "entry 5" in found.different.first[0]
        again = await recomputed(its)
        assert not again.same
        assert (again.different.count, again.root_hash) == (0 if also else 1, await root_by_hand(its))
        assert again.root_hash != again.root_on_record


async def test_an_event_that_the_ledger_lacks(its: Recorded) -> None:
    """An entry that is gone is missed, and its number with it."""
    await its.change("DELETE FROM ledger.entries WHERE seq = 16")
    found = await verified(its)
    assert (found.same, found.not_in_ledger.count, found.not_in_stream.count) == (False, 1, 0)
    assert "at offset 8" in found.not_in_ledger.first[0]
    again = await recomputed(its)
    assert (again.same, again.missing.first) == (False, ["16 to 16"])


async def test_an_entry_that_the_stream_lacks(its: Recorded) -> None:
    """A message is another one by now: the entry that was recorded from it is named."""
    lost = json.loads(its.sent[8][0])
    await its.another_stream([*its.sent[:8], its.sent[7], its.sent[9]])
    found = await verified(its)
    assert (found.same, found.not_in_stream.count, found.repeats) == (False, 1, 2), found
    assert found.not_in_stream.first[0].startswith("entry 16: number 1 of /payment-svc")
    assert lost["subject"] in found.not_in_stream.first[0]
    assert (await verified(its, end=7)).same  # the part before it is whole


async def test_columns_nodes_and_roots(its: Recorded) -> None:
    """The ledger by itself: whatever was changed of what is worked out from the bytes is named."""
    found = await recomputed(its)
    assert found.same, found
    assert (found.entries, found.first_seq, found.last_seq) == (ENTRIES, 1, ENTRIES)
    assert found.root_hash == found.root_on_record == await root_by_hand(its)
    part = await recomputed(its, start=6, end=15)
    assert (part.same, part.entries, part.root_hash) == (True, 10, await root_by_hand(its, 15))
    moment = await its.value("SELECT recorded_at FROM ledger.entries WHERE seq = 17")
    assert (await recomputed(its, start=moment)).entries < ENTRIES
    with pytest.raises(Unreadable, match="last entry is 17"):
        await recomputed(its, start=18)
    changes: dict[str, tuple[str, str]] = {
        "different": ("entries SET occurred_at = now() WHERE seq = 3", "entry 3: occurred_at"),
        "astray": ("places SET seq = 4 WHERE seq = 5", "entry 5"),
        "astray by correlation": ("correlations SET seq = -7 WHERE seq = 7", "entry 7"),
        "wrong_nodes": ("nodes SET hash = $$\\x00$$ WHERE level = 3 AND position = 0", "level 3"),
        "wrong_batches": ("entries SET recorded_at = now() WHERE seq = 16", "entry 17"),
    }
    for name, (change, words) in changes.items():
        await its.change(f"UPDATE ledger.{change}")
        found = await recomputed(its)
        assert not found.same
        sample = getattr(found, name.partition(" ")[0])
        assert any(words in each for each in sample.first)
    await its.change("UPDATE ledger.batches SET root_hash = $$\\x00$$")
    found = await recomputed(its)
    assert found.wrong_batches.count == found.batches


ONE_MORE = """UPDATE ledger.batches SET totals = jsonb_set(totals::jsonb, '{%s}',
    to_jsonb((totals #>> '{%s}')::bigint + 1))::json WHERE last_seq = 14"""


async def test_totals_and_books(its: Recorded) -> None:
    """They are folded again from the entries: any that were changed are named, from the middle on as well."""
    for path in ("leases_total", "payments,declined", "amounts,USD,outstanding", "books,USD,cash,0"):
        before = await its.value("SELECT totals FROM ledger.batches WHERE last_seq = 14")
        await its.change(ONE_MORE.replace("%s", path))
        for start in (None, 6, 14):
            found = await recomputed(its, start=start)
            name = path.partition(",")[0]
            assert not found.same
            assert found.wrong_totals.first == [f"the batch that ends with entry 14: {name}"], found
            assert found.wrong_batches.count == found.different.count == 0
        found = await recomputed(its, start=15)  # what follows does not go on from it
        assert found.wrong_totals.count == found.batches
        await its.change(f"UPDATE ledger.batches SET totals = '{before}' WHERE last_seq = 14")
        assert (await recomputed(its)).same


async def test_money_that_was_changed_in_an_entry(its: Recorded) -> None:
    """The totals on record are those of what was sealed, not of what an entry says now."""
    more = "convert_to(replace(convert_from(raw, 'UTF8'), '\"amount\":', '\"amount\":1'), 'UTF8')"
    await its.change(f"UPDATE ledger.entries SET raw = {more} WHERE seq = 3")
    found = await recomputed(its)
    batches = await its.value("SELECT count(*) FROM ledger.batches WHERE last_seq >= 3")
    assert (found.same, found.wrong_totals.count) == (False, batches)
    await its.change("UPDATE ledger.entries SET raw = $$no event$$ WHERE seq = 3")
    found = await recomputed(its)
    assert found.different.first[0].startswith("entry 3: JSON is malformed")
    none = more.replace(":1'", ":-'")  # a number that is none
    await its.change(f"UPDATE ledger.entries SET raw = {none} WHERE seq = 10")
    assert (await recomputed(its)).different.count == 2


async def listed(its: Recorded, source: str, limits: Bounds, **filters: Any) -> list[bytes]:
    out = io.BytesIO()
    async with reading(its) as connection:
        if source == "stream":
            events = event_listing.from_stream(its.servers.amqp_url, limits)
        else:
            events = event_listing.from_ledger(connection, limits, filters.get("lease_id"))
        await event_listing.list_events(events, limits, out, **{"type_": None, "lease_id": None} | filters)
    return out.getvalue().splitlines()


async def test_events_are_listed_byte_for_byte(its: Recorded) -> None:
    """A line each, from either source, between bounds, of a type, of a lease; line breaks become spaces."""
    columns = "raw, type, lease_id::text, occurred_at"
    rows = await its.db.fetch(f"SELECT {columns} FROM ledger.entries ORDER BY seq")
    raws = [row["raw"] for row in rows]
    assert await listed(its, "ledger", Bounds()) == raws
    assert await listed(its, "stream", Bounds()) == [*raws[:4], raws[2], *raws[4:]]
    assert await listed(its, "stream", Bounds(start=BATCH, end=BATCH)) == raws[4:14]
    assert await listed(its, "ledger", Bounds(start=5, end=14)) == raws[4:14]
    created = [row["raw"] for row in rows if row["type"] == "lease.created"]
    assert await listed(its, "stream", Bounds(), type_="lease.created") == created
    for source in ("stream", "ledger"):
        of_one = [row["raw"] for row in rows[7:] if row["lease_id"] == rows[8]["lease_id"]]
        assert await listed(its, source, Bounds(start=5), lease_id=rows[8]["lease_id"]) == of_one
        since = sorted(row["occurred_at"] for row in rows)[9]
        late = [row["raw"] for row in rows if row["occurred_at"] >= since]
        assert await listed(its, source, Bounds(start=since)) == late
    await its.send(json.dumps(json.loads(a_life(1).raws[0]), indent=1).encode())
    [odd] = await listed(its, "stream", Bounds(start=LAST + 1))
    assert (len(odd), odd.replace(b" ", b"")) == (
        len(its.sent[-1][0]),
        its.sent[-1][0].replace(b" ", b"").replace(b"\n", b""),
    )
