"""The whole system as the tests see it from outside: its addresses, its processes, its tables, its queues."""

import asyncio
import re
import shutil
import signal
from datetime import UTC, datetime
from typing import Any

import aio_pika
import asyncpg
import psutil

from deployment.credentials import load_or_create
from deployment.errors import StackError
from deployment.local.ports import Ports
from deployment.local.settings import Settings
from deployment.local.stack import Stack
from deployment.local.temporary import guard, temporary_directory
from tests.support.waiting import eventually

# Attempts with `pm_timeout_*` are to be over soon, the sandbox is not to be what the tests wait for, the
# day's collections are not to run into them, and what the ledger has lost is to be found while they look.
TUNABLES = {
    "RESOLVE_AFTER_S": "1,5,30",
    "GATEWAY_LATENCY_MS": "0",
    "GATEWAY_TIMEOUT_S": "2",
    "COLLECTIONS_AT": "never",
    "RECONCILE_EVERY_S": "5",
}
MAX_COMPLAINTS = 12
COMPLAINT_CHARACTERS = 1_500
_LEVEL = re.compile(r'"level": ?"(error|critical)"')
_EVENT = re.compile(r'"event": ?"([^"]+)"')
_AT = re.compile(r'"timestamp": ?"([^"]+)"')
WORK_QUEUES = ("lease.commands", "payment.commands", "lease.payment-events", "payment.lease-events")


class System:
    """One private stack, started with all its services."""

    def __init__(self) -> None:
        directory = temporary_directory()
        self._guard = guard(directory)
        self._home = directory.parent
        self.hops = self._home / "hops"  # stamps of requests that a test traces
        self.hops.mkdir()
        self.stack = Stack(
            Settings(run_dir=directory, ports=Ports.free(), tunables=TUNABLES, hops_dir=str(self.hops))
        )

    def start(self) -> None:
        """Bring it up. Raises StackError."""
        self.stack.up()

    def stop(self) -> None:
        """Take it down and delete its data."""
        self.stack.clean()
        shutil.rmtree(self._home)
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(timeout=60)

    def url(self, service: str) -> str:
        """Base URL of `lease`, `payment`, `ledger` or `gateway`."""
        return self.stack.addresses.http(service)

    @property
    def webhook_secret(self) -> str:
        """What the gateway's webhooks are signed with."""
        return load_or_create(self.stack.layout.real).webhook

    # --- processes ---

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a program as soon as it runs. Returns the process id it had."""

        async def killed() -> int:
            try:
                return await asyncio.to_thread(self.stack.kill_program, name, number)
            except StackError:  # not just now
                return 0

        return await eventually(killed, f"{name} runs")

    async def back(self, name: str, old_pid: int, within_s: float = 60.0) -> None:
        """Return once the process manager has started a program that died again, and it is ready."""
        await asyncio.to_thread(self.stack.wait_restarted, name, old_pid, within_s)

    async def kill_backend(self, role: str) -> None:
        """SIGKILL a session that a role has open; Postgres then restarts itself and ends all others."""

        async def sessions() -> list[Any]:
            return await self.rows("SELECT pid FROM pg_stat_activity WHERE usename = $1", role)

        found = await eventually(sessions, f"{role} has a session")
        psutil.Process(found[0]["pid"]).kill()

    async def ended(self, name: str, pid: int, within_s: float) -> str:
        """How a process ended, in the process manager's words: "exit status 0", "terminated by SIGKILL".

        AssertionError when it has not in time.
        """

        async def told() -> str | None:
            log = (self.stack.layout.log / "supervisord.log").read_text()
            spawned = log.rfind(f"spawned: '{name}' with pid {pid}\n")
            if spawned < 0:  # it writes of a program after it has started it
                return None
            found = re.search(rf"exited: {name} \((exit status \d+|terminated by \w+)", log[spawned:])
            return found and found[1]

        found = await eventually(told, f"{name} ends", within_s)
        assert found is not None
        return found

    def complaints(self, since: float) -> str:
        """What the services logged as errors from a Unix time on: the end of each kind's first line."""
        found: dict[str, str] = {}
        start = datetime.fromtimestamp(since, UTC).isoformat()[:19]
        for log in sorted(self.stack.layout.log.glob("*.log")):
            for line in log.read_text(errors="replace").splitlines()[-20_000:]:
                level, at, event = _LEVEL.search(line), _AT.search(line), _EVENT.search(line)
                if level and at and event and at[1] >= start:
                    found.setdefault(f"{log.stem}: {event[1]}", line[-COMPLAINT_CHARACTERS:])
        return "\n".join(f"{kind}: {line}" for kind, line in list(found.items())[:MAX_COMPLAINTS])

    # --- tables, as the owner of the database sees them ---

    async def rows(self, query: str, *arguments: object) -> list[Any]:
        """What a query gives."""
        connection = await asyncpg.connect(self.stack.addresses.database)
        try:
            found: list[Any] = await connection.fetch(query, *arguments)
            return found
        finally:
            await connection.close()

    async def value(self, query: str, *arguments: object) -> Any:
        """The first column of the first row that a query gives."""
        return (await self.rows(query, *arguments))[0][0]

    # --- queues ---

    async def broker(self) -> aio_pika.abc.AbstractConnection:
        """A connection of the test's own; to be closed."""
        return await aio_pika.connect(self.stack.addresses.amqp)

    async def depths(self, *queues: str) -> dict[str, int]:
        """Messages ready in each of these queues."""
        connection = await self.broker()
        async with connection:
            channel = await connection.channel()
            found = {}
            for name in queues:
                queue = await channel.get_queue(name)
                found[name] = queue.declaration_result.message_count or 0
        return found
