"""The three fronts in this process, and clients that are as polite or as rude as a test needs."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import asyncpg
from yarl import URL

import lease_svc.bootstrap
import ledger_svc.bootstrap
import payment_svc.bootstrap
from common.messaging import topology
from common.runtime.settings import Settings
from common.web.command_endpoint import CommandEndpoint
from common.web.routes import Route
from deployment.local.ports import Ports
from ledger_svc.transparency import signed_note
from tests.support.servers.broker_client import Watch
from tests.support.servers.servers import Servers

NOTHING = cast(Any, None)  # routes are described without anything behind them
ROUTES: dict[str, list[Route]] = {
    "lease": lease_svc.bootstrap.routes(NOTHING, CommandEndpoint("", NOTHING, NOTHING, NOTHING)),
    "payment": payment_svc.bootstrap.routes(NOTHING, CommandEndpoint("", NOTHING, NOTHING, NOTHING)),
    "ledger": ledger_svc.bootstrap.routes(NOTHING, NOTHING),
}
WEBHOOK_SECRET = "whsec_of_the_tests"
LEDGER_KEY = signed_note.generate("example.org/ledger-of-the-tests")
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "instance"}
# Tables whose rows a refused request must not change.
TABLES = {
    "lease": ("commands", "outbox", "outbox_pending", "leases", "history"),
    "payment": (
        *("commands", "outbox", "outbox_pending", "accounts", "payments", "attempts"),
        *("quotes", "returns", "collection_runs", "collection_waiters"),
    ),
    "ledger": (
        *("entries", "batches", "nodes", "places", "event_ids", "correlations", "closings"),
        *("keys", "openings"),
        *("anomalies", "anomaly_notes", "reconciled", "compared", "cursors"),
    ),
}


@dataclass(frozen=True)
class Answer:
    """An answer that has been read to its end."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def pointers(self) -> set[str]:
        """The fields that a 422 names."""
        return {error["pointer"] for error in self.json.get("errors", [])}

    def problem(self, *statuses: int) -> "Answer":
        """Itself, once it is shown to be a whole problem of one of these statuses."""
        assert self.status in statuses, (self.status, self.body[:500])
        assert self.headers["content-type"].split(";")[0] == "application/problem+json", self.headers
        assert self.json.keys() >= PROBLEM_MEMBERS, self.json
        assert self.json["status"] == self.status
        assert self.headers["x-request-id"]
        if self.status == 422:
            assert self.pointers, self.json
        return self


class Fronts:
    """Addresses of the fronts, a client for them, and what stands behind them."""

    def __init__(
        self, ports: Ports, session: aiohttp.ClientSession, owner: asyncpg.Connection, watch: Watch
    ) -> None:
        self._ports = ports
        self._session = session
        self._owner = owner
        self._watch = watch

    def port(self, service: str) -> int:
        return self._ports.of(service)

    async def ask(self, service: str, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        """Send a request as it stands (`target` is not quoted again); header names with `_` for `-`.

        `body`: bytes (or an async iterable of them) as they are, anything else as JSON.
        """
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and "Content-Type" not in given:
            given["Content-Type"] = "application/json"
        given = {name: value for name, value in given.items() if value}
        if body is not None and not isinstance(body, bytes) and not hasattr(body, "__aiter__"):
            body = json.dumps(body).encode()
        url = URL(f"http://127.0.0.1:{self.port(service)}{target}", encoded=True)
        skip = () if given.get("Content-Type") else ("Content-Type",)
        async with self._session.request(
            method, url, data=body, headers=given, skip_auto_headers=skip, allow_redirects=False
        ) as response:
            names = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, names, await response.read())

    async def send(self, service: str, request: bytes, *, within_s: float = 30) -> Answer:
        """Send these very bytes; the answer, or status 0 where the connection was closed without one."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port(service))
        try:
            writer.write(request)
            async with asyncio.timeout(within_s):
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                pairs = (line.split(": ", 1) for line in lines[1:] if line)
                names = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(names.get("content-length", 0)))
            return Answer(int(lines[0].split()[1]), names, body)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return Answer(0, {}, b"")
        finally:
            writer.close()

    async def behind(self) -> dict[str, int]:
        """Messages waiting in the command queues and rows in every table."""
        counts = [
            f"(SELECT count(*) FROM {schema}.{table}) AS {schema}_{table}"
            for schema, tables in TABLES.items()
            for table in tables
        ]
        row = await self._owner.fetchrow(f"SELECT {', '.join(counts)}")
        queues = (topology.LEASE_COMMANDS, topology.PAYMENT_COMMANDS)
        waiting = {queue: await self._watch.depth(queue) for queue in queues}
        return {**dict(row.items()), **waiting}

    @asynccontextmanager
    async def unmoved(self) -> AsyncIterator[None]:
        """Show that the block has published nothing and changed nothing."""
        before = await self.behind()
        yield
        assert await self.behind() == before


@asynccontextmanager
async def running_fronts(servers: Servers) -> AsyncIterator[Fronts]:
    """The fronts of all services, ready."""
    ports = Ports.free()
    apis = {
        "lease": (lease_svc.bootstrap.api, "lease_svc"),
        "payment": (payment_svc.bootstrap.api, "payment_svc"),
        "ledger": (ledger_svc.bootstrap.api, "ledger_reader"),
    }
    async with AsyncExitStack() as stack:
        for service, (api, role) in apis.items():
            settings = Settings(
                amqp_url=servers.amqp_url,
                database_url=servers.dsn(role),
                port=ports.of(service),
                webhook_secret=WEBHOOK_SECRET,
                ledger_key=LEDGER_KEY.secret(),
            )
            await stack.enter_async_context(api(settings))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        owner = await asyncpg.connect(servers.database_url)
        stack.push_async_callback(owner.close)
        watch = Watch(servers.amqp_url)
        stack.push_async_callback(watch.close)
        running = Fronts(ports, session, owner, watch)
        await _ready(running, list(apis))
        yield running


async def _ready(running: Fronts, services: Sequence[str]) -> None:
    async with asyncio.timeout(60):
        for service in services:
            while (await running.ask(service, "GET", "/health")).status != 200:  # noqa: ASYNC110 over HTTP
                await asyncio.sleep(0.02)
