"""A second ledger of the same events: what it has to be, what is found, how it takes the first's place."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiormq
import pytest
import pytest_asyncio

from common.replay.bounds import Bounds, Unreadable
from ledger_svc.replay.rebuild import Rebuilt, rebuild
from ledger_svc.replay.verify import verify_stream
from tests.integration.ledger_svc.test_replay import TAMPERED, recomputed, verified
from tests.support.builders.events import LEASES
from tests.support.builders.recorded_ledger import Recorded, a_life, recorded
from tests.support.oracles import merkle
from tests.support.servers.apis import Fronts
from tests.support.servers.servers import Servers

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLES = ("entries", "nodes", "batches")


@pytest_asyncio.fixture(loop_scope="session")
async def its(servers: Servers) -> AsyncIterator[Recorded]:
    """Three leases, one of them closed in the middle of it; the batches as they come."""
    async with recorded(servers) as made:
        lives = [a_life(), a_life(2), a_life(1)]
        attempt = lives[2].start(2)
        lives[2].close()
        lives[2].succeed(attempt)
        async with made.written():
            for number, life in enumerate(lives, 1):
                await made.send(*life.raws[:2], life.raws[0])
                await made.send_batch(*life.raws[2:])
                await made.has(sum(len(each.raws) for each in lives[:number]))
        yield made


async def rebuilt(
    its: Recorded, source: str, limits: Bounds | None = None, *, switch: bool = False
) -> Rebuilt:
    urls = its.settings.database_url, its.settings.amqp_url
    return await rebuild(*urls, source, limits or Bounds(), switch_to_it=switch)


def live_and_rebuilt(report: Rebuilt, what: str) -> tuple[str, str]:
    [row] = [row for row in report.compared if row.what == what]
    return row.live, row.rebuilt


@pytest.mark.parametrize("source", ["stream", "ledger"])
async def test_it_is_the_same_to_the_byte(its: Recorded, source: str) -> None:
    """From either source: the same entries, nodes, batches, totals and states; again after another try."""
    for _ in range(2):
        report = await rebuilt(its, source)
        assert report.same, report
    root, root_rebuilt = live_and_rebuilt(report, "root hash")
    rows = await its.db.fetch("SELECT raw FROM ledger.entries ORDER BY seq")
    leaves = [merkle.leaf(row["raw"]) for row in rows]
    assert root == root_rebuilt == merkle.root(leaves).hex()
    assert live_and_rebuilt(report, "leases") == ("3", "3")
    for table in TABLES:
        one = f"SELECT t::text FROM ledger.{table} AS t"
        other = f"SELECT t::text FROM ledger_rebuilt.{table} AS t"
        assert await its.db.fetch(f"({one} EXCEPT {other}) UNION ALL ({other} EXCEPT {one})") == []
    assert not report.switched
    assert await its.value("SELECT to_regclass('ledger_rebuilt.staged')") is None


async def test_up_to_a_point(its: Recorded) -> None:
    """An end that lies earlier gives the ledger as it was after a batch by then."""
    ends = [row["last_seq"] for row in await its.db.fetch("SELECT last_seq FROM ledger.batches ORDER BY 1")]
    report = await rebuilt(its, "ledger", Bounds(end=ends[1]))
    assert (report.same, report.batches) == (True, 2)
    assert live_and_rebuilt(report, "last entry") == (str(ends[1]), str(ends[1]))
    report = await rebuilt(its, "stream", Bounds(end=7))  # all messages of the first two leases
    assert (report.same, live_and_rebuilt(report, "leases")) == (True, ("2", "2"))
    with pytest.raises(Unreadable, match="no batch"):
        await rebuilt(its, "ledger", Bounds(end=0))


async def test_an_entry_that_was_changed_is_put_right(its: Recorded) -> None:
    """The stream's bytes give the root on record and take the changed ledger's place; its own do not."""
    before = await its.value("SELECT raw FROM ledger.entries WHERE seq = 4")
    await its.change(f"UPDATE ledger.entries SET raw = {TAMPERED} WHERE seq = 4")
    report = await rebuilt(its, "ledger", switch=True)
    assert (report.same, report.switched) == (False, False)
    root, root_rebuilt = live_and_rebuilt(report, "root hash")
    assert root != root_rebuilt
    assert report.other_batches.count > 0
    report = await rebuilt(its, "stream", switch=True)
    assert (report.same, report.switched, report.other_batches.count) == (False, True, 0)
    assert report.different_leases.first == [f"lease {json.loads(before)['subject']}"]
    assert live_and_rebuilt(report, "root hash") == (root, root)
    assert await its.value("SELECT raw FROM ledger.entries WHERE seq = 4") == before
    assert await its.value(f"SELECT raw FROM {report.live_ledger_is_now}.entries WHERE seq = 4") != before
    assert (await verified(its)).same
    assert (await recomputed(its)).same


async def test_a_stream_that_is_not_whole(its: Recorded) -> None:
    """What it lacks or has too much is named; nothing is switched to."""
    await its.another_stream([*its.sent[:5], its.sent[4], *its.sent[6:]])
    report = await rebuilt(its, "stream", switch=True)
    assert (report.same, report.switched) == (False, False)
    assert report.not_in_stream.count > 0
    await its.another_stream([(a_life(1).raws[0], its.sent[0][1]), *its.sent[1:]])
    report = await rebuilt(its, "stream")
    assert (report.same, report.not_in_ledger.count) == (False, 1)


async def test_a_ledger_that_was_not_always_signed(its: Recorded) -> None:
    """Batches from before there were checkpoints are built as they are; but no ledger without any key."""
    unsigned = (
        "ALTER TABLE ledger.batches DROP CONSTRAINT sealed; UPDATE ledger.batches SET checkpoint = NULL {};"
        "ALTER TABLE ledger.batches ADD CONSTRAINT sealed CHECK (checkpoint IS NOT NULL) NOT VALID"
    )
    await its.change(unsigned.format("WHERE last_seq < (SELECT max(last_seq) FROM ledger.batches)"))
    report = await rebuilt(its, "ledger", switch=True)
    assert (report.same, report.switched) == (True, True), report
    assert await its.value("SELECT count(*) FROM ledger.batches WHERE checkpoint IS NOT NULL") == 1
    await its.change(unsigned.format("") + "; DELETE FROM ledger.keys")
    with pytest.raises(Unreadable, match=r"no batch of the ledger is signed.*start its writer"):
        await rebuilt(its, "ledger")


async def test_an_unknown_type_stops_it(its: Recorded) -> None:
    """Nothing is built past an event that this code cannot read."""
    life = a_life(1)
    life.emit(LEASES, "lease.renamed", {"lease_id": life.lease_id})
    async with its.written():
        before = await its.value("SELECT max(seq) FROM ledger.entries")
        await its.send(*life.raws)
        await its.has(before + len(life.raws))
    for source in ("stream", "ledger"):
        with pytest.raises(Unreadable, match=r"lease\.renamed"):
            await rebuilt(its, source, switch=True)


async def test_switching_while_it_is_read_and_written(its: Recorded, fronts: Fronts) -> None:
    """Readers get an answer at every moment, the writer goes on, nothing is lost or doubled."""
    life = a_life(12)
    lease = await its.value("SELECT lease_id::text FROM ledger.entries WHERE seq = 1")
    going_on = True
    answers: list[int] = []

    async def read() -> None:
        while going_on:
            for page in (f"leases/{lease}", "metrics", f"leases/{lease}/timeline"):
                answers.append((await fronts.ask("ledger", "GET", f"/api/v1/audit/{page}")).status)

    async def send() -> None:
        for raw in life.raws:
            await its.send(raw)
            await asyncio.sleep(0.02)

    before = await its.value("SELECT max(seq) FROM ledger.entries")
    tables: list[Any] = []
    async with its.written():
        reading, sending = asyncio.create_task(read()), asyncio.create_task(send())
        for source in ("stream", "ledger"):
            report = await rebuilt(its, source, switch=True)
            assert (report.same, report.switched) == (True, True), report
            tables.append(await its.value("SELECT 'ledger.entries'::regclass::oid"))
        await sending
        await its.has(before + len(life.raws))
        going_on = False
        await reading
    assert len(set(tables)) == 2
    assert set(answers) == {200}
    assert len(answers) > 20
    assert (await verified(its)).same
    found = await recomputed(its)
    assert (found.same, found.entries) == (True, before + len(life.raws))


async def test_fronts_forget_the_tree_that_was_replaced(its: Recorded, fronts: Fronts) -> None:
    """Hashes that a front has kept of what somebody had changed are not in the proofs that follow."""
    lives = [a_life(12) for _ in range(22)]
    before = await its.value("SELECT max(seq) FROM ledger.entries")
    async with its.written():
        for life in lives:
            await its.send_batch(*life.raws)
        await its.has(before + sum(len(life.raws) for life in lives))
    rows = await its.db.fetch("SELECT leaf_hash FROM ledger.entries WHERE seq <= 512 ORDER BY seq")
    root = merkle.root([row["leaf_hash"] for row in rows]).hex()
    await its.change("UPDATE ledger.nodes SET hash = sha256('other') WHERE (level, position) = (9, 0)")

    async def first_root() -> str:
        answer = await fronts.ask("ledger", "GET", "/api/v1/audit/proofs/consistency?first=512")
        assert answer.status == 200, answer
        return str(answer.json["first_root"])

    assert [await first_root() == root for _ in range(2)] == [False, False]
    assert (await rebuilt(its, "ledger", switch=True)).switched
    assert await first_root() == root


async def test_nothing_is_sent_by_a_replay(its: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading it all again publishes nothing: it could not if it tried."""

    async def publish(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a replay has published")

    monkeypatch.setattr(aiormq.Channel, "basic_publish", publish)
    assert (await verified(its)).same
    assert (await rebuilt(its, "stream", switch=True)).switched
    with pytest.raises(AssertionError, match="a replay has published"):
        await its.send(b"")
    assert verify_stream.__module__.startswith("ledger_svc.replay")
