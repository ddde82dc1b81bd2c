"""Exports over HTTP: verified as they arrive, compressed on request, in flat memory, and leaving no trace."""

import asyncio
import gzip
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BufferedReader, BytesIO

import aiohttp
import asyncpg
import psutil
import pytest
import pytest_asyncio

from deployment.local.ports import Ports
from ledger_svc.contracts.entry import Entry
from ledger_svc.log import repository
from ledger_svc.verifier.findings import Report
from ledger_svc.verifier.verifier import Trust, verify
from tests.support.builders.events import PAYMENTS, Life
from tests.support.builders.exports import ledger
from tests.support.builders.ledger_rows import fill
from tests.support.servers.apis import LEDGER_KEY, Fronts
from tests.support.servers.database import empty, owner, tampering
from tests.support.servers.servers import Servers

pytestmark = pytest.mark.asyncio(loop_scope="session")

LEDGER = "/api/v1/audit/export"
MANY = 100_000
GROWTH_MB = 32


@pytest_asyncio.fixture(loop_scope="session")
async def database(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    """The owner's connection, with the ledger empty."""
    async with owner(servers) as connection:
        await empty(connection, "ledger")
        yield connection
        await empty(connection, "ledger")


@pytest_asyncio.fixture(loop_scope="session")
async def entries(database: asyncpg.Connection) -> list[Entry]:
    """A few leases' entries in the ledger."""
    return await fill(database, [entry.raw for entry in ledger(11, leases=8).entries])


def of_lease(lease_id: str) -> str:
    return f"/api/v1/audit/leases/{lease_id}/export"


def checked(body: bytes) -> Report:
    return verify(BufferedReader(BytesIO(body)), "file", Trust([LEDGER_KEY.verifier]))


def events_of_one_lease(count: int) -> Life:
    life = Life(term=1)
    for number in range(count):
        life.emit(PAYMENTS, "payment.noted", {"number": number})
    return life


async def test_downloads_verify(fronts: Fronts, entries: list[Entry]) -> None:
    """Both sorts in both forms, as an auditor would check them; the name says what it is."""
    for form in ("json", "ndjson"):
        whole = await fronts.ask("ledger", "GET", f"{LEDGER}?format={form}")
        report = checked(whole.body)
        assert report.ok
        assert (report.entries, report.tree_size) == (len(entries), len(entries))
        name = f"ledger-{len(entries)}.{form}"
        assert whole.headers["content-disposition"] == f'attachment; filename="{name}"'
        for lease_id in {entry.lease_id for entry in entries}:
            answer = await fronts.ask("ledger", "GET", f"{of_lease(lease_id)}?format={form}")
            report = checked(answer.body)
            assert report.ok
            assert report.entries == sum(entry.lease_id == lease_id for entry in entries)
    spreadsheet = await fronts.ask("ledger", "GET", f"{LEDGER}?format=csv")
    assert spreadsheet.body.count(b"\r\n") == len(entries) + 1


async def test_compressed_where_it_is_accepted(fronts: Fronts, entries: list[Entry]) -> None:
    """gzip once, for who accepts it, and caches are told; the file is the same, and verifies as it is."""
    path = f"{of_lease(entries[0].lease_id)}?format=ndjson"
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        for accepted, packed in (
            *(("gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("deflate, x-gzip", True)),
            *(("gzip;q=0", False), ("identity", False), ("deflate, br", False), ("gzip;q=0.000, *", False)),
        ):
            url = f"http://127.0.0.1:{fronts.port('ledger')}{path}"
            async with session.get(url, headers={"Accept-Encoding": accepted}) as response:
                body = await response.read()
            assert response.headers.get("Content-Encoding") == ("gzip" if packed else None), accepted
            assert response.headers["Vary"] == "Accept-Encoding"
            assert checked(body).ok
            unpacked = gzip.decompress(body) if packed else body
            assert unpacked.startswith(b'{"format":"lease-audit-export"')


async def test_head_and_others(fronts: Fronts, entries: list[Entry]) -> None:
    """HEAD has the headers and no body; POST is 405; what is not there is 404, nonsense 422."""
    for path in (LEDGER, of_lease(entries[0].lease_id)):
        answer = await fronts.ask("ledger", "HEAD", path)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-disposition"].startswith("attachment")
        (await fronts.ask("ledger", "POST", path, {})).problem(405)
        (await fronts.ask("ledger", "GET", f"{path}?format=xml")).problem(422)
    (await fronts.ask("ledger", "GET", of_lease("0195e3f5-7c1d-7000-8000-000000000000"))).problem(404)
    (await fronts.ask("ledger", "GET", of_lease("x"))).problem(422)


async def test_nothing_to_export(fronts: Fronts, database: asyncpg.Connection) -> None:
    """An empty ledger is 404; one from before there were checkpoints is 503 until its next event."""
    (await fronts.ask("ledger", "GET", LEDGER)).problem(404)
    life = events_of_one_lease(2)
    await fill(database, life.raws)
    async with tampering(database):
        await database.execute(
            "ALTER TABLE ledger.batches DROP CONSTRAINT sealed; UPDATE ledger.batches SET checkpoint = NULL;"
            "ALTER TABLE ledger.batches ADD CONSTRAINT sealed CHECK (checkpoint IS NOT NULL) NOT VALID"
        )
    for path in (LEDGER, of_lease(life.lease_id)):
        (await fronts.ask("ledger", "GET", path)).problem(503)


async def test_a_consistent_snapshot(
    fronts: Fronts, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries that are appended while it is read are not in it: it is what the checkpoint sealed."""
    life = events_of_one_lease(4)
    await fill(database, life.raws)
    monkeypatch.setattr(repository, "ROWS_AT_ONCE", 2)
    page_of = repository.trail

    async def appending(*given: object, **limits: int) -> list[Entry]:
        page = await page_of(*given, **limits)  # type: ignore[arg-type]
        if limits["after"] == 0:
            await database.execute(
                "INSERT INTO ledger.entries SELECT seq + 4, gen_random_uuid(), type, source, sequence + 4,"
                " lease_id, occurred_at, recorded_at, raw, leaf_hash FROM ledger.entries;"
                "INSERT INTO ledger.places SELECT lease_id, seq + 4, sequence + 4, source FROM ledger.places"
            )
        return page

    monkeypatch.setattr(repository, "trail", appending)
    report = checked((await fronts.ask("ledger", "GET", f"{of_lease(life.lease_id)}?format=ndjson")).body)
    assert (report.ok, report.entries) == (True, 4)


async def test_a_client_that_goes_away(fronts: Fronts, database: asyncpg.Connection) -> None:
    """In the middle of an export, plain or compressed: no task, no busy connection, no cursor is left."""
    life = events_of_one_lease(10_000)
    await fill(database, life.raws)
    await fronts.ask("ledger", "GET", f"{of_lease(life.lease_id)}?format=ndjson")
    before = len(asyncio.all_tasks())
    async with aiohttp.ClientSession() as session:
        for path in (LEDGER, of_lease(life.lease_id)) * 3:
            for encoding in ("identity", "gzip"):
                url = f"http://127.0.0.1:{fronts.port('ledger')}{path}?format=json"
                async with session.get(url, headers={"Accept-Encoding": encoding}) as response:
                    await response.content.readexactly(1000)
                    response.close()
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > before or await _busy(database):  # noqa: ASYNC110 seen from outside
            await asyncio.sleep(0.05)


async def _busy(database: asyncpg.Connection) -> int:
    """Connections of the front in a query or a transaction; a cursor needs one."""
    found = await database.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ledger-api' AND state <> 'idle'"
    )
    return int(found)


async def test_a_failure_in_the_middle(
    fronts: Fronts, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is cut: what has come has no end, and no client takes it for whole."""
    life = events_of_one_lease(2_000)
    await fill(database, life.raws)
    async with tampering(database):
        await database.execute("DELETE FROM ledger.nodes WHERE level = 3 AND position = 200")
    for encoding in ("identity", "gzip"):
        with pytest.raises(aiohttp.ClientPayloadError):
            await fronts.ask(
                "ledger", "GET", f"{of_lease(life.lease_id)}?format=ndjson", Accept_Encoding=encoding
            )


async def test_flat_memory(servers: Servers, database: asyncpg.Connection) -> None:
    """A ledger of 100,000 events, compressed, and a lease of 20,000 of them: no growth to speak of."""
    before, life = events_of_one_lease(MANY - MANY // 5), events_of_one_lease(MANY // 5)
    await fill(database, before.raws + life.raws)
    async with front(servers) as (base, process), aiohttp.ClientSession() as session:

        async def download(path: str, form: str, encoding: str) -> tuple[bytes, float]:
            """The last bytes, and the most memory that the front had meanwhile, in MB."""
            last, peak = b"", 0.0
            url, headers = f"{base}{path}?format={form}", {"Accept-Encoding": encoding}
            async with session.get(url, headers=headers) as response:
                async for chunk in response.content.iter_any():
                    last = (last + chunk)[-2000:]
                    peak = max(peak, process.memory_info().rss / 1e6)
            return last, peak

        at_first = process.memory_info().rss / 1e6
        for path, form, encoding, count in (
            (of_lease(life.lease_id), "ndjson", "identity", MANY // 5),
            (LEDGER, "json", "gzip", MANY),
        ):
            last, peak = await download(path, form, encoding)
            assert f"entries {count}\\n".encode() in last
            assert peak - at_first < GROWTH_MB, (path, form)


@asynccontextmanager
async def front(servers: Servers) -> AsyncIterator[tuple[str, psutil.Process]]:
    """The ledger's front in a process of its own."""
    port = Ports.free().of("ledger")
    surroundings = os.environ | {
        "AMQP_URL": servers.amqp_url,
        "DATABASE_URL": servers.dsn("ledger_reader"),
        "PORT": str(port),
        "LEDGER_KEY": LEDGER_KEY.secret(),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ledger_svc", "api"), env=surroundings, stderr=asyncio.subprocess.DEVNULL
    )
    base = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):
            while True:
                try:
                    async with session.get(f"{base}/health") as response:
                        if response.status == 200:
                            break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        yield base, psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()
